/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's broker of certificates (docs/adr/0026): takes the request of a workload that the caller has proven to be one
 * of a pod of this node, holds it to that pod's identity, and has it signed: by the mesh's signer through the API server, or
 * where there is no cluster by a development CA in a directory. Keys of workloads never come here.
 */
#ifndef WEIR_NODE_SIGN_H
#define WEIR_NODE_SIGN_H

#include "base/list.h"
#include "base/slice.h"

struct weir_agent;
struct weir_textbuf;

#define WEIR_SIGN_REQUESTS 256u /* under way at a time */

/* Borrowed until the callback returns. */
struct weir_sign_answer {
    const char *why;                 /* refused, or it failed: why; NULL = signed: */
    struct weir_slice chain, bundle; /* leaf first; all CAs to trust: PEM */
};

/* Embedded in whoever asks. */
struct weir_sign_request {
    /* the caller's: borrowed until weir_sign_ask returns */
    const char *ns,
        *account;          /* of the pod; the identity is spiffe://TRUSTDOMAIN/ns/NS/sa/ACCOUNT */
    struct weir_slice csr; /* PKCS#10, PEM */
    /* The request is the caller's again; it may be asked anew, or freed, from within. */
    void (*done)(struct weir_sign_request *request, const struct weir_sign_answer *answer);
    void *arg;
    /* sign.c's; zero at first */
    struct weir_list link;
    struct weir_agent *agent;
    bool asked;
    struct weir_sign_kube_request *kube; /* sign_kube.c */
};

/* Answers through done, from within or later. One that is under way already is left as it is. */
void weir_sign_ask(struct weir_agent *a, struct weir_sign_request *request);
/* No answer follows. At any time, also when nothing was asked. */
void weir_sign_forget(struct weir_sign_request *request);
/* All CAs to trust, PEM; "" = none is known. Borrowed until the next turn of the loop. */
struct weir_slice weir_sign_bundle(const struct weir_agent *a);
/* Another number when the bundle is another one: who passes it on looks once a second. 0 = none is known. */
uint64_t weir_sign_bundle_generation(const struct weir_agent *a);
/* Is there anybody to sign? Else there are no certificates. */
bool weir_sign_on(const struct weir_agent *a);

/* agent.c: 0 or -errno. */
int weir_sign_open(struct weir_agent *a);
void weir_sign_tick(struct weir_agent *a);
void weir_sign_close(struct weir_agent *a);
void weir_sign_status(const struct weir_agent *a, struct weir_textbuf *out);
struct weir_sign_figures {
    uint64_t asked, issued, refused, failed, waiting;
};
struct weir_sign_figures weir_sign_figures(const struct weir_agent *a);

#endif
