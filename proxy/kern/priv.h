/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share. Nobody else includes it. */
#ifndef WEIR_KERN_PRIV_H
#define WEIR_KERN_PRIV_H

#include <limits.h>

#include "kern/http.h"
#include "kern/join.h"
#include "kern/kern.h"

struct bpf_link;
struct weir_bpf;
struct ring_buffer;

struct weir_kern {
    char pin_dir[PATH_MAX];
    char cgroup[PATH_MAX];
    int lock_fd;   /* pin_dir itself, flock()ed: one owner */
    int cgroup_fd; /* the pods' parent */
    struct weir_helper *helper;
    bool adopted;
    struct weir_bpf *bpf;
    int map_fds[WEIR_MAP_COUNT_]; /* owned by bpf */
    struct ring_buffer *rings;
    weir_kern_event_fn *event_fn;
    void *event_arg;
    weir_kern_http_fn *http_fn;
    void *http_arg;
    struct bpf_link *tls_sockets; /* tls.c; NULL = off */
};

/* "pin_dir/sub" or "pin_dir/sub/name". 0 or -ENAMETOOLONG. */
int weir_pin_path(const char *pin_dir, const char *sub, const char *name, char *ret, size_t size);
/* Directory of pins made, looked at for strangers, and locked. 0, -errno, OWNED, FOREIGN. */
int weir_pin_dir_open(const char *pin_dir, bool create, int *ret_lock_fd);
/* Names in pin_dir/sub; fn returns nonzero to stop (forwarded). No such directory: 0. */
int weir_pin_each(const char *pin_dir, const char *sub, int (*fn)(void *arg, const char *name),
                  void *arg);
/* pins.c: weir_kern_pins without an agent; the object need not be loaded. */
int weir_pins_look(const struct weir_bpf *bpf, const char *pin_dir, weir_pin_fn *fn, void *arg,
                   uint32_t *ret_n);
/* Takes down what the link pinned at path does, at once and even if somebody else holds it, and the
 * pin. 0 or -errno. */
int weir_pin_link_remove(const char *path);

/* The one program that is not for the pods' parent: see recorder.h. */
#define WEIR_RECORDER "weir_probe_record"
/* A cgroup2 directory that is not the root. 0 or -errno. */
int weir_cgroup_open(const char *path, int *ret_fd);
/* Pins the program on that cgroup; replaced through its link when it is there already. 0 or -errno. */
struct bpf_program;
int weir_link_attach(struct weir_kern *k, const struct bpf_program *prog, int cgroup_fd);

/* Is the pinned sk_lookup link of the pod alive in that namespace? */
bool weir_pod_link_lives(const struct weir_kern *k, uint32_t pod, int netns_fd);

/* Routes libbpf's messages into sys/log. */
void weir_libbpf_log(void);

/* The object with its maps pinned under pin_dir/maps; for one pod's namespace when pod is not 0. 0,
 * -errno, REFUSED. */
int weir_object_load(const char *pin_dir, uint32_t pod, uint64_t netns, struct weir_bpf **ret_bpf);

/* join.c. Why this kernel cannot join sockets, or NULL. */
const char *weir_join_possible(void);
/* One of the programs that only joining needs. */
bool weir_join_is_program(const struct weir_bpf *bpf, const struct bpf_program *prog);
/* The programs of the two sockhashes; replaces those that are there. 0 or -errno. */
int weir_join_attach(const struct weir_bpf *bpf);
/* The same for the count of what a joined reader has unread (sk_psock.msg_tot_len). */
bool weir_join_counted(void);
/* join_test.c, in a child inside the cgroup `path`, below which `own` is that of the sidecar. Fills
 * the report; a why is a step's name and what came of it. */
void weir_join_try(const struct weir_bpf *bpf, const char *path, const char *own,
                   struct weir_join_report *ret_report);
/* The same through weir_join_look of any loaded object. 0 or -errno. */
int weir_join_look_with(const struct weir_bpf *bpf, struct weir_join_look *ret_look);
/* Leaves out what this kernel cannot have and weir can do without. 0 or -errno. */
int weir_object_optional(struct weir_bpf *bpf);

/* A name followed by the process' number, below the pods' parent. */
#define WEIR_JOIN_CGROUP "weir-join-"
/* sweep.c: removes what killed processes left below the pods' parent; tells what would not go (left may
 * be NULL) and returns how many those are. */
uint32_t weir_sweep_cgroups(const char *parent, void (*left)(void *arg, const char *what),
                            void *arg);

/* One of the programs that are on the pods' parent only while HTTP is looked at (http.c). */
bool weir_http_is_program(const struct bpf_program *prog);
/* One of those that look at OpenSSL (tls.c). */
bool weir_tls_is_program(const struct bpf_program *prog);
/* events.c: the first n slots of a map of counters, each summed over cores. 0 or -errno. */
int weir_kern_sums(const struct weir_kern *k, const char *map, uint32_t n, uint64_t *ret_sums);
/* In kern.c: descriptor of a map not in enum weir_map, "weir_count"; borrowed, -ENOENT. */
int weir_kern_map_fd(const struct weir_kern *k, const char *name);

#endif
