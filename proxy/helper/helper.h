/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The privileged helper of a node (docs/adr/0012): what has to be done inside of a pod's network
 * namespace or cgroup needs SYS_ADMIN and SYS_PTRACE, which the agent has given up. The helper keeps
 * them and does a fixed list of deeds, asked for in structs of fixed size over a unix seqpacket
 * socket (wire.h). It reads no configuration, speaks no network protocol and knows no pod.
 *
 * Every call: 0; -ENOTCONN: the helper is away, try again later; -EACCES: it refused, and its log
 * says why; another -errno: the deed went wrong. Descriptors given are borrowed, those that come
 * back are the caller's. A call answers within WEIR_HELPER_PATIENCE_MS or counts as away.
 */
#ifndef WEIR_HELPER_HELPER_H
#define WEIR_HELPER_HELPER_H

#include <sys/types.h>

#include "base/err.h"

#define WEIR_HELPER_PATIENCE_MS 3000
/* The leaf it makes for a moment in a cgroup that takes no process itself. */
#define WEIR_HELPER_LEAF "weir-canary"

struct weir_helper;

/*
 * A helper of the caller's own: this program's file, run again as `helper --fd`, for the pods below
 * the cgroup `parent` (absolute path). It ends with the caller; nobody can start it again once
 * privileges are gone. 0 or -errno.
 */
int weir_helper_spawn(const char *parent, struct weir_helper **ret_helper);
/* One that listens at the path, for the same parent. That it is away is no error: -errno is ours. */
int weir_helper_connect(const char *path, const char *parent, struct weir_helper **ret_helper);
/* Takes NULL; returns NULL. One that was spawned ends. */
struct weir_helper *weir_helper_free(struct weir_helper *h);

/* This helper, new to tenants, takes over what another one keeps for them: listeners, user ids, workers. fd: a connection to
 * that one (-1 = away), which then does nothing more; borrowed. *ret_n: things taken over. */
int weir_helper_succeed(struct weir_helper *h, int fd, uint64_t *ret_n);
int weir_helper_connection(const struct weir_helper *h);

/* Looks whether it is there, and connects again where that is possible. True: there. */
bool weir_helper_look(struct weir_helper *h);
struct weir_helper_facts {
    const char *away; /* why it is not there; NULL = it is. Valid until the next call */
    pid_t pid;        /* 0 = away */
    bool spawned;
    uint64_t requests, refused; /* asked by this client; of them */
    uint64_t losses;            /* how often it went away */
};
/* Of the last look or call; NULL is a helper that is away. */
void weir_helper_facts(const struct weir_helper *h, struct weir_helper_facts *ret);

/* A network namespace by its path ("/run/netns/x", "/proc/7/ns/net"), and its cookie. Refused when
 * it is the helper's own. */
int weir_helper_netns(struct weir_helper *h, const char *path, int *ret_fd, uint64_t *ret_cookie);
/* An iterator over the namespace's TCP or UDP sockets, made from the link of an iterator program. */
int weir_helper_walk(struct weir_helper *h, int netns_fd, int link_fd, int *ret_iter_fd);
/* A netlink socket that looks up and destroys the namespace's sockets, for kernels without
 * bpf_sock_destroy; -EPERM elsewhere: there the helper has not the privilege. */
int weir_helper_diag(struct weir_helper *h, int netns_fd, int *ret_fd);

/* cgroup: absolute path of a leaf below the parent. The socket belongs to it and to the namespace. */
struct weir_helper_place {
    const char *cgroup;
    int netns_fd;
};
/* TCP, of AF_INET or AF_INET6, neither bound nor connected, not blocking. *n, from 1 to WEIR_PACKET_FDS, are asked for; at least one
 * is made, and *n is how many. */
int weir_helper_sockets(struct weir_helper *h, const struct weir_helper_place *place, int family,
                        int *ret_fds, unsigned *n);
/*
 * Sockets that listen at 15001 or 15012 of loopback or at 15006 of every address, IPv4's first, IPv6's where the pod has
 * it; not blocking. The helper keeps them as well: asked again for the same place and port it gives the same ones, so that
 * the agent's successor goes on with them. -EADDRINUSE: somebody listens there already.
 */
int weir_helper_listen(struct weir_helper *h, const struct weir_helper_place *place, uint16_t port,
                       int ret_fds[2], unsigned *ret_n);
/* The helper lets go of the listeners of that cgroup and, when weir_helper_place made it, removes it. */
int weir_helper_release(struct weir_helper *h, const char *cgroup);

/* Of the pods' parent; below it UID/worker, where a tenant's processes are, and a directory for each of its pods. */
#define WEIR_HELPER_TENANTS "weir-tenants"
enum { WEIR_TENANT_MEMORY_MAX = 1, WEIR_TENANT_CPU_WEIGHT = 2 };
/*
 * A tenant by the workload's identity, "namespace/account": its user id, which nobody else has while a process of it is
 * there, and which limits its cgroup has (WEIR_TENANT_*; the others are resource limits of its processes). keep false:
 * there is none of that name any more; -EBUSY while it has processes or places; what it returns is not set.
 */
int weir_helper_tenant(struct weir_helper *h, const char *name, bool keep, uint32_t *ret_uid,
                       uint32_t *ret_limits);
/* PARENT/weir-tenants/UID/pPOD: the cgroup of the sockets that a tenant gets in a pod, or the agent itself: no tenant. */
#define WEIR_HELPER_NO_TENANT 0u
int weir_helper_place(struct weir_helper *h, uint32_t uid, uint64_t pod);
/*
 * The worker of a tenant: a process `weir proxy --tenant`, made anew or the newest that runs (-ESRCH: none does).
 * *ret_fd: the other end of what it is told by (core/tenant.h); the helper keeps it as well.
 */
int weir_helper_worker(struct weir_helper *h, const char *name, bool new_, int *ret_fd,
                       pid_t *ret_pid);
/* Ends a worker at once. -ESRCH: it is none. */
int weir_helper_stop(struct weir_helper *h, pid_t pid);
/*
 * A process of its own, made in the cgroup and moved into the namespace, calls connect() with the
 * reserved addresses (weir_addr_is_canary), waits for no answer and ends.
 */
struct weir_canary {
    int v4, v6; /* errno of the connect; 0 = nobody refused it; -1 = no socket of that family */
};
int weir_helper_canary(struct weir_helper *h, const struct weir_helper_place *place,
                       struct weir_canary *ret);
/*
 * The code of a process below the parent, open for reading: its executable (name ""), or the first
 * file mapped executable whose last part begins with `name` ("libssl.so"). For uprobes.
 */
int weir_helper_code(struct weir_helper *h, pid_t pid, const char *name, int *ret_fd);
/*
 * A probe (perf event, not enabled) at a place of a libssl that a process below the parent runs, for whichever process runs the
 * same file. An offset that is no instruction's first byte breaks those processes: it is the caller's to know.
 */
struct weir_helper_spot {
    pid_t pid;
    const char *library; /* as weir_helper_code's name: "libssl.so" */
    uint32_t offset;     /* in the file */
    bool at_return;
};
int weir_helper_probe(struct weir_helper *h, const struct weir_helper_spot *spot, int *ret_fd);
/* uprobe.c: the same of an open file, in the caller's own process, as which it needs SYS_ADMIN. 0, -EOPNOTSUPP: no uprobes here; -errno. */
int weir_helper_uprobe(int file, uint32_t offset, bool at_return, int *ret_fd);

struct weir_helper_tenants {
    uint32_t first_uid,
        n_uids;          /* of tenants' processes: nobody else on this machine may have them */
    uint64_t memory;     /* bytes that one tenant may have */
    const char *program; /* of workers; NULL = the helper's own */
};
#define WEIR_TENANT_FIRST_UID 2000000000u
#define WEIR_TENANT_UIDS      10000u
#define WEIR_TENANT_MEMORY    (256ull << 20)

/* The helper's side: until its caller is gone (fd) or SIGTERM (listen). The process's exit code. */
struct weir_helper_options {
    const char *cgroup; /* the pods' parent, below the cgroup2 mount */
    const char *listen; /* path of a unix socket; NULL: fd */
    int fd;             /* a connected seqpacket socket */
    bool diag;          /* keep NET_ADMIN too: this kernel has no bpf_sock_destroy */
    struct weir_helper_tenants tenants;
};
int weir_helper_serve(const struct weir_helper_options *options);

#endif
