/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the helper does for tenants (docs/adr/0022): a user id and a cgroup for each, sockets that listen in their pods,
 * and the processes that serve them. Listeners, and the agent's end of what a worker is told by, are kept here as well:
 * an agent that is started anew asks for them again and nothing that waits in them is lost.
 */
#include "helper/tenants.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/log.h"
#include "weir/abi/flow.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef PORT_IDENTITY
#define PORT_IDENTITY 15012
#endif

#define TENANTS_MAX  512u
#define KEPT_MAX     1024u
#define CONTROL_FD   3
#define WORKER_FILES 16384u
#define WORKER_TASKS 1024u

static uint32_t count(const struct weir_list *list) {
    uint32_t n = 0;

    WEIR_LIST_FOREACH (it, list)
        n++;
    return n;
}

void weir_tenants_init(struct weir_helper_server *s) {
    ssize_t n = readlink("/proc/self/exe", s->program, sizeof(s->program) - 1);

    weir_list_init(&s->tenants);
    weir_list_init(&s->kept);
    /* By its name: a new file there is what the next worker runs. */
    if (!s->options.program && n > 0) {
        s->program[n] = '\0';
        s->options.program = s->program;
    }
}

/* ---- directories ---- */

static int open_dir(int at, const char *name) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int make_dir(int at, const char *name) {
    return mkdirat(at, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int put(int at, const char *name, const char *text) {
    int fd = openat(at, name, O_WRONLY | O_CLOEXEC), r = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) < 0)
        r = -errno;
    close(fd);
    return r;
}

/* Removes the directories below and the directory itself, as far as nobody is in them. */
static int remove_tree(int at, const char *name) {
    int fd = open_dir(at, name);
    struct dirent *entry;
    DIR *dir;

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -ENOMEM;
    }
    while ((entry = readdir(dir)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    closedir(dir);
    return unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int weir_helper_tenants_dir(struct weir_helper_server *s) {
    int r;

    if (s->tenants_fd >= 0)
        return 0;
    r = make_dir(s->parent_fd, WEIR_HELPER_TENANTS);
    if (r == 0)
        r = open_dir(s->parent_fd, WEIR_HELPER_TENANTS);
    if (r < 0)
        return r;
    s->tenants_fd = r;
    /* Where the hierarchy has these controllers at all: a hybrid one has not. */
    (void)put(s->tenants_fd, "cgroup.subtree_control", "+memory");
    (void)put(s->tenants_fd, "cgroup.subtree_control", "+cpu");
    return 0;
}

/* ---- a tenant ---- */

struct weir_helper_tenant *weir_helper_tenant_find(struct weir_helper_server *s, const char *name,
                                                   uint32_t uid) {
    WEIR_LIST_FOREACH (it, &s->tenants) {
        struct weir_helper_tenant *t = WEIR_CONTAINER_OF(it, struct weir_helper_tenant, link);

        if (name ? strcmp(t->name, name) == 0 : t->uid == uid)
            return t;
    }
    return NULL;
}

bool weir_helper_is_tenant(const char *name) {
    const char *slash = strchr(name, '/');

    /* Each part is a name of Kubernetes'. */
    for (const char *c = name; *c; c++) {
        bool first = c == name || c[-1] == '/';

        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && c != slash &&
            (first || !strchr(".-", *c)))
            return false;
        if (first && c == slash)
            return false;
    }
    return slash && slash[1] && strlen(name) <= 63 + 1 + 253;
}

/* An id of which no directory with anybody in it is there: a helper before this one may have left some. */
static int free_uid(struct weir_helper_server *s, uint32_t *ret_uid) {
    char text[16];

    for (uint32_t i = 0; i < s->options.n_uids; i++) {
        uint32_t uid = s->options.first_uid + i;

        if (weir_helper_tenant_find(s, NULL, uid))
            continue;
        snprintf(text, sizeof(text), "%u", uid);
        if (remove_tree(s->tenants_fd, text) != 0)
            continue;
        *ret_uid = uid;
        return 0;
    }
    return -EUSERS;
}

static void limit(struct weir_helper_server *s, struct weir_helper_tenant *t) {
    char text[32];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)s->options.memory);
    if (put(t->fd, "memory.max", text) == 0)
        t->limits |= WEIR_TENANT_MEMORY_MAX;
    (void)put(t->fd, "memory.swap.max", "0");
    if (put(t->fd, "cpu.weight", "100") == 0)
        t->limits |= WEIR_TENANT_CPU_WEIGHT;
}

void weir_helper_tenant_free(struct weir_helper_tenant *t) {
    weir_list_unlink(&t->link);
    while (t->workers[0].pid)
        weir_helper_worker_drop(t, 0);
    if (t->fd >= 0)
        close(t->fd);
    weir_free(t->name);
    weir_free(t);
}

int weir_helper_tenant_new(struct weir_helper_server *s, const char *name, uint32_t uid,
                           struct weir_helper_tenant **ret) {
    struct weir_helper_tenant *t;
    char text[16];
    int r = weir_helper_tenants_dir(s);

    if (r == 0 && count(&s->tenants) >= TENANTS_MAX)
        r = -EUSERS;
    if (r)
        return r;
    t = weir_calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    weir_list_init(&t->link);
    t->fd = -1;
    t->name = weir_strndup(name, strlen(name));
    t->uid = uid;
    r = !t->name ? -ENOMEM : uid == 0 ? free_uid(s, &t->uid) : 0;
    snprintf(text, sizeof(text), "%u", t->uid);
    if (r == 0)
        r = make_dir(s->tenants_fd, text);
    if (r == 0)
        r = t->fd = open_dir(s->tenants_fd, text);
    if (r >= 0)
        r = make_dir(t->fd, "worker");
    if (r < 0) {
        weir_helper_tenant_free(t);
        return r;
    }
    limit(s, t);
    weir_list_push_back(&s->tenants, &t->link);
    *ret = t;
    return 0;
}

static void tidy_all(struct weir_helper_server *s) {
    if (weir_list_empty(&s->tenants) &&
        unlinkat(s->parent_fd, WEIR_HELPER_TENANTS, AT_REMOVEDIR) == 0) {
        close(s->tenants_fd);
        s->tenants_fd = -1;
    }
}

/* Everything of it is gone, or stays. */
static int tenant_end(struct weir_helper_server *s, struct weir_helper_tenant *t) {
    char text[16];

    if (t->workers[0].pid || unlinkat(t->fd, "worker", AT_REMOVEDIR) < 0)
        return -EBUSY;
    snprintf(text, sizeof(text), "%u", t->uid);
    if (unlinkat(s->tenants_fd, text, AT_REMOVEDIR) < 0) {
        (void)make_dir(t->fd, "worker");
        return -EBUSY;
    }
    weir_helper_tenant_free(t);
    tidy_all(s);
    return 0;
}

int weir_tenant_make(struct weir_helper_job *job) {
    const struct weir_helper_request *q = job->request;
    struct weir_helper_tenant *t;
    int r = 0;

    if (!weir_helper_is_tenant(q->name))
        return weir_helper_refuse(job, "not the identity of a workload");
    t = weir_helper_tenant_find(job->server, q->name, 0);
    weir_tenants_reap(job->server);
    if (q->count == 0)
        return t ? tenant_end(job->server, t) : 0;
    if (!t)
        r = weir_helper_tenant_new(job->server, q->name, 0, &t);
    if (r)
        return r;
    job->reply.value[0] = t->uid;
    job->reply.value[1] = t->limits;
    return 0;
}

/* Of the agent's own sockets. Removed with the directory of all tenants. */
static int own_places(struct weir_helper_server *s, int *ret_fd) {
    char text[16];
    int r = weir_helper_tenants_dir(s);

    snprintf(text, sizeof(text), "%u", WEIR_HELPER_NO_TENANT);
    if (r == 0)
        r = make_dir(s->tenants_fd, text);
    if (r == 0)
        r = *ret_fd = open_dir(s->tenants_fd, text);
    return r < 0 ? r : 0;
}

/* "UID/pNUMBER" */
int weir_tenant_place(struct weir_helper_job *job) {
    char *end, *name = NULL;
    unsigned long uid = strtoul(job->request->name, &end, 10);
    struct weir_helper_tenant *t =
        uid <= UINT32_MAX ? weir_helper_tenant_find(job->server, NULL, (uint32_t)uid) : NULL;
    bool own = uid == WEIR_HELPER_NO_TENANT && isdigit((unsigned char)job->request->name[0]);
    int fd = -1, r;

    if ((!t && !own) || end[0] != '/' || end[1] != 'p' || !isdigit((unsigned char)end[2]))
        return weir_helper_refuse(job, "not a place of a tenant");
    name = end + 1;
    (void)strtoull(end + 2, &end, 10);
    if (*end)
        return weir_helper_refuse(job, "not a place of a tenant");
    if (!own)
        return make_dir(t->fd, name);
    r = own_places(job->server, &fd);
    if (r == 0)
        r = make_dir(fd, name);
    if (fd >= 0)
        close(fd);
    return r;
}

/* ---- listeners ---- */

static struct weir_helper_kept *find_kept(const struct weir_helper_server *s, uint64_t cgroup,
                                          uint32_t port) {
    WEIR_LIST_FOREACH (it, &s->kept) {
        struct weir_helper_kept *k = WEIR_CONTAINER_OF(it, struct weir_helper_kept, link);

        if (k->cgroup == cgroup && (port == 0 || k->port == port))
            return k;
    }
    return NULL;
}

void weir_helper_kept_free(struct weir_helper_kept *k) {
    weir_list_unlink(&k->link);
    for (unsigned i = 0; i < k->n; i++)
        close(k->fds[i]);
    weir_free(k);
}

int weir_helper_keep(struct weir_helper_server *s, const struct weir_helper_kept *k) {
    struct weir_helper_kept *copy = weir_calloc(1, sizeof(*copy));

    if (!copy || count(&s->kept) >= KEPT_MAX) {
        weir_free(copy);
        return copy ? -EUSERS : -ENOMEM;
    }
    *copy = *k;
    weir_list_init(&copy->link);
    weir_list_push_back(&s->kept, &copy->link);
    return 0;
}

static int give(struct weir_helper_job *job, const struct weir_helper_kept *k) {
    for (unsigned i = 0; i < k->n; i++) {
        int fd = fcntl(k->fds[i], F_DUPFD_CLOEXEC, 0);

        if (fd < 0)
            return -errno;
        job->ret_fds[job->n_ret_fds++] = fd;
    }
    return 0;
}

static int listen_new(struct weir_helper_job *job, int cgroup, struct weir_helper_kept *k) {
    int fds[WEIR_PACKET_FDS], r;

    r = weir_enter_listen(cgroup, job->fds[0], job->request, fds, &k->n);
    if (r)
        return r;
    for (unsigned i = 0; i < k->n; i++)
        k->fds[i] = fds[i];
    r = k->n <= WEIR_HELPER_KEPT_FDS ? weir_helper_keep(job->server, k) : -EPROTO;
    if (r)
        for (unsigned i = 0; i < k->n; i++)
            close(fds[i]);
    return r;
}

int weir_tenant_listen(struct weir_helper_job *job) {
    const struct weir_helper_request *q = job->request;
    struct weir_helper_kept k = { .port = q->port }, *old;
    int cgroup = -1, r;
    struct stat st;

    if (q->port != WEIR_PORT_OUTBOUND && q->port != WEIR_PORT_INBOUND && q->port != PORT_IDENTITY)
        return weir_helper_refuse(job, "not a port of weir's");
    if (!weir_helper_is_netns(job->fds[0]))
        return weir_helper_refuse(job, "not a network namespace");
    r = weir_helper_open_cgroup(job, &cgroup);
    if (r == 0 && fstat(cgroup, &st) < 0)
        r = -errno;
    if (r == 0) {
        k.cgroup = st.st_ino;
        old = find_kept(job->server, k.cgroup, k.port);
        r = old ? give(job, old) : listen_new(job, cgroup, &k);
        if (r == 0 && !old)
            r = give(job, &k);
    }
    if (cgroup >= 0)
        close(cgroup);
    return r;
}

/* What nobody needs any more goes; what somebody is in stays. */
static void tidy(struct weir_helper_server *s) {
    char text[16];

    snprintf(text, sizeof(text), "%u", WEIR_HELPER_NO_TENANT);
    if (s->tenants_fd < 0)
        return;
    (void)unlinkat(s->tenants_fd, text, AT_REMOVEDIR);
    tidy_all(s);
}

int weir_tenant_release(struct weir_helper_job *job) {
    const struct weir_helper_request *q = job->request;
    struct weir_helper_kept *k;
    struct stat st;
    int cgroup, r = weir_helper_open_cgroup(job, &cgroup);

    if (r)
        return r;
    r = fstat(cgroup, &st) < 0 ? -errno : 0;
    close(cgroup);
    while (r == 0 && (k = find_kept(job->server, st.st_ino, 0)))
        weir_helper_kept_free(k);
    /* Of others' directories none is removed: UID/pPOD and no less. */
    if (r == 0 && strncmp(q->name, WEIR_HELPER_TENANTS "/", sizeof(WEIR_HELPER_TENANTS)) == 0 &&
        strstr(q->name, "/p") && unlinkat(job->server->parent_fd, q->name, AT_REMOVEDIR) < 0)
        r = -errno;
    tidy(job->server);
    return r;
}

/* ---- workers ---- */

static void limit_resource(int what, rlim_t most) {
    struct rlimit now;

    if (getrlimit((__rlimit_resource_t)what, &now) < 0)
        return;
    if (now.rlim_max < most)
        most = now.rlim_max;
    now.rlim_cur = now.rlim_max = most;
    (void)setrlimit((__rlimit_resource_t)what, &now);
}

/* In the child. What the helper holds goes with exec, all but the one descriptor. */
static void become(const struct weir_helper_server *s, const struct weir_helper_tenant *t,
                   int program, int control) {
    char number[] = { '0' + CONTROL_FD, '\0' };
    char *const argv[] = { "weir", "proxy", "--tenant", t->name, "--control", number, NULL };
    char *const none[] = { NULL };
    sigset_t signals;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    sigemptyset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    (void)setsid(); /* a share of its own where the kernel groups by session */
    limit_resource(RLIMIT_NOFILE, WORKER_FILES);
    limit_resource(RLIMIT_CORE, 0);
    limit_resource(RLIMIT_NPROC, WORKER_TASKS);
    limit_resource(RLIMIT_DATA, s->options.memory);
    program = fcntl(program, F_DUPFD_CLOEXEC, CONTROL_FD + 1);
    if (program < 0 || null < 0 || dup2(control, CONTROL_FD) < 0 || dup2(null, STDIN_FILENO) < 0 ||
        syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, t->uid, t->uid, t->uid) < 0 ||
        syscall(SYS_setresuid, t->uid, t->uid, t->uid) < 0)
        _exit(126);
    syscall(SYS_execveat, program, "", argv, none, AT_EMPTY_PATH);
    _exit(127);
}

static int open_program(const struct weir_helper_server *s) {
    int fd = s->options.program ? open(s->options.program, O_PATH | O_CLOEXEC) : -1;

    return fd >= 0 ? fd : open("/proc/self/exe", O_PATH | O_CLOEXEC);
}

static int start(struct weir_helper_server *s, struct weir_helper_tenant *t,
                 struct weir_helper_worker *ret) {
    int cgroup = open_dir(t->fd, "worker"), program = open_program(s), ends[2], r = 0;
    struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };

    if (cgroup < 0 || program < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        r = cgroup < 0 ? cgroup : -errno;
    } else {
        args.cgroup = (uint64_t)cgroup;
        ret->pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (ret->pid == 0)
            become(s, t, program, ends[1]);
        r = ret->pid < 0 ? -errno : 0;
        close(ends[1]);
        ret->control_fd = ends[0];
        ret->pidfd = -1;
        if (r)
            close(ends[0]);
    }
    if (cgroup >= 0)
        close(cgroup);
    if (program >= 0)
        close(program);
    return r;
}

void weir_helper_worker_add(struct weir_helper_tenant *t, const struct weir_helper_worker *w) {
    memmove(t->workers + 1, t->workers, sizeof(t->workers) - sizeof(t->workers[0]));
    t->workers[0] = *w;
}

void weir_helper_worker_drop(struct weir_helper_tenant *t, unsigned i) {
    close(t->workers[i].control_fd);
    if (t->workers[i].pidfd >= 0)
        close(t->workers[i].pidfd);
    memmove(t->workers + i, t->workers + i + 1,
            (WEIR_HELPER_WORKERS - 1 - i) * sizeof(t->workers[0]));
    t->workers[WEIR_HELPER_WORKERS - 1] = (struct weir_helper_worker){ 0 };
}

int weir_tenant_spawn(struct weir_helper_job *job) {
    struct weir_helper_tenant *t = weir_helper_tenant_find(job->server, job->request->name, 0);
    struct weir_helper_worker new;
    int r = 0, fd;

    if (!t)
        return weir_helper_refuse(job, "no such tenant");
    weir_tenants_reap(job->server);
    if (job->request->count && t->workers[WEIR_HELPER_WORKERS - 1].pid)
        return -EBUSY;
    if (job->request->count)
        r = start(job->server, t, &new);
    if (r)
        return r;
    if (job->request->count) {
        weir_helper_worker_add(t, &new);
        weir_log(WEIR_LOG_INFO, "tenant_spawned", "tenant=%s uid=%u pid=%d", t->name, t->uid,
                 (int)new.pid);
    }
    if (!t->workers[0].pid)
        return -ESRCH;
    fd = fcntl(t->workers[0].control_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    job->ret_fds[job->n_ret_fds++] = fd;
    job->reply.value[0] = (uint64_t)t->workers[0].pid;
    return 0;
}

int weir_tenant_stop(struct weir_helper_job *job) {
    weir_tenants_reap(job->server);
    WEIR_LIST_FOREACH (it, &job->server->tenants) {
        const struct weir_helper_tenant *t = WEIR_CONTAINER_OF(it, struct weir_helper_tenant, link);

        for (unsigned i = 0; i < WEIR_HELPER_WORKERS; i++)
            if (t->workers[i].pid && t->workers[i].pid == job->request->pid)
                return kill(t->workers[i].pid, SIGKILL) < 0 ? -errno : 0;
    }
    return -ESRCH; /* it may have ended meanwhile */
}

/* *ret_status of one that was another helper's child stays: nobody tells us. */
static bool has_ended(const struct weir_helper_worker *w, int *ret_status) {
    struct pollfd p = { .fd = w->pidfd, .events = POLLIN };

    return w->pidfd >= 0 ? poll(&p, 1, 0) == 1 : waitpid(w->pid, ret_status, WNOHANG) > 0;
}

static void ended(struct weir_helper_tenant *t, unsigned i, int status) {
    bool killed = WIFSIGNALED(status);

    weir_log(killed || WEXITSTATUS(status) ? WEIR_LOG_WARN : WEIR_LOG_INFO, "tenant_ended",
             "tenant=%s uid=%u pid=%d %s=%d", t->name, t->uid, (int)t->workers[i].pid,
             killed ? "signal" : "code", killed ? WTERMSIG(status) : WEXITSTATUS(status));
    weir_helper_worker_drop(t, i);
}

void weir_tenants_reap(struct weir_helper_server *s) {
    WEIR_LIST_FOREACH (it, &s->tenants) {
        struct weir_helper_tenant *t = WEIR_CONTAINER_OF(it, struct weir_helper_tenant, link);
        int status = 0;

        for (unsigned i = WEIR_HELPER_WORKERS; i-- > 0;)
            if (t->workers[i].pid && has_ended(&t->workers[i], &status))
                ended(t, i, status);
    }
    while (s->handed_over && waitpid(-1, NULL, WNOHANG) > 0)
        ;
}
