/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A development CA in memory: makes a trust domain's root and SVIDs signed by it (ECDSA P-256).
 * `weir ca` writes the texts to files; tests use them as they are. It is not the mesh's signer: no
 * revocation, no record of what it issued.
 */
#ifndef WEIR_TLS_CA_H
#define WEIR_TLS_CA_H

#include "base/slice.h"

/* PEM texts, NUL-terminated, on the heap. */
struct weir_pem {
    char *cert, *key;
};
void weir_pem_deinit(struct weir_pem *pem);

/* Positive outcome of both: the request cannot be fulfilled; *ret_why (static) says what is wrong
 * with it. */
enum { WEIR_CA_REFUSED = 1 };

/* now: seconds since the epoch; lifetime: seconds. 0, -ENOMEM, WEIR_CA_REFUSED. */
int weir_ca_new(const char *trust_domain, int64_t now, int64_t lifetime, struct weir_pem *ret_ca,
                const char **ret_why);

struct weir_ca_request {
    struct weir_slice ca_cert, ca_key; /* PEM */
    const char *spiffe_id;             /* in the CA's trust domain, with a path */
    const char *const *dns_names;      /* further names; may be NULL when n_dns_names is 0 */
    size_t n_dns_names;
    int64_t now, lifetime; /* seconds; cut to the CA's own end */
};
/* A new key and its certificate. 0, -ENOMEM, WEIR_CA_REFUSED. */
int weir_ca_issue(const struct weir_ca_request *req, struct weir_pem *ret_leaf,
                  const char **ret_why);

#endif
