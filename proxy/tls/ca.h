/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CA in memory: makes a trust domain's root and SVIDs signed by it (ECDSA P-256). `weir ca` writes the texts to files,
 * `weir signer` and an agent with a development CA sign requests, tests use the texts as they are. Who may have which
 * identity is not asked here.
 */
#ifndef WEIR_TLS_CA_H
#define WEIR_TLS_CA_H

#include "base/slice.h"

struct weir_csr;

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
    const struct weir_csr *csr; /* the key and the identity (tls/csr.h); NULL = a new key for... */
    const char *spiffe_id;      /* ... this one, in the CA's trust domain, with a path */
    const char *const *dns_names; /* further names; may be NULL when n_dns_names is 0 */
    size_t n_dns_names;
    int64_t now, lifetime; /* seconds; cut to the CA's own end */
};
/* A certificate, and the key unless the request brought its own. 0, -ENOMEM, WEIR_CA_REFUSED. */
int weir_ca_issue(const struct weir_ca_request *req, struct weir_pem *ret_leaf,
                  const char **ret_why);

#endif
