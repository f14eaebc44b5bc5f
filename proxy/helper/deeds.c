/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of what the helper does, with what each request must look like. A request that does not
 * is refused, with a reason for the log; one that does and fails has an errno.
 */
#include <ctype.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "helper/serve_internal.h"
#include "sys/cgroup.h"

#define NSFS_SUPER 0x6e736673

/* Returns an error that the reply carries; why says that it is a refusal. */
int weir_helper_refuse(struct weir_helper_job *job, const char *why) {
    job->why = why;
    return -EACCES;
}

/* ---- what is passed in ---- */

bool weir_helper_is_netns(int fd) {
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_SUPER &&
           ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

static bool is_socket_walk(int fd) {
    struct bpf_link_info info;
    char target[16] = "";
    union bpf_attr attr;

    memset(&info, 0, sizeof(info));
    info.iter.target_name = (uint64_t)(uintptr_t)target;
    info.iter.target_name_len = sizeof(target);
    memset(&attr, 0, sizeof(attr));
    attr.info.bpf_fd = (uint32_t)fd;
    attr.info.info_len = sizeof(info);
    attr.info.info = (uint64_t)(uintptr_t)&info;
    return syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) == 0 &&
           info.type == BPF_LINK_TYPE_ITER &&
           (strcmp(target, "tcp") == 0 || strcmp(target, "udp") == 0);
}

/* The kernel keeps the walk below the parent, whatever the name holds. */
int weir_helper_open_cgroup(struct weir_helper_job *job, int *ret_fd) {
    const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                             RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
    const struct weir_helper_server *s = job->server;
    struct stat st;
    int fd = (int)syscall(SYS_openat2, s->parent_fd, job->request->name, &how, sizeof(how));

    if (fd < 0)
        return errno == EXDEV || errno == ELOOP
                   ? weir_helper_refuse(job, "cgroup not below the parent")
                   : -errno;
    if (fstat(fd, &st) < 0 || st.st_ino == s->parent_ino) {
        close(fd);
        return weir_helper_refuse(job, "the parent cgroup itself");
    }
    *ret_fd = fd;
    return 0;
}

/* ---- the deeds ---- */

static void give(struct weir_helper_job *job, int fd) {
    job->ret_fds[job->n_ret_fds++] = fd;
}

static int hello(struct weir_helper_job *job) {
    job->reply.value[0] = job->server->parent_ino;
    job->reply.value[1] = (uint64_t)getpid();
    job->reply.value[2] = job->server->served;
    job->reply.value[3] = job->server->refused;
    return 0;
}

/* Looked at before it is opened: to open a device may do something. */
static int netns(struct weir_helper_job *job) {
    const struct weir_helper_server *s = job->server;
    struct statfs fs;
    struct stat st;
    char again[32];
    int fd, found = -1, r;

    if (job->request->name[0] != '/')
        return weir_helper_refuse(job, "not an absolute path");
    fd = open(job->request->name, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
    if (fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_SUPER)
        found = open(again, O_RDONLY | O_CLOEXEC);
    close(fd);
    if (found >= 0)
        give(job, found);
    if (found < 0 || !weir_helper_is_netns(found))
        return weir_helper_refuse(job, "not a network namespace");
    if (fstat(found, &st) < 0 || (st.st_dev == s->home_dev && st.st_ino == s->home_ino))
        return weir_helper_refuse(job, "the node's own network namespace");
    r = weir_enter_cookie(s, found, &job->reply.value[0]);
    return r;
}

static int walk(struct weir_helper_job *job) {
    int fd, r;

    if (!weir_helper_is_netns(job->fds[0]))
        return weir_helper_refuse(job, "not a network namespace");
    if (!is_socket_walk(job->fds[1]))
        return weir_helper_refuse(job, "not an iterator over sockets");
    r = weir_enter_walk(job->server, job->fds[0], job->fds[1], &fd);
    if (r == 0)
        give(job, fd);
    return r;
}

static int diag(struct weir_helper_job *job) {
    int fd, r;

    if (!weir_helper_is_netns(job->fds[0]))
        return weir_helper_refuse(job, "not a network namespace");
    r = weir_enter_diag(job->server, job->fds[0], &fd);
    if (r == 0)
        give(job, fd);
    return r;
}

static int make_sockets(struct weir_helper_job *job) {
    const struct weir_helper_request *q = job->request;
    int cgroup = -1, r;

    if (q->family != AF_INET && q->family != AF_INET6)
        return weir_helper_refuse(job, "neither IPv4 nor IPv6");
    if (q->type != SOCK_STREAM && q->type != SOCK_DGRAM)
        return weir_helper_refuse(job, "neither a stream nor a datagram socket");
    if (q->count < 1 || q->count > WEIR_PACKET_FDS)
        return weir_helper_refuse(job, "not one socket, or too many");
    if (!weir_helper_is_netns(job->fds[0]))
        return weir_helper_refuse(job, "not a network namespace");
    r = weir_helper_open_cgroup(job, &cgroup);
    if (r == 0)
        r = weir_enter_sockets(cgroup, job->fds[0], q, job->ret_fds, &job->n_ret_fds);
    if (cgroup >= 0)
        close(cgroup);
    return r;
}

/* A cgroup that hands controllers on takes no process itself; then a leaf is made for the canary and
 * taken away again. One may be left over from a helper that was killed in between. */
static int canary_in_leaf(int cgroup, int netns_fd, struct weir_canary *ret) {
    int leaf, r;

    if (mkdirat(cgroup, WEIR_HELPER_LEAF, 0755) < 0 && errno != EEXIST)
        return -errno;
    leaf = openat(cgroup, WEIR_HELPER_LEAF, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    r = leaf < 0 ? -errno : weir_enter_canary(leaf, netns_fd, ret);
    if (leaf >= 0)
        close(leaf);
    (void)unlinkat(cgroup, WEIR_HELPER_LEAF, AT_REMOVEDIR);
    return r;
}

static int canary(struct weir_helper_job *job) {
    struct weir_canary said = { 0 };
    int cgroup = -1, r;

    if (!weir_helper_is_netns(job->fds[0]))
        return weir_helper_refuse(job, "not a network namespace");
    r = weir_helper_open_cgroup(job, &cgroup);
    if (r == 0)
        r = weir_enter_canary(cgroup, job->fds[0], &said);
    if (r == -EBUSY)
        r = canary_in_leaf(cgroup, job->fds[0], &said);
    if (cgroup >= 0)
        close(cgroup);
    job->reply.value[0] = (uint64_t)(int64_t)said.v4;
    job->reply.value[1] = (uint64_t)(int64_t)said.v6;
    return r;
}

static bool is_pods_process(const struct weir_helper_server *s, pid_t pid) {
    char path[PATH_MAX];
    size_t n = strlen(s->parent);

    return weir_cgroup_of(pid, path, sizeof(path)) == 0 && strncmp(path, s->parent, n) == 0 &&
           path[n] == '/';
}

/* The kernel's own name of a mapping: no path of the pod's is followed. */
static int open_mapped(pid_t pid, const char *name) {
    char path[64], line[PATH_MAX + 128], range[40], perms[8], *last;
    int fd = -ENOENT;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return -errno;
    while (fd == -ENOENT && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%39s %7s", range, perms) != 2 || perms[2] != 'x')
            continue;
        last = strrchr(line, '/');
        if (!last || strncmp(last + 1, name, strlen(name)) != 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%d/map_files/%s", (int)pid, range);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        fd = fd < 0 ? -errno : fd;
    }
    fclose(f);
    return fd;
}

/* The descriptor of the process says at the end that it was still the same one. */
static int code_of(struct weir_helper_job *job, int pidfd) {
    const struct weir_helper_request *q = job->request;
    struct pollfd ended = { .fd = pidfd, .events = POLLIN };
    struct stat st;
    char path[64];
    int fd;

    if (!is_pods_process(job->server, q->pid))
        return weir_helper_refuse(job, "no process of a pod");
    snprintf(path, sizeof(path), "/proc/%d/exe", q->pid);
    fd = q->name[0] ? open_mapped(q->pid, q->name) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return q->name[0] ? fd : -errno;
    give(job, fd);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return weir_helper_refuse(job, "not a regular file");
    return poll(&ended, 1, 0) == 0 ? 0 : -ESRCH;
}

static int code(struct weir_helper_job *job) {
    const struct weir_helper_request *q = job->request;
    int pidfd, r;

    if (q->pid <= 1)
        return weir_helper_refuse(job, "no process of a pod");
    for (const char *c = q->name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._+-", *c))
            return weir_helper_refuse(job, "not the name of a library");
    pidfd = (int)syscall(SYS_pidfd_open, q->pid, 0);
    if (pidfd < 0)
        return -errno;
    r = code_of(job, pidfd);
    close(pidfd);
    return r;
}

/* Kernels from 6.17 on, and stable ones after it, want SYS_ADMIN for what the agent did with PERFMON. */
static int probe(struct weir_helper_job *job) {
    const struct weir_helper_request *q = job->request;
    int fd, r;

    if (strncmp(q->name, "libssl.so", 9) != 0)
        return weir_helper_refuse(job, "not OpenSSL's library");
    if (q->count != 1 && q->count != 2)
        return weir_helper_refuse(job, "neither an entry nor a return");
    r = code(job);
    if (r)
        return r;
    r = weir_helper_uprobe(job->ret_fds[0], q->port, q->count == 2, &fd);
    close(job->ret_fds[0]);
    job->n_ret_fds = 0;
    if (r == 0)
        give(job, fd);
    return r;
}

/* ---- the list ---- */

static const struct verb {
    const char *name;
    int (*deed)(struct weir_helper_job *job); /* 0 or -errno */
    unsigned n_fds;
    bool takes_name, takes_pid, takes_kind, takes_port, takes_count;
} verbs[WEIR_HELPER_VERBS] = {
    [WEIR_HELPER_HELLO] = { "hello", hello, 0, false, false, false },
    [WEIR_HELPER_NETNS] = { "netns", netns, 0, true, false, false },
    [WEIR_HELPER_WALK] = { "walk", walk, 2, false, false, false },
    [WEIR_HELPER_DIAG] = { "diag", diag, 1, false, false, false },
    [WEIR_HELPER_SOCKET] = { "socket", make_sockets, 1, true, false, true, false, true },
    [WEIR_HELPER_CANARY] = { "canary", canary, 1, true, false, false },
    [WEIR_HELPER_CODE] = { "code", code, 0, true, true, false },
    [WEIR_HELPER_LISTEN] = { "listen", weir_tenant_listen, 1, true, false, false, true, false },
    [WEIR_HELPER_TENANT] = { "tenant", weir_tenant_make, 0, true, false, false, false, true },
    [WEIR_HELPER_PLACE] = { "place", weir_tenant_place, 0, true, false, false, false, false },
    [WEIR_HELPER_RELEASE] = { "release", weir_tenant_release, 0, true, false, false, false, false },
    [WEIR_HELPER_SPAWN] = { "spawn", weir_tenant_spawn, 0, true, false, false, false, true },
    [WEIR_HELPER_STOP] = { "stop", weir_tenant_stop, 0, false, true, false, false, false },
    [WEIR_HELPER_HANDOVER] = { "handover", weir_succession_hand_over, 0, false, false, false },
    [WEIR_HELPER_SUCCEED] = { "succeed", weir_succession_take, 1, false, false, false },
    [WEIR_HELPER_PROBE] = { "probe", probe, 0, true, true, false, true, true },
};

const char *weir_helper_verb_name(uint32_t verb) {
    return verb < WEIR_HELPER_VERBS && verbs[verb].name ? verbs[verb].name : "unknown";
}

static const char *malformed(const struct weir_helper_request *q, unsigned n_fds) {
    const struct verb *verb = q->verb < WEIR_HELPER_VERBS ? &verbs[q->verb] : NULL;
    size_t len = strnlen(q->name, sizeof(q->name));

    if (q->version != WEIR_HELPER_VERSION)
        return "another version";
    if (!verb || !verb->deed)
        return "no such verb";
    if (n_fds != verb->n_fds)
        return "not its number of descriptors";
    if (len == sizeof(q->name))
        return "a name without an end";
    for (size_t i = len; i < sizeof(q->name); i++)
        if (q->name[i])
            return "something behind the name";
    if ((!verb->takes_name && len) || (!verb->takes_pid && q->pid) ||
        (!verb->takes_kind && (q->family || q->type)) || (!verb->takes_port && q->port) ||
        (!verb->takes_count && q->count))
        return "an argument it does not take";
    return NULL;
}

void weir_helper_do(struct weir_helper_job *job) {
    const struct weir_helper_request *q = job->request;
    unsigned n_fds = 0;

    while (n_fds < WEIR_HELPER_FDS && job->fds[n_fds] >= 0)
        n_fds++;
    job->reply = (struct weir_helper_reply){ .version = WEIR_HELPER_VERSION, .number = q->number };
    job->why = malformed(q, n_fds);
    if (job->server->handed_over && q->verb != WEIR_HELPER_HELLO)
        job->why = "it has handed over";
    job->reply.error = job->why ? -EACCES : verbs[q->verb].deed(job);
    job->reply.refused = job->why != NULL;
}
