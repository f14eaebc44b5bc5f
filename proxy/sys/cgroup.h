/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup2 hierarchy as files. Paths are absolute unless said otherwise; a "relative path"
 * begins with "/" at the mount. */
#ifndef WEIR_SYS_CGROUP_H
#define WEIR_SYS_CGROUP_H

#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"

/* Mount point of the cgroup2 hierarchy out of a mountinfo text. 0, -ENOENT (no cgroup2),
 * -ENAMETOOLONG. */
int weir_cgroup_mount_parse(struct weir_slice mountinfo, char *ret_path, size_t size);
/* The same of this process. 0 or -errno. */
int weir_cgroup_mount(char *ret_path, size_t size);
/*
 * Mount point + relative path. -EINVAL for the root itself and for "." or ".." in it: nothing of
 * weir's may be attached to or made at the root. 0 or -errno.
 */
int weir_cgroup_path(const char *relative, char *ret_path, size_t size);
/* The 64-bit id that bpf_get_current_cgroup_id() and friends answer. 0 or -errno; -ENOTSUP: not a
 * cgroup2 directory. */
int weir_cgroup_id(const char *path, uint64_t *ret_id);
/* Relative path of a process' cgroup (pid 0 = this process). 0 or -errno. */
int weir_cgroup_of(pid_t pid, char *ret_relative, size_t size);
/* mkdir; the parent must exist. 0, -EEXIST, ... */
int weir_cgroup_create(const char *path);
/* rmdir; -EBUSY while it has processes or children. */
int weir_cgroup_remove(const char *path);
/* Moves a process (pid 0 = this process) into the cgroup. 0 or -errno. */
int weir_cgroup_enter(const char *path, pid_t pid);

/* Where a kubelet keeps its pods on this machine, with either cgroup driver: a relative path, static; "" = nowhere. */
const char *weir_cgroup_pods(void);

#endif
