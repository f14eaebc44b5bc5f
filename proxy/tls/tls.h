/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS without sockets: contexts (certificates, trust, reload) and an engine that turns ciphertext into plaintext and back over
 * memory. io/tls_stream feeds it. OpenSSL is seen only in this room.
 */
#ifndef WEIR_TLS_TLS_H
#define WEIR_TLS_TLS_H

#include "base/bufq.h"
#include "base/fault.h"
#include "base/slice.h"

#define WEIR_ALPN_MESH_HTTP "weir-h2"
#define WEIR_ALPN_MESH_TCP  "weir-tcp"

/* A SPIFFE id taken apart. All strings NUL-terminated, in one heap block with the struct; never NULL. */
struct weir_identity {
    const char *uri; /* spiffe://td/ns/<ns>/sa/<sa>; "" = none */
    const char *trust_domain;
    const char *ns, *account; /* "" when the path has not that form */
};
/* Parses and checks a SPIFFE id (SPIFFE-ID 2). 0, -ENOMEM or -EINVAL. Freed with weir_free. */
int weir_identity_new(struct weir_slice uri, struct weir_identity **ret_id);

struct weir_tls_key; /* tls/csr.h */

/* PEM texts already read from files (tls opens no file). Each may be empty. */
struct weir_tls_material {
    struct weir_slice cert_chain, key, ca;
    const struct weir_tls_key *own_key; /* instead of `key`, borrowed; NULL = none */
};

enum weir_tls_mode {
    WEIR_TLS_SERVER, /* ordinary server; client certificate verified when ca is given */
    WEIR_TLS_CLIENT, /* ordinary client; verifies the server's name against ca (or the system's store) */
    WEIR_TLS_MESH_SERVER, /* TLS 1.3, client SVID required and verified */
    WEIR_TLS_MESH_CLIENT, /* TLS 1.3, presents its SVID, verifies the server's SVID against `expect` */
};

struct weir_tls_ctx; /* shared across threads, reference counted */
struct weir_tickets; /* tls/tickets.h */

/* A name a certificate may be for. */
struct weir_tls_san {
    bool uri; /* compared byte by byte; else a host name (RFC 9525) */
    const char *value;
};

struct weir_tls_params {
    enum weir_tls_mode mode;
    struct weir_tls_material material;
    const char *trust_domain; /* mesh modes: the only trust domain whose SVIDs are accepted */
    struct weir_slice alpn;   /* wire format (length-prefixed), in order of preference */
    const struct weir_tls_san
        *sans; /* WEIR_TLS_CLIENT: one of them is demanded, instead of the name that is sent */
    uint32_t n_sans;
    /*
     * Servers: keys of session tickets, NULL = none are given and none taken. A session is resumed only where `scope` (which listener)
     * and `ca` are what they were; a peer's certificate is verified again each time.
     */
    struct weir_tickets *tickets; /* a reference is taken */
    uint32_t ticket_lifetime_s;   /* at most: as long as a key opens */
    const char *scope;
};
/* 0, -ENOMEM, or 1 = the material is unusable; *ret_why (static or in a per-thread buffer) says what is wrong. */
int weir_tls_ctx_new(const struct weir_tls_params *params, struct weir_tls_ctx **ret_ctx,
                     const char **ret_why);
/* memory.c: what OpenSSL allocates counts in weir_mem_used. First thing in a process. */
void weir_tls_count_memory(void);
struct weir_tls_ctx *weir_tls_ctx_ref(struct weir_tls_ctx *ctx);
struct weir_tls_ctx *weir_tls_ctx_unref(struct weir_tls_ctx *ctx);
/* Mesh modes: from now on no handshake succeeds, because what is shown is of no use. Any thread. */
void weir_tls_ctx_stop(struct weir_tls_ctx *ctx);
/* Own certificate's identity (uri "" = none; never NULL) and notAfter, seconds since the epoch. */
const struct weir_identity *weir_tls_ctx_identity(const struct weir_tls_ctx *ctx);
int64_t weir_tls_ctx_not_after(const struct weir_tls_ctx *ctx);
enum weir_tls_mode weir_tls_ctx_mode(const struct weir_tls_ctx *ctx);

struct weir_tls; /* one connection's engine */

/* sni: client modes, name sent and (WEIR_TLS_CLIENT) verified; expect: mesh client, the server's SPIFFE id. Both may be NULL,
 * except sni with WEIR_TLS_CLIENT: 0, -ENOMEM, -EINVAL (a client without a name to verify). An address literal is verified, not sent. */
int weir_tls_new(struct weir_tls_ctx *ctx, const char *sni, const char *expect,
                 struct weir_tls **ret_tls);
struct weir_tls *weir_tls_free(struct weir_tls *tls);

/* Positive outcomes of feed/write: the connection is over. */
enum { WEIR_TLS_FAULT = 1, WEIR_TLS_EOF = 2 /* close_notify received */ };

/*
 * Takes ciphertext (all of it), appends decrypted bytes to *plain and whatever must be sent (handshake, alerts) to *cipher.
 * 0, -ENOMEM, WEIR_TLS_FAULT (cipher may hold an alert to send; weir_tls_fault says why), WEIR_TLS_EOF.
 */
int weir_tls_feed(struct weir_tls *tls, struct weir_slice bytes, struct weir_bufq *plain,
                  struct weir_bufq *cipher);
/* Client: the first flight. */
int weir_tls_start(struct weir_tls *tls, struct weir_bufq *cipher);
/* Encrypts all of *plain (records of up to 16 KiB, gathered across segments) into *cipher. 0, -ENOMEM, WEIR_TLS_FAULT.
 * Before the handshake is done it takes nothing and answers 0. */
int weir_tls_write(struct weir_tls *tls, struct weir_bufq *plain, struct weir_bufq *cipher);
/* Appends close_notify. */
void weir_tls_shutdown(struct weir_tls *tls, struct weir_bufq *cipher);
bool weir_tls_established(const struct weir_tls *tls);
/* After the handshake; borrowed, valid until free. ALPN chosen (empty = none), peer identity (NULL = none;
 * only mesh modes establish one), SNI received. */
struct weir_slice weir_tls_alpn(const struct weir_tls *tls);
const struct weir_identity *weir_tls_peer(const struct weir_tls *tls);
/* Peer certificate's SHA-256 in hex (64 characters) or ""; for x-forwarded-client-cert. Computed on first call. */
const char *weir_tls_peer_hash(const struct weir_tls *tls);
const char *weir_tls_sni(const struct weir_tls *tls);
bool weir_tls_resumed(const struct weir_tls *tls);
/* Kind TLS or IDENTITY, and a short stable reason ("certificate expired") for the log. */
struct weir_fault weir_tls_fault(const struct weir_tls *tls);
const char *weir_tls_fault_reason(const struct weir_tls *tls);

#endif
