/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short texts that a client keeps for us and can neither read nor make: AES-256-SIV (RFC 5297) under keys derived from
 * shared secrets, in base64url. Deterministic, so it needs no nonce that replicas would have to agree about.
 */
#ifndef WEIR_TLS_SEAL_H
#define WEIR_TLS_SEAL_H

#include "base/err.h"
#include "base/slice.h"

struct weir_seal; /* immutable, shared across threads, reference counted */

/* Room for the sealed form of n bytes, with the NUL: base64 of the bytes and a tag of 16. */
#define WEIR_SEAL_SIZE(n) (((n) + 16 + 2) / 3 * 4 + 1)

/*
 * secrets: one a line, at least 32 characters each, up to 8. The first seals, every one opens, so a new one can be brought in
 * before an old one is taken away. 0, -ENOMEM, or 1 = unusable; *ret_why (static) says why.
 */
int weir_seal_new(struct weir_slice secrets, struct weir_seal **ret_seal, const char **ret_why);
struct weir_seal *weir_seal_ref(struct weir_seal *s);
/* Takes NULL; returns NULL. */
struct weir_seal *weir_seal_unref(struct weir_seal *s);

/* scope: what the text is for, must be the same to open it. out: WEIR_SEAL_SIZE(plain.len) bytes; NUL-terminated. 0, -ENOMEM. */
int weir_seal_close(const struct weir_seal *s, struct weir_slice scope, struct weir_slice plain,
                    char *out);
/* Exactly `size` bytes into plain. 0, -ENOMEM, or 1 = not sealed by us, for another scope, or of another size. */
int weir_seal_open(const struct weir_seal *s, struct weir_slice scope, struct weir_slice text,
                   void *plain, size_t size);

#endif
