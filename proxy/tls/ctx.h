/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a TLS context and of a connection. Private to the room tls. */
#ifndef WEIR_TLS_CTX_H
#define WEIR_TLS_CTX_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include "base/ref.h"
#include "tls/tls.h"

/* Immutable after weir_tls_ctx_new but for `stopped`, so any number of threads may make connections from it. */
struct weir_tls_ctx {
    struct weir_ref ref;
    enum weir_tls_mode mode;
    SSL_CTX *ssl_ctx;
    BIO_METHOD *bio;
    struct weir_identity *id; /* NULL = none */
    int64_t not_after;
    atomic_bool stopped; /* no handshake succeeds */
    char *trust_domain;  /* mesh modes */
    struct weir_tls_san *sans;
    uint32_t n_sans;
    bool verify_peer;             /* a certificate is demanded of the other side */
    struct weir_tickets *tickets; /* NULL = no resumption */
    unsigned char *alpn;
    unsigned int alpn_len;
};

enum weir_tls_state { WEIR_TLS_HANDSHAKE, WEIR_TLS_OPEN, WEIR_TLS_ENDED, WEIR_TLS_DEAD };

struct weir_tls_call {
    struct weir_slice in; /* ciphertext not yet taken */
    struct weir_bufq *out;
};

struct weir_tls {
    struct weir_tls_ctx *ctx;
    SSL *ssl;
    struct weir_tls_call *call; /* that is running; NULL between calls */
    struct weir_identity *peer;
    X509 *proven; /* during a handshake: of the ticket that is being resumed, verified again */
    char *expect;
    char *peer_hash;
    const char *reason; /* NULL = none; static or reason_text */
    char *reason_text;
    uint32_t held;      /* ciphertext taken since plaintext last came out */
    uint32_t refilled;  /* plaintext bytes since `messages` was cleared */
    uint16_t messages;  /* handshake messages after the handshake */
    uint8_t state;      /* enum weir_tls_state */
    uint8_t fault_kind; /* enum weir_fault_kind */
    bool nomem;
    bool shutdown_sent;
};

static inline bool weir_tls_mode_is_mesh(enum weir_tls_mode mode) {
    return mode == WEIR_TLS_MESH_SERVER || mode == WEIR_TLS_MESH_CLIENT;
}
static inline bool weir_tls_mode_is_server(enum weir_tls_mode mode) {
    return mode == WEIR_TLS_MESH_SERVER || mode == WEIR_TLS_SERVER;
}

/* engine.c: the BIO that reads and writes what the running call has. NULL = no memory. */
BIO_METHOD *weir_tls_bio_method(void);
/* Whose it is, within OpenSSL's callbacks: the BIO knows, which costs a connection less than a place in its ex_data. */
struct weir_tls *weir_tls_of(const SSL *ssl);

/* engine.c: SSL_CTX_set_msg_callback; counts what a peer sends after the handshake that is not
 * data. */
void weir_tls_on_message(int write, int version, int content, const void *bytes, size_t n, SSL *ssl,
                         void *arg);

/* verify.c: mesh modes' SSL_CTX_set_cert_verify_callback; arg: not NULL when it is about a ticket. */
int weir_tls_verify_mesh(X509_STORE_CTX *store_ctx, void *arg);
/* verify.c: the same of an ordinary client with a list of names. */
int weir_tls_verify_sans(X509_STORE_CTX *store_ctx, void *arg);

/* tickets.c */
bool weir_tls_tickets_offer(struct weir_tls_ctx *ctx, uint32_t lifetime_s);
/* Clients that keep no session: the server need not make any. */
bool weir_tls_tickets_unwanted(SSL_CTX *ssl_ctx);
/* After a resumption: the certificate of the session in use is the one that was verified again. */
bool weir_tls_resumption_proven(struct weir_tls *tls);

/* reason.c. All strings static and short; they name a cause, never a detail of one connection. */
const char *weir_tls_verify_reason(long verify_result);
const char *weir_tls_error_reason(unsigned long error);
/* Empties the thread's error queue. *ret_first is its oldest entry (0 = it was empty); true if any
 * says "no memory". */
bool weir_tls_errors_take(unsigned long *ret_first);

#endif
