/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that has to be done inside of a pod's network namespace or cgroup, and so needs more privilege
 * than the programs do (decisions.md 1): one file, so that a helper can take it over as it stands.
 * Every namespace and cgroup is a descriptor that the caller has opened and keeps.
 */
#ifndef WEIR_KERN_NETNS_H
#define WEIR_KERN_NETNS_H

#include "base/err.h"

/* Cookie of the namespace. 0 or -errno. */
int weir_netns_cookie(int netns_fd, uint64_t *ret_cookie);
/* An iterator over the namespace's sockets, made from the link of an iterator program. 0 or -errno. */
int weir_netns_walk(int netns_fd, int link_fd, int *ret_iter_fd);
/* A netlink socket in the namespace that may look up and destroy its sockets. 0 or -errno. */
int weir_netns_diag(int netns_fd, int *ret_fd);

/*
 * A process of its own, made in the cgroup and moved into the namespace, calls connect() with the
 * reserved addresses (weir_addr_is_canary), waits for no answer and ends. 0: *ret says what
 * happened; -errno: it could not be made (-EBUSY: the cgroup hands controllers on and takes no
 * process: use a leaf).
 */
struct weir_canary {
    int v4, v6; /* errno of the connect; 0 = nobody refused it; -1 = no socket of that family */
};
int weir_netns_canary(int cgroup_fd, int netns_fd, struct weir_canary *ret);

#endif
