/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection's TLS as a function over bytes: ciphertext in, plaintext and ciphertext out. It
 * owns the SSL and the peer's identity and knows no socket, no clock and no loop.
 *
 * OpenSSL reads and writes through a BIO of our own that has no buffer: it reads from the slice
 * that is being fed and appends to the caller's queue. Both exist only during a call, so an idle
 * connection holds none of them, and the record buffers are OpenSSL's own, freed by it between
 * records.
 *
 *   HANDSHAKE --done--> OPEN --close_notify--> ENDED (may still write)
 *       any of them --alert, bad record, refused certificate--> DEAD
 */
#include "tls/ctx.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/err.h"
#include "base/mem.h"

#define RECORD_MAX (16u * 1024u)
#define HASH_BYTES 32
/*
 * Key updates and tickets allowed per so much plaintext: each costs us a hundred times what it
 * costs the sender, and nobody honest needs more than a few in a connection's life.
 */
#define MESSAGES_MAX    32
#define MESSAGES_REFILL (64u * 1024u)

/* --- the BIO --- */

static int bio_read(BIO *bio, char *buf, int size) {
    struct weir_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->call == NULL || tls->call->in.len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    struct weir_slice *in = &tls->call->in;
    size_t n = in->len < (size_t)size ? in->len : (size_t)size;
    memcpy(buf, in->ptr, n);
    in->ptr += n;
    in->len -= n;
    tls->held += (uint32_t)n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *buf, int size) {
    struct weir_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->call == NULL ||
        weir_bufq_append(tls->call->out, weir_slice_make(buf, (size_t)size)) != 0) {
        tls->nomem = true;
        return -1;
    }
    return size;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr) {
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *weir_tls_bio_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weir");
    if (method != NULL && BIO_meth_set_read(method, bio_read) == 1 &&
        BIO_meth_set_write(method, bio_write) == 1 && BIO_meth_set_ctrl(method, bio_ctrl) == 1 &&
        BIO_meth_set_create(method, bio_create) == 1) {
        return method;
    }
    BIO_meth_free(method);
    return NULL;
}

struct weir_tls *weir_tls_of(const SSL *ssl) {
    return BIO_get_data(SSL_get_rbio(ssl));
}

/* --- birth and death --- */

static bool is_ip(const char *name) {
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    ASN1_OCTET_STRING_free(ip);
    return ip != NULL;
}

/* The name to send and, for an ordinary client, to find in the certificate (RFC 9525: never in the
 * common name). */
static bool set_name(struct weir_tls *tls, const char *sni) {
    bool ip = is_ip(sni);
    /* RFC 6066 3: literal addresses are not server names. */
    if (!ip && SSL_set_tlsext_host_name(tls->ssl, sni) != 1) {
        return false;
    }
    if (tls->ctx->mode != WEIR_TLS_CLIENT || tls->ctx->n_sans > 0) {
        return true;
    }
    SSL_set_hostflags(tls->ssl,
                      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), sni) == 1
              : SSL_set1_host(tls->ssl, sni) == 1;
}

static int set_up(struct weir_tls *tls, const char *sni, const char *expect) {
    bool server = weir_tls_mode_is_server(tls->ctx->mode);
    if (expect != NULL) {
        tls->expect = weir_strndup(expect, strlen(expect));
        if (tls->expect == NULL) {
            return -ENOMEM;
        }
    }
    tls->ssl = SSL_new(tls->ctx->ssl_ctx);
    BIO *bio = tls->ssl != NULL ? BIO_new(tls->ctx->bio) : NULL;
    if (bio == NULL) {
        return -ENOMEM;
    }
    BIO_set_data(bio, tls);
    SSL_set_bio(tls->ssl, bio, bio);
    if (server) {
        SSL_set_accept_state(tls->ssl);
        return 0;
    }
    SSL_set_connect_state(tls->ssl);
    return sni == NULL || sni[0] == '\0' || set_name(tls, sni) ? 0 : -ENOMEM;
}

int weir_tls_new(struct weir_tls_ctx *ctx, const char *sni, const char *expect,
                 struct weir_tls **ret_tls) {
    /* Without a name any certificate of the CA would do: nobody may ask for that by leaving it out.
     */
    if (ctx->mode == WEIR_TLS_CLIENT && (sni == NULL || sni[0] == '\0')) {
        return -EINVAL;
    }
    struct weir_tls *tls = weir_calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return -ENOMEM;
    }
    tls->ctx = weir_tls_ctx_ref(ctx);
    int r = set_up(tls, sni, expect);
    if (r != 0) {
        ERR_clear_error();
        weir_tls_free(tls);
        return r;
    }
    *ret_tls = tls;
    return 0;
}

struct weir_tls *weir_tls_free(struct weir_tls *tls) {
    if (tls == NULL) {
        return NULL;
    }
    SSL_free(tls->ssl);
    X509_free(tls->proven);
    ERR_clear_error();
    weir_free(tls->peer);
    weir_free(tls->expect);
    weir_free(tls->peer_hash);
    weir_free(tls->reason_text);
    weir_tls_ctx_unref(tls->ctx);
    return weir_free(tls);
}

/* --- moving bytes --- */

/*
 * SSL_get_error answers wrongly when another call left something in the thread's error queue. Every
 * function of this room leaves it empty and no other room sees OpenSSL; looking again for each
 * record would cost as much as all the rest of our own work on it, so only a handshake does.
 */
static void begin(struct weir_tls *tls, struct weir_tls_call *call) {
    tls->call = call;
    if (tls->state == WEIR_TLS_HANDSHAKE) {
        ERR_clear_error();
    }
}

static int end(struct weir_tls *tls, int r) {
    tls->call = NULL;
    return r;
}

/* An OpenSSL call failed for good: says why, once. */
static int die(struct weir_tls *tls) {
    unsigned long first;
    bool nomem = weir_tls_errors_take(&first) || tls->nomem;
    bool handshake = tls->state == WEIR_TLS_HANDSHAKE;
    tls->state = WEIR_TLS_DEAD;
    if (nomem) {
        tls->fault_kind = WEIR_FAULT_INTERNAL;
        tls->reason = "out of memory";
        return -ENOMEM;
    }
    if (tls->fault_kind == WEIR_FAULT_NONE) {
        tls->fault_kind = WEIR_FAULT_TLS;
    }
    if (tls->reason != NULL) {
        return WEIR_TLS_FAULT; /* who set it knew better */
    }
    long verified = handshake ? SSL_get_verify_result(tls->ssl) : X509_V_OK;
    tls->reason =
        verified != X509_V_OK ? weir_tls_verify_reason(verified) : weir_tls_error_reason(first);
    return WEIR_TLS_FAULT;
}

/* A resumed session has skipped what a certificate's verification does; tickets.c has done it instead, and nothing else may have. */
static bool resumed_well(struct weir_tls *tls) {
    if (SSL_session_reused(tls->ssl) != 1) {
        return true;
    }
    if (!weir_tls_resumption_proven(tls)) {
        tls->reason = "resumed without proof";
        return false;
    }
    if (weir_tls_mode_is_mesh(tls->ctx->mode) && weir_tls_alpn(tls).len == 0) {
        tls->reason = "no application protocol";
        return false;
    }
    return true;
}

static int handshake(struct weir_tls *tls) {
    int ret = SSL_do_handshake(tls->ssl);
    if (ret == 1 && !resumed_well(tls)) {
        return die(tls);
    }
    if (ret == 1) {
        tls->state = WEIR_TLS_OPEN;
        return 0;
    }
    return SSL_get_error(tls->ssl, ret) == SSL_ERROR_WANT_READ ? 0 : die(tls);
}

/*
 * How much plaintext can come out next. A guess above costs nothing, a guess below one more turn of
 * the loop; it keeps small messages together in one chunk where reserving a whole record would open
 * a chunk for each.
 */
static size_t next_read_size(const struct weir_tls *tls) {
    size_t n = (size_t)SSL_pending(tls->ssl);
    if (n == 0) {
        n = tls->held + tls->call->in.len;
    }
    return n < 1 ? 1 : n > RECORD_MAX ? RECORD_MAX : n;
}

void weir_tls_on_message(int write, int version, int content, const void *bytes, size_t n, SSL *ssl,
                         void *arg) {
    struct weir_tls *tls = weir_tls_of(ssl);
    if (write == 0 && content == SSL3_RT_HANDSHAKE && tls->state == WEIR_TLS_OPEN &&
        tls->messages <= MESSAGES_MAX) {
        tls->messages++;
    }
}

static bool flooded(struct weir_tls *tls, size_t n_plain) {
    if (tls->messages > MESSAGES_MAX) {
        return true;
    }
    if (tls->messages > 0 && (tls->refilled += (uint32_t)n_plain) >= MESSAGES_REFILL) {
        tls->messages = 0;
        tls->refilled = 0;
    }
    return false;
}

/* SSL_read_ex failed: 0 = all taken, go on when more comes. */
static int read_failed(struct weir_tls *tls, size_t in_before) {
    int error = SSL_get_error(tls->ssl, 0);
    if (error == SSL_ERROR_WANT_READ) {
        return 0;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        tls->state = WEIR_TLS_ENDED;
        return WEIR_TLS_EOF;
    }
    /* Once our close_notify is out OpenSSL drops handshake messages (tickets, key updates) this
     * way. */
    if (error == SSL_ERROR_SYSCALL && tls->shutdown_sent && ERR_peek_error() == 0 && !tls->nomem &&
        tls->call->in.len < in_before) {
        return -EAGAIN;
    }
    return die(tls);
}

static int read_all(struct weir_tls *tls, struct weir_bufq *plain) {
    while (tls->call->in.len > 0 || SSL_has_pending(tls->ssl)) {
        size_t size = next_read_size(tls), n = 0, in_before = tls->call->in.len;
        char *dst = weir_bufq_reserve(plain, size);
        if (dst == NULL) {
            tls->nomem = true;
            return die(tls);
        }
        int ok = SSL_read_ex(tls->ssl, dst, size, &n);
        weir_bufq_commit(plain, ok == 1 ? n : 0);
        if (flooded(tls, n)) {
            tls->reason = "too many handshake messages";
            return die(tls);
        }
        if (ok == 1) {
            tls->held = 0;
            continue;
        }
        int r = read_failed(tls, in_before);
        if (r != -EAGAIN) {
            return r;
        }
    }
    return 0;
}

int weir_tls_feed(struct weir_tls *tls, struct weir_slice bytes, struct weir_bufq *plain,
                  struct weir_bufq *cipher) {
    if (tls->state == WEIR_TLS_DEAD) {
        return WEIR_TLS_FAULT;
    }
    if (tls->state == WEIR_TLS_ENDED) {
        return WEIR_TLS_EOF; /* nothing counts after close_notify */
    }
    struct weir_tls_call call = { bytes, cipher };
    begin(tls, &call);
    int r = tls->state == WEIR_TLS_HANDSHAKE ? handshake(tls) : 0;
    if (r == 0 && tls->state == WEIR_TLS_OPEN) {
        r = read_all(tls, plain);
    }
    return end(tls, r);
}

int weir_tls_start(struct weir_tls *tls, struct weir_bufq *cipher) {
    if (tls->state != WEIR_TLS_HANDSHAKE) {
        return tls->state == WEIR_TLS_DEAD ? WEIR_TLS_FAULT : 0;
    }
    struct weir_tls_call call = { WEIR_SLICE_NONE, cipher };
    begin(tls, &call);
    return end(tls, handshake(tls));
}

static int write_record(struct weir_tls *tls, const void *bytes, size_t n) {
    size_t written;
    return SSL_write_ex(tls->ssl, bytes, n, &written) == 1 ? 0 : die(tls);
}

/* One record from the segments at the head: without a copy if the first one fills it or is the only
 * one. */
static int write_head(struct weir_tls *tls, struct weir_bufq *plain, size_t *ret_n) {
    struct iovec iov[64];
    int n_iov = weir_bufq_peek(plain, iov, 64);
    if (n_iov == 1 || iov[0].iov_len >= RECORD_MAX) {
        size_t n = iov[0].iov_len < RECORD_MAX ? iov[0].iov_len : RECORD_MAX;
        *ret_n = n;
        return write_record(tls, iov[0].iov_base, n);
    }
    char record[RECORD_MAX];
    size_t used = 0;
    for (int i = 0; i < n_iov && used < RECORD_MAX; i++) {
        size_t room = RECORD_MAX - used;
        size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;
        memcpy(record + used, iov[i].iov_base, n);
        used += n;
    }
    *ret_n = used;
    return write_record(tls, record, used);
}

int weir_tls_write(struct weir_tls *tls, struct weir_bufq *plain, struct weir_bufq *cipher) {
    if (tls->state == WEIR_TLS_DEAD || tls->shutdown_sent) {
        return WEIR_TLS_FAULT;
    }
    if (tls->state == WEIR_TLS_HANDSHAKE) {
        return 0;
    }
    struct weir_tls_call call = { WEIR_SLICE_NONE, cipher };
    begin(tls, &call);
    int r = 0;
    while (r == 0 && plain->len > 0) {
        size_t n = 0;
        r = write_head(tls, plain, &n);
        if (r == 0) {
            weir_bufq_consume(plain, n);
        }
    }
    return end(tls, r);
}

void weir_tls_shutdown(struct weir_tls *tls, struct weir_bufq *cipher) {
    if (tls->shutdown_sent || (tls->state != WEIR_TLS_OPEN && tls->state != WEIR_TLS_ENDED)) {
        return;
    }
    struct weir_tls_call call = { WEIR_SLICE_NONE, cipher };
    begin(tls, &call);
    tls->shutdown_sent = true;
    if (SSL_shutdown(tls->ssl) < 0) {
        ERR_clear_error();
    }
    end(tls, 0);
}

/* --- answers --- */

bool weir_tls_established(const struct weir_tls *tls) {
    return tls->state == WEIR_TLS_OPEN || tls->state == WEIR_TLS_ENDED;
}

struct weir_slice weir_tls_alpn(const struct weir_tls *tls) {
    const unsigned char *name = NULL;
    unsigned int len = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &len);
    return weir_slice_make((const char *)name, len);
}

const struct weir_identity *weir_tls_peer(const struct weir_tls *tls) {
    return weir_tls_established(tls) ? tls->peer : NULL;
}

const char *weir_tls_peer_hash(const struct weir_tls *tls) {
    X509 *cert = weir_tls_established(tls) ? SSL_get0_peer_certificate(tls->ssl) : NULL;
    if (tls->peer_hash != NULL || cert == NULL) {
        return tls->peer_hash != NULL ? tls->peer_hash : "";
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    char *hex = weir_malloc(2 * HASH_BYTES + 1);
    if (hex == NULL || X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != HASH_BYTES) {
        ERR_clear_error();
        weir_free(hex);
        return "";
    }
    static const char digits[] = "0123456789abcdef";
    for (unsigned int i = 0; i < HASH_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * HASH_BYTES] = '\0';
    ((struct weir_tls *)(uintptr_t)tls)->peer_hash = hex; /* a cache, not state */
    return hex;
}

const char *weir_tls_sni(const struct weir_tls *tls) {
    const char *name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    return name != NULL ? name : "";
}

bool weir_tls_resumed(const struct weir_tls *tls) {
    return weir_tls_established(tls) && SSL_session_reused(tls->ssl) == 1;
}

struct weir_fault weir_tls_fault(const struct weir_tls *tls) {
    bool server = weir_tls_mode_is_server(tls->ctx->mode);
    return (struct weir_fault){
        .side = tls->fault_kind == WEIR_FAULT_INTERNAL ? WEIR_SIDE_LOCAL
                : server                               ? WEIR_SIDE_DOWNSTREAM
                                                       : WEIR_SIDE_UPSTREAM,
        .kind = tls->fault_kind,
    };
}

const char *weir_tls_fault_reason(const struct weir_tls *tls) {
    return tls->reason != NULL ? tls->reason : "";
}
