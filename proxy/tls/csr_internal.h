/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of keys and requests. Private to the room tls. */
#ifndef WEIR_TLS_CSR_INTERNAL_H
#define WEIR_TLS_CSR_INTERNAL_H

#include <openssl/x509.h>

#include "tls/csr.h"

struct weir_tls_key {
    EVP_PKEY *pkey;
};

struct weir_csr {
    X509_REQ *req;
    struct weir_identity *id;
};

#endif
