/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts from the files that a configuration or a command line names. */
#ifndef WEIR_CORE_TLS_FILES_H
#define WEIR_CORE_TLS_FILES_H

#include "tls/tls.h"

#define WEIR_PEM_MAX (1024u * 1024u) /* bytes of one such file */

/* Logs what cannot be read. *ret_text is on the heap; the caller wipes it. 0 or -errno. */
int weir_secret_file_read(const char *path, char **ret_text, size_t *ret_len);
/* What one such file holds. */
struct weir_pem {
    char *text; /* NULL = none */
    size_t len;
};
/* Frees them; the key, which is the second, is wiped. */
void weir_pems_forget(struct weir_pem pem[3]);
/* Certificate chain, key, trusted CAs; name is for the log. As weir_tls_ctx_new. */
int weir_tls_from_pems(struct weir_tls_params *params, const struct weir_pem pem[3],
                       const char *name, struct weir_tls_ctx **ret_ctx);
/* paths: certificate chain, key, trusted CAs; each may be "". params->material is set here. As
 * weir_tls_ctx_new, or -errno; each logged. */
int weir_tls_from_files(struct weir_tls_params *params, const char *const paths[3],
                        struct weir_tls_ctx **ret_ctx);

#endif
