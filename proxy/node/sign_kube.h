/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for certificates brought to the cluster's signer: as CertificateSigningRequests. Of sign.c only. */
#ifndef WEIR_NODE_SIGN_KUBE_H
#define WEIR_NODE_SIGN_KUBE_H

#include "node/sign.h"

struct weir_sign_kube;

/* 0, -ENOMEM, -errno. The cluster is followed already. */
int weir_sign_kube_new(struct weir_agent *a, struct weir_sign_kube **ret_kube);
/* Takes NULL. Nothing is waiting any more. */
void weir_sign_kube_free(struct weir_sign_kube *k);
/* Answered by weir_sign_answer, later. */
void weir_sign_kube_ask(struct weir_sign_kube *k, struct weir_sign_request *q);
void weir_sign_kube_forget(struct weir_sign_request *q);

/* sign.c */
struct weir_sign_kube *weir_sign_kube_of(const struct weir_agent *a);
void weir_sign_answer(struct weir_sign_request *q, const struct weir_sign_answer *answer);
int64_t weir_sign_lifetime_s(const struct weir_agent *a);

#endif
