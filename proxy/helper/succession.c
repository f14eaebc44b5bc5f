/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One helper takes over from another (docs/adr/0029): listeners, tenants' user ids, and what their workers are told by.
 * The successor's agent brings a connection to the one before, which answers HANDOVER with a number of records, each a
 * packet of a request's form with its descriptors beside it, and then forgets all of them:
 *
 *   TENANT name, count the user id, port its limits
 *   SPAWN  name of the tenant, pid; the agent's end. The oldest first
 *   LISTEN name the cgroup's number, port; the listeners
 *
 * A record is checked like a request: who is no process of that tenant's cgroup is not taken for one.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/tenants.h"
#include "sys/log.h"

static bool waited(int fd, short events) {
    struct pollfd p = { .fd = fd, .events = events };

    return poll(&p, 1, WEIR_HELPER_PATIENCE_MS) == 1 && (p.revents & events);
}

/* ---- handing over ---- */

static int say(int fd, struct weir_helper_request *record, const int *fds, unsigned n) {
    record->version = WEIR_HELPER_VERSION;
    return waited(fd, POLLOUT) ? weir_packet_send(fd, record, sizeof(*record), fds, n) : -ETIMEDOUT;
}

static unsigned n_workers(const struct weir_helper_tenant *t) {
    unsigned n = 0;

    while (n < WEIR_HELPER_WORKERS && t->workers[n].pid)
        n++;
    return n;
}

static int say_tenant(int fd, const struct weir_helper_tenant *t) {
    struct weir_helper_request q = { .verb = WEIR_HELPER_TENANT,
                                     .count = t->uid,
                                     .port = t->limits };
    int r;

    snprintf(q.name, sizeof(q.name), "%s", t->name);
    r = say(fd, &q, NULL, 0);
    for (unsigned i = n_workers(t); r == 0 && i-- > 0;) {
        q = (struct weir_helper_request){ .verb = WEIR_HELPER_SPAWN, .pid = t->workers[i].pid };
        snprintf(q.name, sizeof(q.name), "%s", t->name);
        r = say(fd, &q, &t->workers[i].control_fd, 1);
    }
    return r;
}

static int say_kept(int fd, const struct weir_helper_kept *k) {
    struct weir_helper_request q = { .verb = WEIR_HELPER_LISTEN, .port = k->port };

    snprintf(q.name, sizeof(q.name), "%llu", (unsigned long long)k->cgroup);
    return say(fd, &q, k->fds, k->n);
}

static struct weir_helper_tenant *tenant_at(const struct weir_list *it) {
    return WEIR_CONTAINER_OF(it, struct weir_helper_tenant, link);
}

static struct weir_helper_kept *kept_at(const struct weir_list *it) {
    return WEIR_CONTAINER_OF(it, struct weir_helper_kept, link);
}

/* Processes, cgroups and sockets are the successor's now: only what we know of them goes. */
static void forget(struct weir_helper_server *s) {
    WEIR_LIST_FOREACH_SAFE (it, next, &s->tenants)
        weir_helper_tenant_free(tenant_at(it));
    WEIR_LIST_FOREACH_SAFE (it, next, &s->kept)
        weir_helper_kept_free(kept_at(it));
    s->handed_over = true;
}

int weir_succession_hand_over(struct weir_helper_job *job) {
    uint64_t n = 0;

    weir_tenants_reap(job->server);
    WEIR_LIST_FOREACH (it, &job->server->tenants)
        n += 1 + n_workers(tenant_at(it));
    WEIR_LIST_FOREACH (it, &job->server->kept)
        n++;
    job->reply.value[0] = n;
    return 0;
}

void weir_succession_send(struct weir_helper_server *s, int fd) {
    int r = 0;

    WEIR_LIST_FOREACH (it, &s->tenants)
        if (r == 0)
            r = say_tenant(fd, tenant_at(it));
    WEIR_LIST_FOREACH (it, &s->kept)
        if (r == 0)
            r = say_kept(fd, kept_at(it));
    if (r == 0)
        forget(s);
    weir_log(r ? WEIR_LOG_ERROR : WEIR_LOG_INFO, "helper_handed_over", "error=\"%s\"",
             r ? strerror(-r) : "");
}

/* ---- taking over ---- */

/* Of the tenant's own cgroup, where only the helper starts processes. */
static bool is_worker(const struct weir_helper_tenant *t, pid_t pid) {
    int fd = openat(t->fd, "worker/cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    char line[32];
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        found = atoi(line) == pid;
    if (f)
        fclose(f);
    else if (fd >= 0)
        close(fd);
    return found;
}

static int take_tenant(struct weir_helper_server *s, const struct weir_helper_request *q) {
    const struct weir_helper_tenants *own = &s->options;
    struct weir_helper_tenant *t;
    int r;

    if (!weir_helper_is_tenant(q->name) || q->count - own->first_uid >= own->n_uids ||
        weir_helper_tenant_find(s, q->name, 0) || weir_helper_tenant_find(s, NULL, q->count))
        return -EPROTO;
    r = weir_helper_tenant_new(s, q->name, q->count, &t);
    if (r == 0)
        t->limits |= q->port;
    return r;
}

/* The number is held before it is looked at: it cannot be given to another process in between. */
static int take_worker(struct weir_helper_server *s, const struct weir_helper_request *q, int fd) {
    struct weir_helper_tenant *t = weir_helper_tenant_find(s, q->name, 0);
    struct weir_helper_worker w = { .pid = q->pid, .control_fd = fd, .pidfd = -1 };

    if (!t || q->pid <= 0 || t->workers[WEIR_HELPER_WORKERS - 1].pid)
        return -EPROTO;
    w.pidfd = (int)syscall(SYS_pidfd_open, q->pid, 0);
    if (w.pidfd < 0)
        return -errno;
    if (!is_worker(t, q->pid)) {
        close(w.pidfd);
        return -ESRCH;
    }
    weir_helper_worker_add(t, &w);
    return 0;
}

static int take_kept(struct weir_helper_server *s, const struct weir_helper_request *q,
                     const int *fds, unsigned n) {
    struct weir_helper_kept k = { .port = q->port, .n = n };
    char *end;

    k.cgroup = strtoull(q->name, &end, 10);
    if (*end || k.cgroup == 0)
        return -EPROTO;
    memcpy(k.fds, fds, n * sizeof(int));
    return weir_helper_keep(s, &k);
}

static int take(struct weir_helper_server *s, int fd) {
    struct weir_helper_request q;
    int fds[WEIR_HELPER_KEPT_FDS], r;
    unsigned n = WEIR_HELPER_KEPT_FDS;

    r = waited(fd, POLLIN) ? weir_packet_receive(fd, &q, sizeof(q), fds, &n) : -ETIMEDOUT;
    if (r)
        return r;
    if (q.version != WEIR_HELPER_VERSION || strnlen(q.name, sizeof(q.name)) == sizeof(q.name))
        r = -EPROTO;
    else if (q.verb == WEIR_HELPER_TENANT && n == 0)
        r = take_tenant(s, &q);
    else if (q.verb == WEIR_HELPER_SPAWN && n == 1)
        r = take_worker(s, &q, fds[0]);
    else if (q.verb == WEIR_HELPER_LISTEN && n > 0)
        r = take_kept(s, &q, fds, n);
    else
        r = -EPROTO;
    for (unsigned i = 0; r && i < n; i++)
        close(fds[i]);
    if (r)
        weir_log(WEIR_LOG_WARN, "helper_not_taken", "verb=%u name=%s pid=%d error=\"%s\"", q.verb,
                 weir_log_quote(weir_slice_make(q.name, strnlen(q.name, sizeof(q.name)))).s, q.pid,
                 strerror(-r));
    return 0; /* of this one; the others count */
}

static int ask(int fd, uint32_t verb, struct weir_helper_reply *reply) {
    struct weir_helper_request q = { .verb = verb };
    unsigned n = 0;
    int none, r = say(fd, &q, NULL, 0);

    if (r == 0)
        r = waited(fd, POLLIN) ? weir_packet_receive(fd, reply, sizeof(*reply), &none, &n)
                               : -ETIMEDOUT;
    return r ? r : reply->error;
}

int weir_succession_take(struct weir_helper_job *job) {
    struct weir_helper_server *s = job->server;
    struct weir_helper_reply reply;
    int fd = job->fds[0], r;

    if (!weir_list_empty(&s->tenants) || !weir_list_empty(&s->kept))
        return weir_helper_refuse(job, "it has tenants already");
    r = ask(fd, WEIR_HELPER_HELLO, &reply);
    if (r == 0 && reply.value[0] != s->parent_ino)
        return weir_helper_refuse(job, "the one before serves another parent");
    if (r == 0)
        r = ask(fd, WEIR_HELPER_HANDOVER, &reply);
    if (r == 0 && reply.value[0] > 0)
        (void)weir_helper_tenants_dir(s); /* the last place of it to go takes it along */
    for (uint64_t i = 0; r == 0 && i < reply.value[0]; i++)
        r = take(s, fd);
    job->reply.value[0] = r == 0 ? reply.value[0] : 0;
    return r;
}
