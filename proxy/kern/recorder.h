/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder of the kubelet's connections (bpf/probe.bpf.c), the one program that is not on the pods' parent. */
#ifndef WEIR_KERN_RECORDER_H
#define WEIR_KERN_RECORDER_H

#include "kern/kern.h"

/*
 * On that cgroup2 directory (absolute path) from now on, and nowhere else; NULL or "" = nowhere. Stays when the agent ends, as all that is
 * pinned. 0 or -errno (-ENOENT: no such cgroup; -EINVAL: the root, or no cgroup): then it is nowhere.
 */
int weir_kern_record_probes(struct weir_kern *k, const char *cgroup);
/* The id of the cgroup where a pinned recorder is; 0 = none. */
uint64_t weir_kern_recorder(const char *pin_dir);

#endif
