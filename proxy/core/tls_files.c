/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tls_files.h"

#include <string.h>

#include "base/mem.h"
#include "sys/files.h"
#include "sys/log.h"

int weir_secret_file_read(const char *path, char **ret_text, size_t *ret_len) {
    int r = weir_file_read(path, WEIR_PEM_MAX, ret_text, ret_len);

    if (r < 0)
        weir_log(WEIR_LOG_ERROR, "certificate", "%s: %s", path, strerror(-r));
    return r;
}

void weir_pems_forget(struct weir_pem pem[3]) {
    for (unsigned i = 0; i < 3; i++) {
        if (pem[i].text && i == 1)
            explicit_bzero(pem[i].text, pem[i].len);
        weir_free(pem[i].text);
    }
}

int weir_tls_from_pems(struct weir_tls_params *params, const struct weir_pem pem[3],
                       const char *name, struct weir_tls_ctx **ret_ctx) {
    const char *why = "";
    int r;

    params->material.cert_chain = weir_slice_make(pem[0].text, pem[0].len);
    params->material.key = weir_slice_make(pem[1].text, pem[1].len);
    params->material.ca = weir_slice_make(pem[2].text, pem[2].len);
    r = weir_tls_ctx_new(params, ret_ctx, &why);
    if (r > 0)
        weir_log(WEIR_LOG_ERROR, "certificate", "%s: %s", name, why);
    return r;
}

int weir_tls_from_files(struct weir_tls_params *params, const char *const paths[3],
                        struct weir_tls_ctx **ret_ctx) {
    struct weir_pem pem[3] = { { 0 } };
    int r = 0;

    for (unsigned i = 0; r == 0 && i < 3; i++)
        if (paths[i][0])
            r = weir_secret_file_read(paths[i], &pem[i].text, &pem[i].len);
    if (r == 0)
        r = weir_tls_from_pems(params, pem, paths[0][0] ? paths[0] : paths[2], ret_ctx);
    weir_pems_forget(pem);
    return r;
}
