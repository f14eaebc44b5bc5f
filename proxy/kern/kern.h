/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel half as the agent sees it: programs loaded, attached and pinned; typed maps; counters
 * and events. One struct weir_kern owns one node directory <pin_dir>: maps/NAME         every map
 * of include/weir/abi/maps.h links/PROGRAM     the cgroup programs on the pods' parent pods/ID the
 * sk_lookup instance of a pod's network namespace What is pinned works on when the agent is gone;
 * opening again adopts it: maps are kept as they are, each program is replaced through its link, so
 * no packet meets a moment without a program. This room knows no pod names and no configuration
 * (kern/plan.c turns a snapshot into entries).
 */
#ifndef WEIR_KERN_KERN_H
#define WEIR_KERN_KERN_H

#include "base/err.h"
#include "weir/abi/flow.h"
#include "weir/abi/maps.h"

struct weir_helper;
struct weir_kern;

struct weir_kern_options {
    const char *cgroup; /* the pods' parent: absolute path of a cgroup2 directory, never its root */
    const char *pin_dir; /* absolute, on a bpffs; created when missing, its parent must exist */
    struct weir_helper *helper; /* borrowed: enters pods for weir_kern_prove and weir_kern_revoke */
};

/* Positive outcomes. */
enum weir_kern_outcome {
    WEIR_KERN_OWNED = 1, /* another live agent owns pin_dir */
    WEIR_KERN_LAYOUT,    /* pinned maps have another layout: uninstall, or run the matching weir */
    WEIR_KERN_FOREIGN,   /* pin_dir is not a bpffs, or holds something weir did not put there */
    WEIR_KERN_REFUSED,   /* the kernel refused a program, map or attachment: the log says which and
                            why */
    WEIR_KERN_LEFT,      /* uninstall: something is still there */
};
const char *weir_kern_outcome_text(int outcome);

/*
 * Takes the owner's lock, loads the programs, makes or adopts the maps. Nothing new is attached
 * yet: what was pinned goes on as it was until weir_kern_attach. 0, -errno, OWNED, LAYOUT, FOREIGN,
 * REFUSED.
 */
int weir_kern_open(const struct weir_kern_options *options, struct weir_kern **ret_kern);
/*
 * Puts the programs on the pods' parent, or replaces each one that is there through its link. Call
 * it when the maps say what they should: from here on a cgroup without an entry is held back (if
 * WEIR_META_HOLD is set). 0, -errno, REFUSED.
 */
int weir_kern_attach(struct weir_kern *k);
/* Does a live agent own pin_dir, by the lock? */
bool weir_kern_owned(const char *pin_dir);
/* Whether weir_kern_open found pinned programs and took them over. */
bool weir_kern_adopted(const struct weir_kern *k);
/* Lets go of the lock and every descriptor; what is pinned stays and works. Takes NULL; returns
 * NULL. */
struct weir_kern *weir_kern_close(struct weir_kern *k);

/* Detaches, unpins and removes all of it, below options->cgroup too (may be NULL), then looks what is
 * left: `left` is told each thing. 0, -errno, OWNED, LEFT. */
int weir_kern_uninstall(const struct weir_kern_options *options,
                        void (*left)(void *arg, const char *what), void *arg);

/* Maps the agent writes, in the order a whole change is written (things pointed at first, pointers
 * later). */
enum weir_map {
    WEIR_MAP_NAME,
    WEIR_MAP_IDSET,
    WEIR_MAP_CIDR,
    WEIR_MAP_RULE,
    WEIR_MAP_EP,
    WEIR_MAP_MAGLEV,
    WEIR_MAP_IP,
    WEIR_MAP_PROBE,
    WEIR_MAP_HTTP,
    WEIR_MAP_PORT,
    WEIR_MAP_DNS_PATTERN,
    WEIR_MAP_DNS_SERVER,
    WEIR_MAP_DNS_SETTING,
    WEIR_MAP_POD,
    WEIR_MAP_CGROUP,
    WEIR_MAP_SVC,
    WEIR_MAP_META, /* from here on no part of a change */
    WEIR_MAP_DNS_BOUND,
    WEIR_MAP_DNS_USED,
    WEIR_MAP_FIRST,
    WEIR_MAP_COUNT_,
};
const char *weir_map_name(enum weir_map map);
uint32_t weir_kern_capacity(const struct weir_kern *k, enum weir_map map); /* entries; 0: unknown */
size_t weir_map_key_size(enum weir_map map);
size_t weir_map_value_size(enum weir_map map);

/* Insert or replace. 0 or -errno (-E2BIG, weir_cidr -ENOSPC: the map is full). */
int weir_kern_put(struct weir_kern *k, enum weir_map map, const void *key, const void *value);
/* 0 or -errno (-ENOENT: none). */
int weir_kern_get(struct weir_kern *k, enum weir_map map, const void *key, void *ret_value);
/* 0, also when there was none, or -errno. */
int weir_kern_delete(struct weir_kern *k, enum weir_map map, const void *key);
/* Every entry, in no order; key and value are borrowed until fn returns; fn returns nonzero to stop
 * (forwarded). */
typedef int weir_kern_entry_fn(void *arg, const void *key, const void *value);
int weir_kern_each(struct weir_kern *k, enum weir_map map, weir_kern_entry_fn *fn, void *arg);
/* Returns when no program still uses what has been replaced before: now what it pointed at may be deleted. */
int weir_kern_settle(struct weir_kern *k);
/* One more in weir_meta's epoch, after a change is complete. */
int weir_kern_epoch_next(struct weir_kern *k, uint64_t *ret_epoch);
/* WEIR_META_* flags. */
int weir_kern_set_flags(struct weir_kern *k, uint32_t flags, uint32_t sidecar_wait_ms);

/* Pods on this node. netns_fd is borrowed, cookie is that namespace's. Attaching again replaces the program without a gap. 0,
 * -errno, REFUSED. */
int weir_kern_pod_attach(struct weir_kern *k, uint32_t pod, int netns_fd, uint64_t cookie);
/* 0, also when there was none, or -errno. */
int weir_kern_pod_detach(struct weir_kern *k, uint32_t pod);
/* Every pod whose namespace has a pinned program. fn returns nonzero to stop (forwarded). */
int weir_kern_pod_each(struct weir_kern *k, int (*fn)(void *arg, uint32_t pod), void *arg);
/* Sum over cores, index enum weir_reason. */
int weir_kern_counts(struct weir_kern *k, uint64_t ret_counts[WEIR_REASON_SLOTS]);
/* The same of enum weir_dns_count. */
int weir_kern_dns_counts(struct weir_kern *k, uint64_t ret_counts[WEIR_DNS_COUNT_SLOTS]);
/* "truncated"; "" beyond the known ones. */
const char *weir_dns_count_name(unsigned what);
/* "deny_ingress"; "" beyond the known ones. */
const char *weir_reason_name(unsigned reason);

/* Events. The descriptor is readable when there are some; both rings are read, denials first. */
typedef void weir_kern_event_fn(void *arg, const struct weir_event *event, bool from_denials);
int weir_kern_events_open(struct weir_kern *k, weir_kern_event_fn *fn, void *arg, int *ret_fd);
/* Without waiting. Number of records in *ret_n (may be NULL). 0 or -errno. */
int weir_kern_events_read(struct weir_kern *k, uint32_t *ret_n);

/* Told each pin that is foreign, stale or of another layout, and why. 0 or -errno. */
typedef void weir_pin_fn(void *arg, const char *what, const char *why);
int weir_kern_pins(struct weir_kern *k, weir_pin_fn *fn, void *arg, uint32_t *ret_n);
/* One line of `weir check`. Strings are borrowed until the callback returns. */
enum weir_check_state { WEIR_CHECK_OK, WEIR_CHECK_WARN, WEIR_CHECK_FAIL };
struct weir_check_line {
    enum weir_check_state state;
    const char *what;  /* "bpf program cgroup/connect4" */
    const char *found; /* "kernel 6.18.44" */
    const char *fix;   /* "" when there is nothing to do */
};
typedef void weir_kern_check_fn(void *arg, const struct weir_check_line *line);
/* options may be NULL or name nothing: then what depends on them is left out. 0 or -errno. */
int weir_kern_check(const struct weir_kern_options *options, weir_kern_check_fn *fn, void *arg);

#endif
