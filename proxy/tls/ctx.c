/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts: certificate, key, trust and protocol settings of one listener or one kind of
 * upstream, made once and then only read. New material means a new ctx; connections keep the one
 * they began with. The texts come from the caller; only an ordinary client without a CA of its own
 * reads files (the system's store).
 *
 * Resumption. Servers issue stateless tickets under keys of the process (tickets.h), so every worker takes them, and so does the ctx
 * of the next configuration. They are bound to the listener, the mode and the trust bundle by the session id context; where a peer
 * certificate matters it travels in the ticket and is verified again, chain, time and name, each time it is resumed. Clients resume
 * nothing. Early data is never accepted.
 */
#include "tls/ctx.h"

#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/err.h"
#include "base/mem.h"
#include "tls/csr_internal.h"
#include "tls/pem.h"
#include "tls/svid.h"
#include "tls/tickets.h"

#define OUTCOME_UNUSABLE 1

#define CIPHERS_12                                                                                 \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS     "X25519:P-256:P-384"
#define MAX_DEPTH  8
/* A peer's chain on the wire; OpenSSL's own 100 KiB invites waste before anyone is authenticated.
 */
#define MAX_CHAIN_BYTES (32 * 1024)

static int unusable(const char **ret_why, const char *why) {
    ERR_clear_error();
    *ret_why = why;
    return OUTCOME_UNUSABLE;
}

/* After a failed OpenSSL call: -ENOMEM if it was that, else unusable. */
static int failed(const char **ret_why, const char *why) {
    unsigned long first;
    if (weir_tls_errors_take(&first)) {
        return -ENOMEM;
    }
    return unusable(ret_why, why);
}

/* 0: *ret_cert is the next certificate, NULL at the end of the text. */
static int next_cert(BIO *bio, X509 **ret_cert, const char **ret_why, const char *why) {
    X509 *cert = PEM_read_bio_X509(bio, NULL, weir_pem_no_passphrase, NULL);
    if (cert == NULL) {
        unsigned long last = ERR_peek_last_error();
        if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE) {
            return failed(ret_why, why);
        }
        ERR_clear_error();
    }
    *ret_cert = cert;
    return 0;
}

static int add_chain(SSL_CTX *ssl_ctx, BIO *bio, const char **ret_why) {
    for (;;) {
        X509 *cert = NULL;
        int r = next_cert(bio, &cert, ret_why, "certificate: chain cannot be parsed");
        if (r != 0 || cert == NULL) {
            return r;
        }
        if (SSL_CTX_add0_chain_cert(ssl_ctx, cert) != 1) {
            X509_free(cert);
            return failed(ret_why, "certificate: chain refused");
        }
    }
}

static int load_chain(SSL_CTX *ssl_ctx, struct weir_slice text, const char **ret_why) {
    BIO *bio = weir_pem_open(text);
    if (bio == NULL) {
        return failed(ret_why, "certificate: too long");
    }
    X509 *leaf = NULL;
    int r = next_cert(bio, &leaf, ret_why, "certificate: cannot be parsed");
    if (r == 0 && leaf == NULL) {
        r = unusable(ret_why, "certificate: no PEM certificate in it");
    }
    if (r == 0 && SSL_CTX_use_certificate(ssl_ctx, leaf) != 1) {
        r = failed(ret_why, "certificate: refused (key too weak?)");
    }
    if (r == 0) {
        r = add_chain(ssl_ctx, bio, ret_why);
    }
    X509_free(leaf);
    BIO_free(bio);
    return r;
}

/* It must be the certificate's. */
static int use_key(SSL_CTX *ssl_ctx, EVP_PKEY *key, const char **ret_why) {
    if (X509_check_private_key(SSL_CTX_get0_certificate(ssl_ctx), key) != 1) {
        return failed(ret_why, "key: does not match the certificate");
    }
    return SSL_CTX_use_PrivateKey(ssl_ctx, key) == 1 ? 0 : failed(ret_why, "key: refused");
}

static int load_key(SSL_CTX *ssl_ctx, struct weir_slice text, const char **ret_why) {
    BIO *bio = weir_pem_open(text);
    if (bio == NULL) {
        return failed(ret_why, "key: too long");
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, weir_pem_no_passphrase, NULL);
    BIO_free(bio);
    if (key == NULL) {
        return failed(ret_why, "key: no readable, unencrypted PEM private key in it");
    }
    int r = use_key(ssl_ctx, key, ret_why);
    EVP_PKEY_free(key);
    return r;
}

static int load_ca(SSL_CTX *ssl_ctx, struct weir_slice text, bool announce, const char **ret_why) {
    BIO *bio = weir_pem_open(text);
    if (bio == NULL) {
        return failed(ret_why, "ca: too long");
    }
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
    int r, n = 0;
    for (;;) {
        X509 *cert = NULL;
        r = next_cert(bio, &cert, ret_why, "ca: cannot be parsed");
        if (r != 0 || cert == NULL) {
            break;
        }
        bool ok = X509_STORE_add_cert(store, cert) == 1 &&
                  (!announce || SSL_CTX_add_client_CA(ssl_ctx, cert) == 1);
        X509_free(cert);
        if (!ok) {
            r = failed(ret_why, "ca: refused");
            break;
        }
        n++;
    }
    BIO_free(bio);
    return r == 0 && n == 0 ? unusable(ret_why, "ca: no PEM certificate in it") : r;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned int in_len, void *arg) {
    const struct weir_tls_ctx *ctx = arg;
    unsigned char *chosen = NULL;
    /* Our order decides. No overlap ends the handshake (RFC 7301 3.2): guessing a protocol mixes
     * two up. */
    if (SSL_select_next_proto(&chosen, out_len, ctx->alpn, ctx->alpn_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int set_alpn(struct weir_tls_ctx *ctx, struct weir_slice alpn, const char **ret_why) {
    for (size_t at = 0; at < alpn.len; at += (size_t)(unsigned char)alpn.ptr[at] + 1) {
        size_t len = (unsigned char)alpn.ptr[at];
        if (len == 0 || len > alpn.len - at - 1) {
            return unusable(ret_why, "alpn: not a list of names");
        }
    }
    if (alpn.len == 0) {
        return 0;
    }
    ctx->alpn = weir_malloc(alpn.len);
    if (ctx->alpn == NULL) {
        return -ENOMEM;
    }
    memcpy(ctx->alpn, alpn.ptr, alpn.len);
    ctx->alpn_len = (unsigned int)alpn.len;
    if (weir_tls_mode_is_server(ctx->mode)) {
        SSL_CTX_set_alpn_select_cb(ctx->ssl_ctx, select_alpn, ctx);
    } else if (SSL_CTX_set_alpn_protos(ctx->ssl_ctx, ctx->alpn, ctx->alpn_len) != 0) {
        return failed(ret_why, "alpn: refused");
    }
    return 0;
}

/* Any name will do here. Without a callback that says so OpenSSL forgets it in sessions, and a
 * resumed TLS 1.2 connection would seem to have sent none. */
static int accept_name(SSL *ssl, int *alert, void *arg) {
    return SSL_TLSEXT_ERR_OK;
}

static bool set_protocol(SSL_CTX *ssl_ctx, bool mesh) {
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* RELEASE_BUFFERS: an idle connection holds no record buffer. NO_AUTO_CHAIN: send what the file
     * says, no CA. */
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_early_data(ssl_ctx, 0);
    SSL_CTX_set_security_level(ssl_ctx, 2);
    SSL_CTX_set_verify_depth(ssl_ctx, MAX_DEPTH);
    SSL_CTX_set_max_cert_list(ssl_ctx, MAX_CHAIN_BYTES);
    SSL_CTX_set_tlsext_servername_callback(ssl_ctx, accept_name);
    SSL_CTX_set_msg_callback(ssl_ctx, weir_tls_on_message);
    return SSL_CTX_set_min_proto_version(ssl_ctx, mesh ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ssl_ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl_ctx, CIPHERS_12) == 1 &&
           SSL_CTX_set_ciphersuites(ssl_ctx, CIPHERS_13) == 1 &&
           SSL_CTX_set1_groups_list(ssl_ctx, GROUPS) == 1;
}

/* What a session is good for: this listener, this mode, this bundle. */
static bool set_session_context(struct weir_tls_ctx *ctx, const struct weir_tls_params *p) {
    unsigned char hash[EVP_MAX_MD_SIZE], mode = (unsigned char)p->mode;
    const char *scope = p->scope != NULL ? p->scope : "",
               *domain = p->trust_domain != NULL ? p->trust_domain : "";
    unsigned int len = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, &mode, 1) == 1 &&
              EVP_DigestUpdate(md, scope, strlen(scope) + 1) == 1 &&
              EVP_DigestUpdate(md, domain, strlen(domain) + 1) == 1 &&
              EVP_DigestUpdate(md, p->material.ca.ptr, p->material.ca.len) == 1 &&
              EVP_DigestFinal_ex(md, hash, &len) == 1 &&
              SSL_CTX_set_session_id_context(ctx->ssl_ctx, hash, SSL_MAX_SID_CTX_LENGTH) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static bool set_resumption(struct weir_tls_ctx *ctx, const struct weir_tls_params *p) {
    if (weir_tls_mode_is_server(p->mode) && p->tickets != NULL) {
        ctx->tickets = weir_tickets_ref(p->tickets);
        return set_session_context(ctx, p) && weir_tls_tickets_offer(ctx, p->ticket_lifetime_s);
    }
    SSL_CTX_set_options(ctx->ssl_ctx, SSL_OP_NO_TICKET);
    /* An OpenSSL that knows the extension itself decides itself. */
    if (p->mode == WEIR_TLS_MESH_CLIENT && !weir_tls_tickets_unwanted(ctx->ssl_ctx)) {
        ERR_clear_error();
    }
    return SSL_CTX_set_num_tickets(ctx->ssl_ctx, 0) == 1;
}

/* Which peer certificates are wanted and what they are checked against. */
static int set_trust(struct weir_tls_ctx *ctx, const struct weir_tls_params *p,
                     const char **ret_why) {
    struct weir_slice ca = p->material.ca;
    SSL_CTX *ssl_ctx = ctx->ssl_ctx;
    bool mesh = weir_tls_mode_is_mesh(ctx->mode), server = weir_tls_mode_is_server(ctx->mode);
    int r = 0;
    if (ca.len > 0) {
        r = load_ca(ssl_ctx, ca, ctx->mode == WEIR_TLS_SERVER, ret_why);
    } else if (ctx->mode == WEIR_TLS_CLIENT && SSL_CTX_set_default_verify_paths(ssl_ctx) != 1) {
        r = failed(ret_why, "ca: the system's store cannot be read");
    }
    if (r != 0) {
        return r;
    }
    bool verify = !server || mesh || ca.len > 0;
    ctx->verify_peer = verify;
    SSL_CTX_set_verify(ssl_ctx,
                       verify ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE,
                       NULL);
    if (mesh) {
        SSL_CTX_set_cert_verify_callback(ssl_ctx, weir_tls_verify_mesh, NULL);
    } else if (ctx->n_sans > 0) {
        SSL_CTX_set_cert_verify_callback(ssl_ctx, weir_tls_verify_sans, NULL);
    }
    return set_resumption(ctx, p) ? 0 : failed(ret_why, "no session settings");
}

static int64_t cert_not_after(X509 *leaf) {
    struct tm tm;
    return leaf != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1
               ? (int64_t)timegm(&tm)
               : 0;
}

/* Own identity: must be one in mesh modes, is taken if there in the others. */
static int read_own(struct weir_tls_ctx *ctx, const char **ret_why) {
    X509 *leaf = SSL_CTX_get0_certificate(ctx->ssl_ctx);
    ctx->not_after = cert_not_after(leaf);
    if (!weir_tls_mode_is_mesh(ctx->mode)) {
        return 0;
    }
    enum weir_svid_role role =
        weir_tls_mode_is_server(ctx->mode) ? WEIR_SVID_SERVER : WEIR_SVID_CLIENT;
    int r = weir_svid_check(leaf, role, ctx->trust_domain, &ctx->id, ret_why);
    if (r > 0) {
        static _Thread_local char why[128];
        snprintf(why, sizeof(why), "certificate: %s", *ret_why);
        return unusable(ret_why, why);
    }
    return r;
}

/* What each mode cannot do without; NULL = all there. */
static const char *find_missing(const struct weir_tls_params *p) {
    const struct weir_tls_material *m = &p->material;
    bool mesh = weir_tls_mode_is_mesh(p->mode);
    if (m->cert_chain.len == 0 && (mesh || p->mode == WEIR_TLS_SERVER)) {
        return "certificate: none given";
    }
    if (m->cert_chain.len == 0 && m->key.len > 0) {
        return "key: given without a certificate";
    }
    if (m->ca.len == 0 && mesh) {
        return "ca: none given";
    }
    if (mesh && (p->trust_domain == NULL || p->trust_domain[0] == '\0')) {
        return "trust domain: none given";
    }
    return NULL;
}

static int copy_sans(struct weir_tls_ctx *ctx, const struct weir_tls_params *p) {
    if (p->n_sans == 0) {
        return 0;
    }
    ctx->sans = weir_calloc(p->n_sans, sizeof(*ctx->sans));
    if (ctx->sans == NULL) {
        return -ENOMEM;
    }
    for (; ctx->n_sans < p->n_sans; ctx->n_sans++) {
        const struct weir_tls_san *san = &p->sans[ctx->n_sans];
        ctx->sans[ctx->n_sans] =
            (struct weir_tls_san){ san->uri, weir_strndup(san->value, strlen(san->value)) };
        if (ctx->sans[ctx->n_sans].value == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int fill(struct weir_tls_ctx *ctx, const struct weir_tls_params *p, const char **ret_why) {
    const struct weir_tls_material *m = &p->material;
    if (p->trust_domain != NULL) {
        ctx->trust_domain = weir_strndup(p->trust_domain, strlen(p->trust_domain));
        if (ctx->trust_domain == NULL) {
            return -ENOMEM;
        }
    }
    if (copy_sans(ctx, p) != 0) {
        return -ENOMEM;
    }
    ctx->bio = weir_tls_bio_method();
    ctx->ssl_ctx =
        SSL_CTX_new(weir_tls_mode_is_server(p->mode) ? TLS_server_method() : TLS_client_method());
    if (ctx->bio == NULL || ctx->ssl_ctx == NULL) {
        ERR_clear_error();
        return -ENOMEM;
    }
    if (!set_protocol(ctx->ssl_ctx, weir_tls_mode_is_mesh(p->mode))) {
        return failed(ret_why, "this OpenSSL lacks a protocol version or cipher");
    }
    int r = set_trust(ctx, p, ret_why);
    if (r == 0) {
        r = set_alpn(ctx, p->alpn, ret_why);
    }
    if (r == 0 && m->cert_chain.len > 0) {
        r = load_chain(ctx->ssl_ctx, m->cert_chain, ret_why);
        if (r == 0 && m->own_key != NULL) {
            r = use_key(ctx->ssl_ctx, m->own_key->pkey, ret_why);
        } else if (r == 0) {
            /* Certificate and key may come in one file. */
            r = load_key(ctx->ssl_ctx, m->key.len > 0 ? m->key : m->cert_chain, ret_why);
        }
    }
    return r == 0 ? read_own(ctx, ret_why) : r;
}

static struct weir_tls_ctx *ctx_free(struct weir_tls_ctx *ctx) {
    SSL_CTX_free(ctx->ssl_ctx);
    weir_tickets_unref(ctx->tickets);
    BIO_meth_free(ctx->bio);
    weir_free(ctx->id);
    weir_free(ctx->trust_domain);
    for (uint32_t i = 0; i < ctx->n_sans; i++) {
        weir_free((char *)(uintptr_t)ctx->sans[i].value);
    }
    weir_free(ctx->sans);
    weir_free(ctx->alpn);
    return weir_free(ctx);
}

int weir_tls_ctx_new(const struct weir_tls_params *params, struct weir_tls_ctx **ret_ctx,
                     const char **ret_why) {
    const char *missing = find_missing(params);
    if (missing != NULL) {
        *ret_why = missing;
        return OUTCOME_UNUSABLE;
    }
    struct weir_tls_ctx *ctx = weir_calloc(1, sizeof(*ctx));
    if (ctx == NULL) {
        return -ENOMEM;
    }
    weir_ref_init(&ctx->ref);
    ctx->mode = params->mode;
    int r = fill(ctx, params, ret_why);
    ERR_clear_error();
    if (r != 0) {
        ctx_free(ctx);
        return r;
    }
    *ret_ctx = ctx;
    return 0;
}

struct weir_tls_ctx *weir_tls_ctx_ref(struct weir_tls_ctx *ctx) {
    weir_ref_inc(&ctx->ref);
    return ctx;
}

struct weir_tls_ctx *weir_tls_ctx_unref(struct weir_tls_ctx *ctx) {
    if (ctx != NULL && weir_ref_dec(&ctx->ref)) {
        ctx_free(ctx);
    }
    return NULL;
}

void weir_tls_ctx_stop(struct weir_tls_ctx *ctx) {
    atomic_store_explicit(&ctx->stopped, true, memory_order_relaxed);
}

const struct weir_identity *weir_tls_ctx_identity(const struct weir_tls_ctx *ctx) {
    static const struct weir_identity none = { "", "", "", "" };
    return ctx->id != NULL ? ctx->id : &none;
}

int64_t weir_tls_ctx_not_after(const struct weir_tls_ctx *ctx) {
    return ctx->not_after;
}

enum weir_tls_mode weir_tls_ctx_mode(const struct weir_tls_ctx *ctx) {
    return ctx->mode;
}
