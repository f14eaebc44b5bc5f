/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proof of interception: a process inside of the pod's cgroup and namespace calls the reserved
 * address, and the programs must have refused and counted it for that pod; and the namespace's
 * sk_lookup program must be in its place.
 */
#ifndef WEIR_KERN_PROOF_H
#define WEIR_KERN_PROOF_H

#include "kern/kern.h"

enum weir_proof {
    WEIR_PROOF_NOT_REFUSED = 1, /* the call went out */
    WEIR_PROOF_NOT_SEEN,        /* refused, but not by us, or not for this pod */
    WEIR_PROOF_NO_LOOKUP,       /* nothing of ours decides what arrives */
};
const char *weir_proof_text(int outcome);

/*
 * cgroup: absolute path of the pod's directory. has_lookup: the pod has a namespace of its own with a
 * program in it. 0 = proven, enum weir_proof, -errno: it could not be
 * tried (-ENOTCONN: the helper is away).
 */
int weir_kern_prove(struct weir_kern *k, uint32_t pod, const char *cgroup, int netns_fd,
                    bool has_lookup);

/*
 * Was this connection inside of a pod begun by a socket that was made in its sidecar's cgroup? tuple: as its maker sees it
 * (weir_tuple, kind 0); sockops has written it down before the SYN left, and takes it back at the end. 0: so it is; -ENOENT; -errno.
 */
int weir_kern_by_sidecar(const struct weir_kern *k, const struct weir_tuple *tuple);

#endif
