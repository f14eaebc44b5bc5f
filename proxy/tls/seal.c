/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/seal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/mem.h"
#include "base/ref.h"

#define SECRETS_MAX 8
#define SECRET_MIN  32
#define KEY_SIZE    64 /* AES-256-SIV: two keys of AES-256 */
#define TAG_SIZE    16
#define PLAIN_MAX   256
#define BOX_MAX     (TAG_SIZE + PLAIN_MAX)

struct weir_seal {
    struct weir_ref ref;
    EVP_CIPHER *cipher;
    unsigned n_keys;
    unsigned char keys[SECRETS_MAX][KEY_SIZE];
};

/* Nothing else that might be derived from the same secret is derived with this label. */
static bool derive(struct weir_slice secret, unsigned char key[KEY_SIZE]) {
    static const char label[] = "weir seal 1";
    unsigned n = 0;

    return HMAC(EVP_sha512(), secret.ptr, (int)secret.len, (const unsigned char *)label,
                sizeof(label), key, &n) != NULL &&
           n == KEY_SIZE;
}

static int take_secrets(struct weir_seal *s, struct weir_slice secrets, const char **ret_why) {
    struct weir_slice line;

    while (weir_slice_split(&secrets, '\n', &line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        line = weir_slice_trim(line);
        if (line.len == 0)
            continue;
        if (line.len < SECRET_MIN) {
            *ret_why = "a secret is shorter than 32 characters; make one with: openssl rand "
                       "-base64 32";
            return 1;
        }
        if (s->n_keys == SECRETS_MAX) {
            *ret_why = "more than 8 secrets";
            return 1;
        }
        if (!derive(line, s->keys[s->n_keys++]))
            return -ENOMEM;
    }
    if (s->n_keys == 0) {
        *ret_why = "no secret in it; make one with: openssl rand -base64 32";
        return 1;
    }
    return 0;
}

int weir_seal_new(struct weir_slice secrets, struct weir_seal **ret_seal, const char **ret_why) {
    struct weir_seal *s = weir_calloc(1, sizeof(*s));
    int r = -ENOMEM;

    if (!s)
        return -ENOMEM;
    weir_ref_init(&s->ref);
    s->cipher = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
    if (s->cipher)
        r = take_secrets(s, secrets, ret_why);
    if (r != 0) {
        weir_seal_unref(s);
        return r;
    }
    *ret_seal = s;
    return 0;
}

struct weir_seal *weir_seal_ref(struct weir_seal *s) {
    weir_ref_inc(&s->ref);
    return s;
}

struct weir_seal *weir_seal_unref(struct weir_seal *s) {
    if (!s || !weir_ref_dec(&s->ref))
        return NULL;
    EVP_CIPHER_free(s->cipher);
    OPENSSL_cleanse(s->keys, sizeof(s->keys));
    return weir_free(s);
}

/* ---- base64url without padding (RFC 4648 5) ---- */

static void to_url(char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
}

/* The bytes behind the text; false when there are not exactly n. */
static bool decode(struct weir_slice text, unsigned char *bytes, size_t n) {
    char padded[BOX_MAX / 3 * 4 + 8];
    unsigned char got[BOX_MAX + 8];
    size_t whole = (n + 2) / 3 * 4, bare = (n * 8 + 5) / 6;

    if (text.len != bare)
        return false;
    for (size_t i = 0; i < bare; i++) {
        char c = text.ptr[i];

        if (c == '+' || c == '/' || c == '=')
            return false; /* one spelling, not two */
        padded[i] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    memset(padded + bare, '=', whole - bare);
    if (EVP_DecodeBlock(got, (unsigned char *)padded, (int)whole) != (int)(whole / 4 * 3))
        return false;
    memcpy(bytes, got, n);
    return true;
}

/* ---- the box ---- */

int weir_seal_close(const struct weir_seal *s, struct weir_slice scope, struct weir_slice plain,
                    char *out) {
    unsigned char box[BOX_MAX];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, r = -ENOMEM;
    size_t len = TAG_SIZE + plain.len;

    if (ctx && plain.len <= PLAIN_MAX &&
        EVP_EncryptInit_ex2(ctx, s->cipher, s->keys[0], NULL, NULL) == 1 &&
        EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *)scope.ptr, (int)scope.len) == 1 &&
        EVP_EncryptUpdate(ctx, box + TAG_SIZE, &n, (const unsigned char *)plain.ptr,
                          (int)plain.len) == 1 &&
        EVP_EncryptFinal_ex(ctx, box + len, &n) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, box) == 1)
        r = 0;
    EVP_CIPHER_CTX_free(ctx);
    if (r < 0)
        return r;
    EVP_EncodeBlock((unsigned char *)out, box, (int)len);
    to_url(out, (len * 8 + 5) / 6);
    out[(len * 8 + 5) / 6] = '\0';
    return 0;
}

/* 0, -ENOMEM, 1 = not with this key. */
static int open_with(const struct weir_seal *s, const unsigned char *key, struct weir_slice scope,
                     unsigned char box[BOX_MAX], struct weir_slice *plain) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, r = 1;

    if (!ctx)
        return -ENOMEM;
    if (EVP_DecryptInit_ex2(ctx, s->cipher, key, NULL, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, box) != 1 ||
        EVP_DecryptUpdate(ctx, NULL, &n, (const unsigned char *)scope.ptr, (int)scope.len) != 1)
        r = -ENOMEM;
    else if (EVP_DecryptUpdate(ctx, (unsigned char *)plain->ptr, &n, box + TAG_SIZE,
                               (int)plain->len) == 1 &&
             EVP_DecryptFinal_ex(ctx, (unsigned char *)plain->ptr + n, &n) == 1)
        r = 0;
    EVP_CIPHER_CTX_free(ctx);
    return r;
}

int weir_seal_open(const struct weir_seal *s, struct weir_slice scope, struct weir_slice text,
                   void *plain, size_t size) {
    unsigned char box[BOX_MAX], bytes[PLAIN_MAX];
    struct weir_slice opened = weir_slice_make((char *)bytes, size);
    int r = 1;

    if (size > PLAIN_MAX || !decode(text, box, TAG_SIZE + size))
        return 1;
    for (unsigned i = 0; r == 1 && i < s->n_keys; i++)
        r = open_with(s, s->keys[i], scope, box, &opened);
    if (r == 0)
        memcpy(plain, bytes, size);
    return r;
}
