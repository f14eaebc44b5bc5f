/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private key that never leaves the process, and the request (PKCS#10, RFC 2986) that asks a signer for an X509-SVID of
 * it: the key, one URI, nothing else. The same check of a request serves the agent that passes it on and the signer.
 */
#ifndef WEIR_TLS_CSR_H
#define WEIR_TLS_CSR_H

#include "tls/tls.h"

#define WEIR_CSR_MAX 4096u /* bytes of a request, PEM */

/* ECDSA P-256, made here. 0, -ENOMEM. */
int weir_tls_key_new(struct weir_tls_key **ret_key);
/* From PKCS#8 in DER (RFC 5958), as the SPIFFE Workload API brings it. 0, -ENOMEM, -EINVAL. */
int weir_tls_key_from_der(struct weir_slice der, struct weir_tls_key **ret_key);
/* Wipes and frees. Takes NULL, returns NULL. */
struct weir_tls_key *weir_tls_key_free(struct weir_tls_key *key);

/* A request for that identity, as PEM; weir_free. 0, -ENOMEM, -EINVAL (no SPIFFE id with a path). */
int weir_csr_new(const struct weir_tls_key *key, const char *spiffe_id, char **ret_pem);

struct weir_csr;

/* Positive outcome: refused; *ret_why (static) says which rule it breaks. */
enum { WEIR_CSR_REFUSED = 1 };

/*
 * Reads one request and holds it to what a signer of the mesh signs: signed by its own key, which is ECDSA on P-256 or
 * P-384; one URI and no other name, and that is a SPIFFE id of `trust_domain` with a path; no extension beside the names and
 * the usages of a leaf. 0, -ENOMEM, WEIR_CSR_REFUSED.
 */
int weir_csr_parse(struct weir_slice pem, const char *trust_domain, struct weir_csr **ret_csr,
                   const char **ret_why);
struct weir_csr *weir_csr_free(struct weir_csr *csr);
/* Borrowed. */
const struct weir_identity *weir_csr_identity(const struct weir_csr *csr);

#endif
