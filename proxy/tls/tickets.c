/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ticket keys, and what a resumed session of a peer with a certificate must prove again. Keys are read by all workers and changed once in
 * a period: a sequence lock over atomic words, so that no handshake waits for another.
 */
#include "tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/err.h"
#include "base/mem.h"
#include "tls/ctx.h"

#define NAME_BYTES  16u
#define CHAIN_BYTES (16u * 1024u) /* of intermediate certificates in one ticket */

struct key {
    unsigned char name[NAME_BYTES], aes[32], mac[32];
};
#define KEY_WORDS (sizeof(struct key) / sizeof(uint64_t))
_Static_assert(sizeof(struct key) % sizeof(uint64_t) == 0, "a key is whole words");

struct weir_tickets {
    struct weir_ref ref;
    atomic_uint version;                  /* odd: being changed */
    _Atomic uint64_t words[2][KEY_WORDS]; /* [0] seals and opens, [1] opens */
};

static void store(_Atomic uint64_t *words, const struct key *key) {
    uint64_t copy[KEY_WORDS];
    memcpy(copy, key, sizeof(copy));
    for (size_t i = 0; i < KEY_WORDS; i++) {
        atomic_store_explicit(&words[i], copy[i], memory_order_relaxed);
    }
    OPENSSL_cleanse(copy, sizeof(copy));
}

static void load(_Atomic uint64_t *words, struct key *key) {
    uint64_t copy[KEY_WORDS];
    for (size_t i = 0; i < KEY_WORDS; i++) {
        copy[i] = atomic_load_explicit(&words[i], memory_order_relaxed);
    }
    memcpy(key, copy, sizeof(copy));
    OPENSSL_cleanse(copy, sizeof(copy));
}

static void read_keys(struct weir_tickets *t, struct key keys[2]) {
    unsigned before, after;
    do {
        before = atomic_load_explicit(&t->version, memory_order_acquire);
        load(t->words[0], &keys[0]);
        load(t->words[1], &keys[1]);
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&t->version, memory_order_relaxed);
    } while (before != after || before % 2 != 0);
}

int weir_tickets_rotate(struct weir_tickets *t) {
    struct key fresh, current;
    if (RAND_bytes((unsigned char *)&fresh, (int)sizeof(fresh)) != 1) {
        ERR_clear_error();
        return -EIO;
    }
    load(t->words[0], &current);
    unsigned version = atomic_load_explicit(&t->version, memory_order_relaxed);
    atomic_store_explicit(&t->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    store(t->words[1], &current);
    store(t->words[0], &fresh);
    atomic_store_explicit(&t->version, version + 2, memory_order_release);
    OPENSSL_cleanse(&fresh, sizeof(fresh));
    OPENSSL_cleanse(&current, sizeof(current));
    return 0;
}

int weir_tickets_new(struct weir_tickets **ret_tickets) {
    struct weir_tickets *t = weir_calloc(1, sizeof(*t));
    if (t == NULL) {
        return -ENOMEM;
    }
    weir_ref_init(&t->ref);
    /* Twice: no slot may hold a key that is not secret. */
    if (weir_tickets_rotate(t) != 0 || weir_tickets_rotate(t) != 0) {
        weir_free(t);
        return -EIO;
    }
    *ret_tickets = t;
    return 0;
}

struct weir_tickets *weir_tickets_ref(struct weir_tickets *t) {
    weir_ref_inc(&t->ref);
    return t;
}

struct weir_tickets *weir_tickets_unref(struct weir_tickets *t) {
    if (t != NULL && weir_ref_dec(&t->ref)) {
        OPENSSL_cleanse(t->words, sizeof(t->words));
        weir_free(t);
    }
    return NULL;
}

/* --- OpenSSL asks --- */

/* RFC 5077 4: AES-256-CBC, then HMAC-SHA-256. */
static bool set_up(const struct key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, bool seal) {
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                          sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, seal) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1 = this key, 2 = an older one: seal anew, 0 = none, -1 = failed. */
static int on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int seal) {
    struct weir_tls *tls = weir_tls_of(ssl);
    struct key keys[2];
    int use = 0;
    read_keys(tls->ctx->tickets, keys);
    if (seal) {
        memcpy(name, keys[0].name, NAME_BYTES);
        use = RAND_bytes(iv, EVP_MAX_IV_LENGTH) == 1 ? 1 : -1;
    } else if (CRYPTO_memcmp(name, keys[0].name, NAME_BYTES) == 0) {
        use = 1;
    } else if (CRYPTO_memcmp(name, keys[1].name, NAME_BYTES) == 0) {
        use = 2;
    }
    if (use > 0 && !set_up(&keys[use - 1], iv, cipher, mac, seal)) {
        use = -1;
    }
    OPENSSL_cleanse(keys, sizeof(keys));
    return use;
}

/* The peer's chain without its leaf, which the session has: DER, one behind the other. Too much of it makes a ticket that is not taken. */
static int on_seal(SSL *ssl, void *arg) {
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    unsigned char *bytes = NULL, *p;
    size_t total = 0;
    int ok = 1;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int n = i2d_X509(sk_X509_value(chain, i), NULL);
        total += n > 0 ? (size_t)n : CHAIN_BYTES;
    }
    if (SSL_session_reused(ssl) || total == 0 || total > CHAIN_BYTES) {
        return 1; /* what a resumed session had is in it already */
    }
    p = bytes = OPENSSL_malloc(total);
    if (bytes == NULL) {
        return 0;
    }
    for (int i = 0; i < sk_X509_num(chain); i++) {
        i2d_X509(sk_X509_value(chain, i), &p);
    }
    ok = SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), bytes, (size_t)(p - bytes));
    OPENSSL_free(bytes);
    return ok;
}

static STACK_OF(X509) * chain_of(SSL_SESSION *session) {
    STACK_OF(X509) *chain = sk_X509_new_null();
    void *data = NULL;
    size_t n = 0;
    const unsigned char *p, *end;
    if (chain == NULL || SSL_SESSION_get0_ticket_appdata(session, &data, &n) != 1) {
        return chain;
    }
    p = data;
    end = p + n;
    while (p < end) {
        X509 *cert = d2i_X509(NULL, &p, end - p);
        if (cert == NULL || sk_X509_push(chain, cert) <= 0) {
            X509_free(cert);
            break;
        }
    }
    return chain;
}

/* As OpenSSL sets it up for a certificate that comes in the handshake. */
static bool verify(struct weir_tls *tls, X509_STORE_CTX *sc) {
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(sc);
    X509_VERIFY_PARAM_set_auth_level(param, SSL_get_security_level(tls->ssl));
    if (X509_STORE_CTX_set_ex_data(sc, SSL_get_ex_data_X509_STORE_CTX_idx(), tls->ssl) != 1 ||
        X509_STORE_CTX_set_default(sc, "ssl_client") != 1 ||
        X509_VERIFY_PARAM_set1(param, SSL_get0_param(tls->ssl)) != 1) {
        return false;
    }
    return weir_tls_mode_is_mesh(tls->ctx->mode) ? weir_tls_verify_mesh(sc, tls) == 1
                                                 : X509_verify_cert(sc) == 1;
}

/* The certificate in the ticket, as if it came now: chain, time, and in the mesh name and trust domain. */
static bool proves_again(struct weir_tls *tls, SSL_SESSION *session) {
    X509 *leaf = SSL_SESSION_get0_peer(session);
    STACK_OF(X509) *chain = chain_of(session);
    X509_STORE_CTX *sc = X509_STORE_CTX_new();
    bool ok =
        leaf != NULL && chain != NULL && sc != NULL &&
        X509_STORE_CTX_init(sc, SSL_CTX_get_cert_store(tls->ctx->ssl_ctx), leaf, chain) == 1 &&
        verify(tls, sc);
    X509_free(tls->proven);
    tls->proven = ok && X509_up_ref(leaf) == 1 ? leaf : NULL;
    X509_STORE_CTX_free(sc);
    sk_X509_pop_free(chain, X509_free);
    /* Why it does not is no fault of this handshake: it goes on in full. */
    ERR_clear_error();
    if (tls->proven == NULL) {
        tls->reason = NULL;
        tls->reason_text = weir_free(tls->reason_text);
        tls->fault_kind = WEIR_FAULT_NONE;
    }
    return tls->proven != NULL;
}

static SSL_TICKET_RETURN on_open(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                 size_t n_name, SSL_TICKET_STATUS status, void *arg) {
    struct weir_tls *tls = weir_tls_of(ssl);
    bool good = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    /* A client of TLS 1.3 shows a ticket once (RFC 8446 C.4): without another one it would have to shake hands in full. */
    bool renew = status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) == TLS1_3_VERSION;
    if (status == SSL_TICKET_FATAL_ERR_MALLOC || status == SSL_TICKET_FATAL_ERR_OTHER) {
        return SSL_TICKET_RETURN_ABORT;
    }
    if (!good) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    if (tls->ctx->verify_peer && !proves_again(tls, session)) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    return renew ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

bool weir_tls_resumption_proven(struct weir_tls *tls) {
    X509 *peer = SSL_get0_peer_certificate(tls->ssl);
    bool proven = !tls->ctx->verify_peer ||
                  (tls->proven != NULL && peer != NULL && X509_cmp(tls->proven, peer) == 0);
    X509_free(tls->proven);
    tls->proven = NULL;
    return proven;
}

/* --- RFC 9149: a client that comes back to nobody says so --- */

#define EXT_TICKET_REQUEST 58u

static int say_none(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
                    size_t *out_len, X509 *cert, size_t n, int *alert, void *arg) {
    static const unsigned char none[2] = { 0, 0 };
    *out = none;
    *out_len = sizeof(none);
    return 1;
}

static int hear_count(SSL *ssl, unsigned type, unsigned context, const unsigned char *in,
                      size_t len, X509 *cert, size_t n, int *alert, void *arg) {
    if (len != 2) {
        *alert = SSL_AD_DECODE_ERROR;
        return 0;
    }
    if (in[0] < SSL_get_num_tickets(ssl)) {
        SSL_set_num_tickets(ssl, in[0]);
    }
    return 1;
}

bool weir_tls_tickets_unwanted(SSL_CTX *ssl_ctx) {
    return SSL_CTX_add_custom_ext(ssl_ctx, EXT_TICKET_REQUEST, SSL_EXT_CLIENT_HELLO, say_none, NULL,
                                  NULL, NULL, NULL) == 1;
}

bool weir_tls_tickets_offer(struct weir_tls_ctx *ctx, uint32_t lifetime_s) {
    SSL_CTX *ssl_ctx = ctx->ssl_ctx;
    SSL_CTX_set_timeout(ssl_ctx, (long)lifetime_s);
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, on_key) == 1 &&
           SSL_CTX_set_session_ticket_cb(ssl_ctx, ctx->verify_peer ? on_seal : NULL, on_open,
                                         NULL) == 1 &&
           SSL_CTX_set_num_tickets(ssl_ctx, 1) == 1 &&
           SSL_CTX_add_custom_ext(ssl_ctx, EXT_TICKET_REQUEST, SSL_EXT_CLIENT_HELLO, NULL, NULL,
                                  NULL, hear_count, NULL) == 1;
}
