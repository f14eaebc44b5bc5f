/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of X509-SVID on one leaf certificate. Private to the room tls. */
#ifndef WEIR_TLS_SVID_H
#define WEIR_TLS_SVID_H

#include <openssl/x509.h>

#include "tls/tls.h"

/* What the holder of the certificate is in this handshake; decides which extended key usage must be
 * allowed. */
enum weir_svid_role { WEIR_SVID_SERVER, WEIR_SVID_CLIENT };

/*
 * 0: *ret_id is the leaf's identity (freed with weir_free). -ENOMEM. 1: not an SVID of that trust
 * domain, *ret_why (static) says which rule is broken. Says nothing about signatures, chain or
 * time.
 */
int weir_svid_check(X509 *leaf, enum weir_svid_role role, const char *trust_domain,
                    struct weir_identity **ret_id, const char **ret_why);

#endif
