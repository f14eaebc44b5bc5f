/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the API server is and what is shown to it: the service account of a pod, or a kubeconfig. Files named there are read
 * anew when asked to: a token is renewed before it expires, certificates now and then.
 */
#ifndef WEIR_KUBE_ACCESS_H
#define WEIR_KUBE_ACCESS_H

#include "base/err.h"
#include "conf/model.h"

struct weir_tls_ctx;

struct weir_kube_access {
    char *server; /* as it was given: for messages */
    char *host;   /* name or address, without brackets */
    char *sni;    /* what its certificate has to be for */
    uint16_t port;
    bool tls;     /* else plain, on a loopback address */
    bool literal; /* host is ip */
    struct weir_ip ip;
    char *ns; /* of the service account, or of the context; "" = not given */
    /* Texts, and the files they come from (NULL = given in place, or not at all). */
    char *ca, *cert, *key, *token;
    char *ca_file, *cert_file, *key_file, *token_file;
    struct weir_tls_ctx *ctx; /* NULL without TLS */
    char why[320];            /* after a refusal */
};

/* Positive outcome: refused; access->why says where and how to mend it. */
enum { WEIR_KUBE_REFUSED = 1 };

/*
 * kubeconfig: path; NULL = that of $KUBECONFIG, else the pod's service account. 0, -ENOMEM, WEIR_KUBE_REFUSED. Deinit in
 * each case.
 */
int weir_kube_access_init(struct weir_kube_access *a, const char *kubeconfig);
void weir_kube_access_deinit(struct weir_kube_access *a);
/* Reads the files again; what cannot be read or used stays as it was. 0, -ENOMEM, WEIR_KUBE_REFUSED. */
int weir_kube_access_refresh(struct weir_kube_access *a);

/* Of whoever asks: where its Lease is. */
static inline const char *weir_kube_access_namespace(const struct weir_kube_access *a) {
    return a->ns && a->ns[0] ? a->ns : "weir-system";
}

#endif
