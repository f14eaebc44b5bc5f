/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/ca_files.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/files.h"

#define PEM_MAX (1024u * 1024u)

int weir_ca_files_read(const struct weir_ca_files *files, const char *name, char **ret_text,
                       size_t *ret_len) {
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", files->directory, name);
    return weir_file_read(path, PEM_MAX, ret_text, ret_len);
}

int weir_ca_files_sign(const struct weir_ca_files *files, struct weir_csr *csr, int64_t lifetime_s,
                       struct weir_pem *ret_leaf, const char **ret_why) {
    struct weir_ca_request req = { .csr = csr,
                                   .now = (int64_t)(weir_clock_wall_us() / 1000000),
                                   .lifetime = lifetime_s };
    WEIR_CLEANUP(weir_freep)
    char *cert = NULL;
    char *key = NULL;
    int r = weir_ca_files_read(files, files->cert, &cert, &req.ca_cert.len);

    if (r == 0)
        r = weir_ca_files_read(files, files->key, &key, &req.ca_key.len);
    req.ca_cert.ptr = cert;
    req.ca_key.ptr = key;
    if (r == 0)
        r = weir_ca_issue(&req, ret_leaf, ret_why);
    if (key)
        explicit_bzero(key, req.ca_key.len);
    weir_free(key);
    if (r < 0)
        *ret_why = strerrordesc_np(-r);
    return r;
}
