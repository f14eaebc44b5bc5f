/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is the peer? For an ordinary client with a list of names: any of them will do. For a mesh peer the chain must end in the one bundle of the ctx (its own store, no system
 * roots, no partial chains), the leaf must be an SVID of the ctx's trust domain, the server's id
 * must be the expected one, and mesh peers must have agreed on an application protocol. It runs
 * inside the handshake, so nothing is ever sent to, or taken from, a peer that failed.
 */
#include "tls/ctx.h"

#include <stdio.h>

#include <openssl/x509v3.h>

#include "base/err.h"
#include "base/mem.h"
#include "tls/svid.h"

static int refuse(X509_STORE_CTX *store_ctx, struct weir_tls *tls, uint8_t kind, const char *why) {
    tls->fault_kind = kind;
    tls->reason = why;
    X509_STORE_CTX_set_error(store_ctx, X509_V_ERR_CERT_REJECTED);
    return 0;
}

static int refuse_mismatch(X509_STORE_CTX *store_ctx, struct weir_tls *tls, const char *got) {
    static const char fmt[] = "identity mismatch: expected %s, got %s";
    size_t size = sizeof(fmt) + strlen(tls->expect) + strlen(got);
    tls->reason_text = weir_malloc(size);
    if (tls->reason_text != NULL) {
        snprintf(tls->reason_text, size, fmt, tls->expect, got);
    }
    return refuse(store_ctx, tls, WEIR_FAULT_IDENTITY,
                  tls->reason_text != NULL ? tls->reason_text : "identity mismatch");
}

static int refuse_nomem(X509_STORE_CTX *store_ctx, struct weir_tls *tls) {
    tls->nomem = true;
    X509_STORE_CTX_set_error(store_ctx, X509_V_ERR_OUT_OF_MEM);
    return 0;
}

static bool has_alpn(const SSL *ssl) {
    const unsigned char *name;
    unsigned int len;
    SSL_get0_alpn_selected(ssl, &name, &len);
    return len > 0;
}

int weir_tls_verify_mesh(X509_STORE_CTX *store_ctx, void *arg) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store_ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct weir_tls *tls = weir_tls_of(ssl);
    bool chain_ok;
    if (atomic_load_explicit(&tls->ctx->stopped, memory_order_relaxed)) {
        return refuse(store_ctx, tls, WEIR_FAULT_TLS, "own certificate: none that is valid");
    }
    chain_ok = X509_verify_cert(store_ctx) == 1;
    /* OpenSSL's "purpose" covers several SVID rules; those have better names. */
    if (!chain_ok && X509_STORE_CTX_get_error(store_ctx) != X509_V_ERR_INVALID_PURPOSE) {
        return 0;
    }
    enum weir_svid_role role =
        tls->ctx->mode == WEIR_TLS_MESH_CLIENT ? WEIR_SVID_SERVER : WEIR_SVID_CLIENT;
    WEIR_CLEANUP(weir_freep)
    struct weir_identity *id = NULL;
    const char *why = NULL;
    int r = weir_svid_check(X509_STORE_CTX_get0_cert(store_ctx), role, tls->ctx->trust_domain, &id,
                            &why);
    if (r < 0) {
        return refuse_nomem(store_ctx, tls);
    }
    if (r > 0) {
        return refuse(store_ctx, tls, WEIR_FAULT_IDENTITY, why);
    }
    if (!chain_ok) {
        return 0;
    }
    if (tls->expect != NULL && strcmp(tls->expect, id->uri) != 0) {
        return refuse_mismatch(store_ctx, tls, id->uri);
    }
    /* A ticket is looked at before a protocol is chosen: the engine asks then. */
    if (arg == NULL && tls->ctx->alpn_len > 0 && !has_alpn(ssl)) {
        return refuse(store_ctx, tls, WEIR_FAULT_TLS, "no application protocol");
    }
    weir_free(tls->peer);
    tls->peer = id;
    id = NULL;
    return 1;
}

static bool has_uri(X509 *cert, const char *uri) {
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t len = strlen(uri);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        found = name->type == GEN_URI &&
                (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier) == len &&
                memcmp(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), uri, len) == 0;
    }
    GENERAL_NAMES_free(names);
    return found;
}

int weir_tls_verify_sans(X509_STORE_CTX *store_ctx, void *arg) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store_ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct weir_tls *tls = weir_tls_of(ssl);
    X509 *cert = X509_STORE_CTX_get0_cert(store_ctx);
    if (X509_verify_cert(store_ctx) != 1) {
        return 0;
    }
    for (uint32_t i = 0; i < tls->ctx->n_sans; i++) {
        const struct weir_tls_san *san = &tls->ctx->sans[i];
        if (san->uri ? has_uri(cert, san->value)
                     : X509_check_host(cert, san->value, 0,
                                       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                           X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                                       NULL) == 1) {
            return 1;
        }
    }
    return refuse(store_ctx, tls, WEIR_FAULT_IDENTITY, "none of the names demanded");
}
