/* SPDX-License-Identifier: Apache-2.0 */
/* A CA whose certificate and key are files of a directory: the signer's Secret, or an agent's development CA. */
#ifndef WEIR_KUBE_CA_FILES_H
#define WEIR_KUBE_CA_FILES_H

#include <stdint.h>

#include "tls/ca.h"
#include "tls/csr.h"

struct weir_ca_files {
    const char *directory, *cert, *key; /* names below the directory */
};

/* One of them, at most 1 MiB; *ret_text is the caller's to weir_free. 0 or -errno. */
int weir_ca_files_read(const struct weir_ca_files *files, const char *name, char **ret_text,
                       size_t *ret_len);
/*
 * Signs the request with what the files are now: they may have been replaced. The key is wiped. 0; or *ret_why (static) says
 * what is wrong, and the result is -errno or WEIR_CA_REFUSED.
 */
int weir_ca_files_sign(const struct weir_ca_files *files, struct weir_csr *csr, int64_t lifetime_s,
                       struct weir_pem *ret_leaf, const char **ret_why);

#endif
