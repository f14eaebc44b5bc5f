/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper's life: open what is needed, give up everything else, then one request after another
 * until nobody is left to ask. Only processes of its own user may connect. It holds no descriptor of
 * anybody's longer than a request takes.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/caps.h"
#include "helper/seccomp.h"
#include "helper/serve_internal.h"
#include "sys/cgroup.h"
#include "sys/clock.h"
#include "sys/log.h"

#define CALLERS     8u /* an agent and, for a while, its successor; one more is sent away */
#define LISTENER    CALLERS
#define SIGNALS     (CALLERS + 1)
#define FILES       4096 /* four listeners for each pod in node mode, and two for each of its tenants */
#define TOLD_PER_US 1000000ULL /* so many refusals are told in that time, all are counted */
#define TOLD_MAX    10u

struct serving {
    struct weir_helper_server server;
    struct pollfd polls[CALLERS + 2]; /* then the listener and SIGTERM; fd -1 = free */
    const char *path;                 /* of the listener; NULL = none */
    uint64_t told_since_us;
    unsigned told;
};

static int failed(const char *what, int r) {
    weir_log(WEIR_LOG_ERROR, "helper_failed", "what=\"%s\" why=\"%s\"", what, strerror(-r));
    return 1;
}

/* ---- requests ---- */

static void tell_refusal(struct serving *s, const struct weir_helper_job *job) {
    uint64_t now = weir_clock_mono_us();

    s->server.refused++;
    if (now - s->told_since_us >= TOLD_PER_US) {
        s->told_since_us = now;
        s->told = 0;
    }
    if (s->told++ >= TOLD_MAX)
        return;
    weir_log(
        WEIR_LOG_WARN, "helper_refused", "verb=%s why=\"%s\" name=%s pid=%d refused=%llu",
        weir_helper_verb_name(job->request->verb), job->why,
        weir_log_quote(weir_slice_make(job->request->name, strnlen(job->request->name, 256))).s,
        job->request->pid, (unsigned long long)s->server.refused);
}

/* False: the caller has gone or speaks another language. */
static bool serve_one(struct serving *s, int fd) {
    struct weir_helper_request request;
    struct weir_helper_job job = { .server = &s->server, .request = &request, .fds = { -1, -1 } };
    unsigned n = WEIR_HELPER_FDS;
    int r = weir_packet_receive(fd, &request, sizeof(request), job.fds, &n);

    if (r) {
        if (r == -EPROTO)
            weir_log(WEIR_LOG_WARN, "helper_refused", "why=\"not a request\"");
        s->server.refused += r == -EPROTO;
        return false;
    }
    s->server.served++;
    weir_helper_do(&job);
    if (job.why)
        tell_refusal(s, &job);
    r = weir_packet_send(fd, &job.reply, sizeof(job.reply), job.ret_fds,
                         job.reply.error == 0 ? job.n_ret_fds : 0);
    if (r == 0 && request.verb == WEIR_HELPER_HANDOVER && job.reply.error == 0)
        weir_succession_send(&s->server, fd);
    for (unsigned i = 0; i < job.n_ret_fds; i++)
        close(job.ret_fds[i]);
    for (unsigned i = 0; i < n; i++)
        close(job.fds[i]);
    return r == 0;
}

static void accept_one(struct serving *s) {
    int fd = accept4(s->polls[LISTENER].fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid()) {
        for (unsigned i = 0; i < CALLERS; i++) {
            if (s->polls[i].fd >= 0)
                continue;
            s->polls[i].fd = fd;
            weir_log(WEIR_LOG_INFO, "helper_asked", "pid=%d", (int)peer.pid);
            return;
        }
    }
    s->server.refused++;
    weir_log(WEIR_LOG_WARN, "helper_refused", "why=\"another user, or too many callers\" uid=%d",
             (int)peer.uid);
    close(fd);
}

static bool anybody(const struct serving *s) {
    for (unsigned i = 0; i <= LISTENER; i++)
        if (s->polls[i].fd >= 0)
            return true;
    return false;
}

/* True: it is to end. */
static bool signalled(struct serving *s) {
    struct signalfd_siginfo info;

    if (read(s->polls[SIGNALS].fd, &info, sizeof(info)) != sizeof(info))
        return false;
    if (info.ssi_signo != SIGCHLD)
        return true;
    weir_tenants_reap(&s->server);
    return false;
}

static void serve(struct serving *s) {
    while (anybody(s)) {
        if (poll(s->polls, WEIR_ARRAY_LEN(s->polls), -1) < 0)
            continue;
        if (s->polls[SIGNALS].revents && signalled(s))
            return;
        if (s->polls[LISTENER].revents)
            accept_one(s);
        for (unsigned i = 0; i < CALLERS; i++) {
            if (s->polls[i].fd < 0 || !s->polls[i].revents || serve_one(s, s->polls[i].fd))
                continue;
            close(s->polls[i].fd);
            s->polls[i].fd = -1;
        }
    }
}

/* ---- the start ---- */

static int open_places(struct weir_helper_server *s, const char *cgroup) {
    char path[PATH_MAX];
    struct stat st;
    size_t n;
    int r = weir_cgroup_path(cgroup, path, sizeof(path));

    if (r)
        return r;
    s->parent_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->parent_fd < 0 || fstat(s->parent_fd, &st) < 0)
        return -errno;
    s->parent_ino = st.st_ino;
    n = (size_t)snprintf(s->parent, sizeof(s->parent), "/%s", cgroup + strspn(cgroup, "/"));
    while (n > 1 && s->parent[n - 1] == '/')
        s->parent[--n] = '\0';
    s->home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (s->home_fd < 0 || fstat(s->home_fd, &st) < 0)
        return -errno;
    s->home_dev = st.st_dev;
    s->home_ino = st.st_ino;
    return 0;
}

/* The mode is there before anybody can connect. */
static int open_listener(struct serving *s, const char *path) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    mode_t mask;
    int fd, r;

    if (len == 0 || len >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, len + 1);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    s->polls[LISTENER].fd = fd;
    (void)unlink(path);
    mask = umask(0177);
    r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(mask);
    if (r == 0 && listen(fd, CALLERS) < 0)
        r = -errno;
    if (r == 0)
        s->path = path;
    return r;
}

static int open_signals(int *ret_fd) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    *ret_fd = signalfd(-1, &set, SFD_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

static int give_up(bool diag) {
    const struct rlimit none = { 0, 0 };
    struct rlimit files;
    int r;

    /* The hard limit is for workers. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < FILES ? files.rlim_max : FILES;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)setrlimit(RLIMIT_CORE, &none);
    if (chdir("/") < 0 || prctl(PR_SET_NAME, "weir-helper", 0, 0, 0) < 0)
        return -errno;
    r = weir_caps_keep(weir_caps_helper(diag));
    /* Nobody of its own user may look into it or hold it. */
    if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        r = -errno;
    return r ? r : weir_seccomp_helper();
}

int weir_helper_serve(const struct weir_helper_options *options) {
    struct serving s = { .server = { .parent_fd = -1, .home_fd = -1, .tenants_fd = -1 } };
    int r;

    for (unsigned i = 0; i < WEIR_ARRAY_LEN(s.polls); i++)
        s.polls[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
    s.server.options = options->tenants;
    r = open_places(&s.server, options->cgroup);
    if (r == 0)
        weir_tenants_init(&s.server);
    if (r)
        return failed("pods' parent cgroup", r);
    if (options->listen)
        r = open_listener(&s, options->listen);
    else
        s.polls[0].fd = options->fd;
    if (r)
        return failed(options->listen, r);
    r = open_signals(&s.polls[SIGNALS].fd);
    if (r == 0)
        r = give_up(options->diag);
    if (r)
        return failed("privileges", r);
    weir_log(WEIR_LOG_INFO, "helper_ready", "parent=%s listen=%s inet_diag=%s",
             weir_log_quote(weir_slice_from_str(s.server.parent)).s,
             options->listen ? options->listen : "-", options->diag ? "yes" : "no");
    serve(&s);
    if (s.path)
        (void)unlink(s.path);
    weir_log(WEIR_LOG_INFO, "helper_stopped", "served=%llu refused=%llu",
             (unsigned long long)s.server.served, (unsigned long long)s.server.refused);
    return 0;
}
