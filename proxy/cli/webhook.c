/* SPDX-License-Identifier: Apache-2.0 */
/* weir webhook: flags of the admission webhook, which lives in proxy/webhook. */
#include "webhook/webhook.h"

#include "cli/verb.h"
#include "weir_config.h"

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "listen", 'l', "ADDR:PORT", "answer the API server here (default :9443)" },
    { "cert", 0, "FILE", "certificate chain (PEM); read again when it changes" },
    { "key", 0, "FILE", "its private key (PEM)" },
    { "client-ca", 0, "FILE", "answer only who shows a certificate of these (PEM)" },
    { "health", 0, "ADDR:PORT", "/ready /live /metrics without TLS (default :9080)" },
    { "image", 0, "NAME", "of the sidecar (default " WEIR_DEFAULT_IMAGE ")" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_webhook = {
    .name = "webhook",
    .words = "",
    .summary = "the admission webhook that puts the sidecar into new Pods",
    .more = "POST /inject takes an AdmissionReview of admission.k8s.io/v1. The decision is that of "
            "weir "
            "inject.\n",
    .options = options,
    .run = run,
};

static int run(struct weir_args *args) {
    struct weir_webhook_params params = {
        .listen = weir_args_given(args, "listen", ":9443"),
        .health = weir_args_given(args, "health", ":9080"),
        .cert = weir_args_value(args, "cert"),
        .key = weir_args_value(args, "key"),
        .client_ca = weir_args_given(args, "client-ca", ""),
        .image = weir_args_given(args, "image", WEIR_DEFAULT_IMAGE),
    };

    if (!params.cert || !params.key)
        return weir_usage(args, "give --cert FILE and --key FILE");
    return weir_webhook_run(&params) == 0 ? WEIR_EXIT_OK : WEIR_EXIT_FAILED;
}
