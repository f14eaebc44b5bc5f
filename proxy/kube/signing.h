/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CertificateSigningRequests of the mesh (certificates.k8s.io/v1), from both sides: what an agent asks and what it reads of
 * the answer, and what the signer holds a request to. Pure; jansson stands for the JSON. Texts are json_dumps' memory, free(3).
 */
#ifndef WEIR_KUBE_SIGNING_H
#define WEIR_KUBE_SIGNING_H

#include <jansson.h>

#include "base/err.h"
#include "base/slice.h"

struct weir_csr;

#define WEIR_KUBE_CSRS           "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#define WEIR_KUBE_CSR_SHORTEST_S 600 /* the API server takes no shorter life */

/* The object to be created, with a name of the server's choice. NULL = no memory. */
char *weir_kube_csr_new(const char *signer, struct weir_slice pem, int64_t lifetime_s);

enum weir_kube_csr_state {
    WEIR_KUBE_CSR_WAITS,
    WEIR_KUBE_CSR_APPROVED, /* and not signed yet */
    WEIR_KUBE_CSR_SIGNED,
    WEIR_KUBE_CSR_REFUSED, /* denied, or the signer failed */
};
/* *ret_text: of SIGNED the chain, PEM, to be weir_free'd; of REFUSED why, likewise. 0, -ENOMEM. */
int weir_kube_csr_read(const json_t *object, enum weir_kube_csr_state *ret_state, char **ret_text);

struct weir_kube_csr_policy {
    const char *signer; /* its name */
    const char *trust_domain;
    const char *requester; /* username of the agents: "system:serviceaccount:NS:NAME" */
    int64_t longest_s;     /* life that is given at most */
};

/* What a request is about; strings are the object's, which must live as long. */
struct weir_kube_csr_asked {
    struct weir_csr *csr; /* weir_csr_free */
    const char *node;     /* of who asks, as the API server wrote it */
    int64_t lifetime_s;
};

/* 0; -ENOMEM; 1: it is to be denied, *ret_why (static). */
int weir_kube_csr_check(const json_t *object, const struct weir_kube_csr_policy *policy,
                        struct weir_kube_csr_asked *ret_asked, const char **ret_why);
/* In a PodList: one of that node and service account that has not ended. */
bool weir_kube_csr_has_pod(const json_t *list, const char *node, const char *account);
/* The object with a condition ("Approved", "Denied", "Failed"), for its approval or status; NULL = no memory. */
char *weir_kube_csr_condition(const json_t *object, const char *type, const char *reason,
                              const char *message);
/* The object with the certificate in its status. */
char *weir_kube_csr_signed(const json_t *object, struct weir_slice pem);

#endif
