/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's side: asks and waits, for no longer than a helper may take. One that answers wrongly,
 * late or for another parent is left; one that is away is looked for again with every look.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"
#include "helper/wire.h"
#include "sys/cgroup.h"
#include "sys/log.h"
#include "sys/packet.h"

#define CHILD_FD          3
#define START_PATIENCE_MS 20000 /* to load a program on a busy machine */

struct weir_helper {
    char parent[PATH_MAX]; /* absolute, no slash at its end */
    uint64_t parent_ino;
    char *path;  /* where it listens; NULL: spawned */
    int fd;      /* -1 = away */
    pid_t child; /* spawned and not yet waited for; 0 = none */
    pid_t pid;
    int patience_ms;
    uint32_t number;
    uint64_t requests, refused, losses;
    char away[160];
};

/* ---- one request ---- */

static void lose(struct weir_helper *h, const char *why) {
    if (h->fd >= 0) {
        close(h->fd);
        h->losses++;
        weir_log(WEIR_LOG_ERROR, "helper_away", "why=\"%s\" effect=\"%s\"", why,
                 h->path ? "what needs it waits"
                         : "what needs it waits until the agent is started again");
    }
    h->fd = -1;
    h->pid = 0;
    if (h->child > 0 && waitpid(h->child, NULL, WNOHANG) == h->child)
        h->child = 0;
    snprintf(h->away, sizeof(h->away), "%s%s", why,
             h->path ? "" : ": start the agent again, only that can start it anew");
}

struct call {
    struct weir_helper_request request; /* verb and arguments; the rest is filled in */
    int fds[WEIR_HELPER_FDS];
    unsigned n_fds;
    int *ret_fd;      /* where those that come back go; NULL: none do */
    unsigned max_fds; /* at most so many do; 0: exactly one */
    unsigned n_ret;
    struct weir_helper_reply reply;
};

static int receive(const struct weir_helper *h, struct call *c) {
    struct pollfd p = { .fd = h->fd, .events = POLLIN };
    unsigned n = WEIR_PACKET_FDS, most = !c->ret_fd ? 0 : c->max_fds ? c->max_fds : 1;
    int fds[WEIR_PACKET_FDS], r;
    bool got;

    do
        r = poll(&p, 1, h->patience_ms);
    while (r < 0 && errno == EINTR);
    if (r != 1)
        return r < 0 ? -errno : -ETIMEDOUT;
    r = weir_packet_receive(h->fd, &c->reply, sizeof(c->reply), fds, &n);
    got = r == 0;
    if (r == 0 && (c->reply.version != WEIR_HELPER_VERSION || c->reply.number != h->number ||
                   n > most || (n > 0) != (most > 0 && c->reply.error == 0)))
        r = -EPROTO;
    if (r == 0 && n > 0)
        memcpy(c->ret_fd, fds, n * sizeof(int));
    if (r == 0)
        c->n_ret = n;
    for (unsigned i = 0; got && r && i < n; i++)
        close(fds[i]);
    return r;
}

static int ask(struct weir_helper *h, struct call *c) {
    int r;

    if (!h || h->fd < 0)
        return -ENOTCONN;
    c->request.version = WEIR_HELPER_VERSION;
    c->request.number = ++h->number;
    h->requests++;
    r = weir_packet_send(h->fd, &c->request, sizeof(c->request), c->fds, c->n_fds);
    if (r == 0)
        r = receive(h, c);
    if (r) {
        lose(h, r == -EPIPE || r == -ECONNRESET ? "it has ended"
                : r == -ETIMEDOUT               ? "it did not answer in time"
                                                : "it answered something else");
        return -ENOTCONN;
    }
    h->refused += c->reply.refused;
    return c->reply.error;
}

static int name_it(struct weir_helper_request *request, const char *name) {
    size_t n = strlen(name);

    if (n >= sizeof(request->name))
        return -ENAMETOOLONG;
    memcpy(request->name, name, n);
    return 0;
}

/* ---- there, away, there again ---- */

static int hello(struct weir_helper *h) {
    struct call c = { .request.verb = WEIR_HELPER_HELLO };
    int r = ask(h, &c);

    if (r == 0 && c.reply.value[0] != h->parent_ino) {
        lose(h, "it serves another parent cgroup");
        return -ENOTCONN;
    }
    if (r)
        return r;
    h->pid = (pid_t)c.reply.value[1];
    h->away[0] = '\0';
    weir_log(WEIR_LOG_INFO, "helper_there", "pid=%d", (int)h->pid);
    return 0;
}

static void dial(struct weir_helper *h) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, h->path, strlen(h->path) + 1);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        h->fd = fd;
        (void)hello(h);
        return;
    }
    snprintf(h->away, sizeof(h->away), "nobody answers at its socket: %s", strerrordesc_np(errno));
    if (fd >= 0)
        close(fd);
}

bool weir_helper_look(struct weir_helper *h) {
    struct pollfd p = { .events = POLLIN };

    if (!h)
        return false;
    p.fd = h->fd;
    /* Nothing is to be read between two requests. */
    if (h->fd >= 0 && poll(&p, 1, 0) != 0)
        lose(h, "it has ended");
    if (h->fd < 0 && h->path)
        dial(h);
    return h->fd >= 0;
}

void weir_helper_facts(const struct weir_helper *h, struct weir_helper_facts *ret) {
    *ret = (struct weir_helper_facts){ .away = "there is none" };
    if (!h)
        return;
    *ret = (struct weir_helper_facts){ .away = h->fd < 0 ? h->away : NULL,
                                       .pid = h->pid,
                                       .spawned = h->path == NULL,
                                       .requests = h->requests,
                                       .refused = h->refused,
                                       .losses = h->losses };
}

static int new_for(const char *parent, struct weir_helper **ret_helper) {
    struct weir_helper *h = weir_calloc(1, sizeof(*h));
    struct stat st;
    size_t n = strlen(parent);

    if (!h)
        return -ENOMEM;
    h->fd = -1;
    h->patience_ms = WEIR_HELPER_PATIENCE_MS;
    if (n >= sizeof(h->parent) || stat(parent, &st) < 0) {
        int r = n >= sizeof(h->parent) ? -ENAMETOOLONG : -errno;

        weir_free(h);
        return r;
    }
    memcpy(h->parent, parent, n + 1);
    while (n > 1 && h->parent[n - 1] == '/')
        h->parent[--n] = '\0';
    h->parent_ino = st.st_ino;
    *ret_helper = h;
    return 0;
}

int weir_helper_connect(const char *path, const char *parent, struct weir_helper **ret_helper) {
    struct weir_helper *h;
    int r;

    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return -ENAMETOOLONG;
    r = new_for(parent, &h);
    if (r)
        return r;
    h->path = weir_strndup(path, strlen(path));
    if (!h->path) {
        weir_free(h);
        return -ENOMEM;
    }
    dial(h);
    if (h->fd < 0)
        weir_log(WEIR_LOG_WARN, "helper_away", "why=\"%s\" effect=\"what needs it waits\"",
                 h->away);
    *ret_helper = h;
    return 0;
}

/* Between fork and exec. The signals that the caller keeps to itself are the helper's again. */
static void become(int fd, const char *cgroup) {
    char number[] = { '0' + CHILD_FD, '\0' };
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd == CHILD_FD ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, CHILD_FD) >= 0)
        execl("/proc/self/exe", "weir", "helper", "--fd", number, "--cgroup", cgroup, (char *)NULL);
    _exit(127);
}

int weir_helper_spawn(const char *parent, struct weir_helper **ret_helper) {
    char mount[PATH_MAX] = "";
    struct weir_helper *h;
    int ends[2], r = weir_cgroup_mount(mount, sizeof(mount));
    size_t n = strlen(mount);

    if (r)
        return r;
    if (strncmp(parent, mount, n) != 0 || parent[n] != '/')
        return -EINVAL;
    r = new_for(parent, &h);
    if (r)
        return r;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        r = -errno;
        weir_free(h);
        return r;
    }
    h->child = fork();
    if (h->child == 0)
        become(ends[1], parent + n);
    r = h->child < 0 ? -errno : 0;
    close(ends[1]);
    h->fd = ends[0];
    h->patience_ms = START_PATIENCE_MS;
    if (r == 0)
        r = hello(h);
    if (r) {
        weir_helper_free(h);
        return r;
    }
    h->patience_ms = WEIR_HELPER_PATIENCE_MS;
    *ret_helper = h;
    return 0;
}

struct weir_helper *weir_helper_free(struct weir_helper *h) {
    if (!h)
        return NULL;
    if (h->fd >= 0)
        close(h->fd); /* a spawned one ends by that */
    if (h->child > 0)
        while (waitpid(h->child, NULL, 0) < 0 && errno == EINTR)
            ;
    weir_free(h->path);
    return weir_free(h);
}

/* ---- succession ---- */

int weir_helper_connection(const struct weir_helper *h) {
    return h ? h->fd : -1;
}

int weir_helper_succeed(struct weir_helper *h, int fd, uint64_t *ret_n) {
    struct call c = { .request.verb = WEIR_HELPER_SUCCEED, .fds = { fd }, .n_fds = 1 };
    int r;

    h->patience_ms = START_PATIENCE_MS;
    r = ask(h, &c);
    h->patience_ms = WEIR_HELPER_PATIENCE_MS;
    if (r == 0)
        *ret_n = c.reply.value[0];
    return r;
}

/* ---- the deeds ---- */

int weir_helper_netns(struct weir_helper *h, const char *path, int *ret_fd, uint64_t *ret_cookie) {
    struct call c = { .request.verb = WEIR_HELPER_NETNS, .ret_fd = ret_fd };
    int r = name_it(&c.request, path);

    if (r == 0)
        r = ask(h, &c);
    if (r == 0)
        *ret_cookie = c.reply.value[0];
    return r;
}

int weir_helper_walk(struct weir_helper *h, int netns_fd, int link_fd, int *ret_iter_fd) {
    struct call c = { .request.verb = WEIR_HELPER_WALK,
                      .fds = { netns_fd, link_fd },
                      .n_fds = 2,
                      .ret_fd = ret_iter_fd };

    return ask(h, &c);
}

int weir_helper_diag(struct weir_helper *h, int netns_fd, int *ret_fd) {
    struct call c = {
        .request.verb = WEIR_HELPER_DIAG, .fds = { netns_fd }, .n_fds = 1, .ret_fd = ret_fd
    };

    return ask(h, &c);
}

/* The helper knows its parent; what goes over is the rest. */
static int name_cgroup(const struct weir_helper *h, struct weir_helper_request *request,
                       const char *cgroup) {
    size_t n = h ? strlen(h->parent) : 0;

    if (!h)
        return -ENOTCONN;
    if (strncmp(cgroup, h->parent, n) != 0 || cgroup[n] != '/')
        return -EACCES;
    return name_it(request, cgroup + n + 1);
}

int weir_helper_sockets(struct weir_helper *h, const struct weir_helper_place *place, int family,
                        int *ret_fds, unsigned *n) {
    struct call c = { .request = { .verb = WEIR_HELPER_SOCKET,
                                   .family = family,
                                   .type = SOCK_STREAM,
                                   .count = *n },
                      .fds = { place->netns_fd },
                      .n_fds = 1,
                      .ret_fd = ret_fds,
                      .max_fds = *n };
    int r = name_cgroup(h, &c.request, place->cgroup);

    if (r == 0)
        r = ask(h, &c);
    if (r == 0)
        *n = c.n_ret;
    return r;
}

int weir_helper_listen(struct weir_helper *h, const struct weir_helper_place *place, uint16_t port,
                       int ret_fds[2], unsigned *ret_n) {
    struct call c = { .request = { .verb = WEIR_HELPER_LISTEN, .port = port },
                      .fds = { place->netns_fd },
                      .n_fds = 1,
                      .ret_fd = ret_fds,
                      .max_fds = 2 };
    int r = name_cgroup(h, &c.request, place->cgroup);

    if (r == 0)
        r = ask(h, &c);
    if (r == 0)
        *ret_n = c.n_ret;
    return r;
}

int weir_helper_release(struct weir_helper *h, const char *cgroup) {
    struct call c = { .request.verb = WEIR_HELPER_RELEASE };
    int r = name_cgroup(h, &c.request, cgroup);

    return r ? r : ask(h, &c);
}

int weir_helper_tenant(struct weir_helper *h, const char *name, bool keep, uint32_t *ret_uid,
                       uint32_t *ret_limits) {
    struct call c = { .request = { .verb = WEIR_HELPER_TENANT, .count = keep } };
    int r = name_it(&c.request, name);

    if (r == 0)
        r = ask(h, &c);
    if (r == 0 && keep) {
        *ret_uid = (uint32_t)c.reply.value[0];
        *ret_limits = (uint32_t)c.reply.value[1];
    }
    return r;
}

int weir_helper_place(struct weir_helper *h, uint32_t uid, uint64_t pod) {
    struct call c = { .request.verb = WEIR_HELPER_PLACE };

    snprintf(c.request.name, sizeof(c.request.name), "%u/p%llu", uid, (unsigned long long)pod);
    return ask(h, &c);
}

int weir_helper_worker(struct weir_helper *h, const char *name, bool new_, int *ret_fd,
                       pid_t *ret_pid) {
    struct call c = { .request = { .verb = WEIR_HELPER_SPAWN, .count = new_ }, .ret_fd = ret_fd };
    int r = name_it(&c.request, name);

    if (r == 0)
        r = ask(h, &c);
    if (r == 0)
        *ret_pid = (pid_t)c.reply.value[0];
    return r;
}

int weir_helper_stop(struct weir_helper *h, pid_t pid) {
    struct call c = { .request = { .verb = WEIR_HELPER_STOP, .pid = pid } };

    return ask(h, &c);
}

int weir_helper_canary(struct weir_helper *h, const struct weir_helper_place *place,
                       struct weir_canary *ret) {
    struct call c = { .request.verb = WEIR_HELPER_CANARY, .fds = { place->netns_fd }, .n_fds = 1 };
    int r = name_cgroup(h, &c.request, place->cgroup);

    if (r == 0)
        r = ask(h, &c);
    if (r == 0)
        *ret =
            (struct weir_canary){ (int)(int64_t)c.reply.value[0], (int)(int64_t)c.reply.value[1] };
    return r;
}

int weir_helper_code(struct weir_helper *h, pid_t pid, const char *name, int *ret_fd) {
    struct call c = { .request = { .verb = WEIR_HELPER_CODE, .pid = pid }, .ret_fd = ret_fd };
    int r = name_it(&c.request, name);

    return r ? r : ask(h, &c);
}

int weir_helper_probe(struct weir_helper *h, const struct weir_helper_spot *spot, int *ret_fd) {
    struct call c = { .request = { .verb = WEIR_HELPER_PROBE,
                                   .pid = spot->pid,
                                   .port = spot->offset,
                                   .count = spot->at_return ? 2 : 1 },
                      .ret_fd = ret_fd };
    int r = name_it(&c.request, spot->library);

    return r ? r : ask(h, &c);
}
