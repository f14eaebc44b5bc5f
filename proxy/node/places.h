/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods by their UID: kubelet puts it into the name of the pod's cgroup, with either driver ("pod<UID>",
 * "kubepods-burstable-pod<UID with _>.slice"). Below it are the containers' ("<ID>", "cri-containerd-<ID>.scope"), and in
 * those the processes, one of which stands for the pod's network namespace. Needs neither the runtime nor its CNI.
 */
#ifndef WEIR_NODE_PLACES_H
#define WEIR_NODE_PLACES_H

#include <sys/types.h>

#include "base/err.h"

/* A pod wanted, and where it is. */
struct weir_uid_place {
    char uid[64];
    char sidecar_id[72]; /* the sidecar's container; "" = none yet */
    char cgroup[512];    /* below the cgroup2 mount; "" = not found */
    char sidecar[256];   /* its directory below cgroup; "" = none yet */
    pid_t pid;           /* 0 = no process yet */
};

struct weir_uid_places {
    struct weir_uid_place *items;
    uint32_t n;
};

void weir_uid_places_deinit(struct weir_uid_places *p);
/* Another one to look for; what was known of that UID is kept from `before`. 0, -ENOMEM. */
int weir_uid_places_add(struct weir_uid_places *p, const struct weir_uid_places *before,
                        const char *uid, const char *sidecar_id);
/* mount: of cgroup2; parent: the pods' parent, absolute. True: something is elsewhere than it was. */
bool weir_uid_places_look(struct weir_uid_places *p, const char *mount, const char *parent);
/*
 * The pod's cgroup that a process is in, below parent: by the lists of processes, since a process in a cgroup namespace does not
 * see its own path. False: in none.
 */
bool weir_uid_places_of(const char *parent, pid_t pid, char ret_path[1024]);
/* NULL = not wanted. */
const struct weir_uid_place *weir_uid_places_find(const struct weir_uid_places *p, const char *uid);
/* The UID in the name of a pod's cgroup, as the API has it; false: it is not such a name. */
bool weir_uid_of_cgroup(const char *name, char ret_uid[64]);
/* A directory between the pods' parent and the pods: kubepods, burstable, besteffort, with either driver. */
bool weir_uid_is_between(const char *name);

#endif
