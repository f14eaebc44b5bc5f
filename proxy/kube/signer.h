/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `weir signer` (docs/adr/0026): one of several, elected by a Lease, follows the CertificateSigningRequests of its name and
 * approves and signs those that a node's agent makes for a pod of that node; the others it denies, with the reason. It opens
 * no port. The CA is read from files each time, so that a Secret that changed needs no restart.
 */
#ifndef WEIR_KUBE_SIGNER_H
#define WEIR_KUBE_SIGNER_H

#include "kube/signing.h"

#define WEIR_KUBE_SIGNER_LEASE  "weir-signer"
#define WEIR_KUBE_SIGNER_BUNDLE "weir-trust-bundle" /* ConfigMap, key ca.crt */

struct weir_kube_signer_params {
    struct weir_kube_csr_policy policy;
    const char *ca_dir;     /* tls.crt, tls.key, and ca.crt: all CAs to trust (default tls.crt) */
    const char *kubeconfig; /* as weir_kube_access_init */
    const char *member;     /* name of this one among its replicas */
};

/* Until SIGTERM or SIGINT. 0, or 1 = could not start (said on stderr). */
int weir_kube_signer_run(const struct weir_kube_signer_params *params);

#endif
