/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/pem.h"

#include <limits.h>

#include "base/err.h"
#include "base/mem.h"

int weir_pem_no_passphrase(char *buf, int size, int rwflag, void *arg) {
    return -1;
}

BIO *weir_pem_open(struct weir_slice text) {
    return text.len <= INT_MAX ? BIO_new_mem_buf(text.ptr, (int)text.len) : NULL;
}

char *weir_pem_of(BIO *bio) {
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    return len > 0 ? weir_strndup(data, (size_t)len) : NULL;
}
