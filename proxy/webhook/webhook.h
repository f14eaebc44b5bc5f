/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mutating admission webhook: an HTTPS server of one thread that answers AdmissionReviews with the
 * decision of the room inject. It holds no state, talks to nobody, and never waits for anything.
 */
#ifndef WEIR_WEBHOOK_WEBHOOK_H
#define WEIR_WEBHOOK_WEBHOOK_H

struct weir_webhook_params {
    const char *listen, *health; /* "ADDR:PORT" or ":PORT"; health "" = none */
    const char *cert, *key;      /* PEM files, watched */
    const char *client_ca;       /* PEM file, watched; "" = anyone may ask */
    const char *image;           /* of the sidecar */
};

/* Until SIGTERM or SIGINT. 0, or 1 = could not start (said on stderr). */
int weir_webhook_run(const struct weir_webhook_params *params);

#endif
