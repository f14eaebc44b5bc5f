/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's memory is part of what the process is bounded by (base/mem.h), so it is counted. It is never refused to OpenSSL, whose behaviour
 * without memory is not ours to rely on: new connections are turned away before it comes to that.
 */
#include <openssl/crypto.h>

#include "base/mem.h"
#include "tls/tls.h"

static void *tls_malloc(size_t n, const char *file, int line) {
    (void)file;
    (void)line;
    return weir_mem_lib_malloc(n);
}

static void *tls_realloc(void *p, size_t n, const char *file, int line) {
    (void)file;
    (void)line;
    if (n > 0)
        return weir_mem_lib_realloc(p, n);
    weir_mem_lib_free(p);
    return NULL;
}

static void tls_free(void *p, const char *file, int line) {
    (void)file;
    (void)line;
    weir_mem_lib_free(p);
}

void weir_tls_count_memory(void) {
    /* Refused once OpenSSL has allocated anything: then it goes on uncounted. */
    (void)CRYPTO_set_mem_functions(tls_malloc, tls_realloc, tls_free);
}
