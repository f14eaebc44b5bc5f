/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), for telling contents apart. */
#ifndef WEIR_TLS_DIGEST_H
#define WEIR_TLS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define WEIR_SHA256_BYTES 32u

/* 0 or -ENOMEM. */
int weir_sha256(const void *bytes, size_t len, uint8_t ret_digest[WEIR_SHA256_BYTES]);

#endif
