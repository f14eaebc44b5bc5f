/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/digest.h"

#include <errno.h>
#include <openssl/evp.h>

int weir_sha256(const void *bytes, size_t len, uint8_t ret_digest[WEIR_SHA256_BYTES]) {
    return EVP_Digest(bytes, len, ret_digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}
