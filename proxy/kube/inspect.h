/* SPDX-License-Identifier: Apache-2.0 */
/* `weir check` of a cluster: can the API server be reached, and may whoever asks do what the agent has to. */
#ifndef WEIR_KUBE_INSPECT_H
#define WEIR_KUBE_INSPECT_H

#include "base/err.h"

/* One finding; strings are borrowed until return. fix: what mends it; "" when nothing is the matter. */
struct weir_kube_finding {
    enum { WEIR_KUBE_FINE, WEIR_KUBE_DOUBTFUL, WEIR_KUBE_FAILS } state;
    const char *what, *found, *fix;
};
typedef void weir_kube_finding_fn(void *arg, const struct weir_kube_finding *finding);

/* kubeconfig: as weir_kube_access_init. Blocks, a few seconds at most. 0, -ENOMEM, -errno. */
int weir_kube_inspect(const char *kubeconfig, weir_kube_finding_fn *fn, void *arg);

#endif
