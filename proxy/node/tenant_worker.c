/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation with one tenant's workers, and when they start, end and are ended. What a worker says is believed
 * only about itself; what it asks for is bounded. States of a tenant: nobody serves, its listeners are polled (or rest
 * after a death); one serves; beside it others drain.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"
#include "node/tenants.h"
#include "sys/clock.h"
#include "sys/entropy.h"
#include "sys/log.h"
#include "sys/packet.h"

#define SECOND_US        1000000ULL
#define PING_US          (3 * SECOND_US)
#define PATIENCE         5u /* PINGs without an answer: counted, since it may be us who are slow */
#define START_PINGS      7u /* until the first READY */
#define STEADY_US        (60 * SECOND_US) /* who lived that long begins anew */
#define BACKOFF_US       (1 * SECOND_US)
#define BACKOFF_MAX_US   (30 * SECOND_US)
#define PACKETS          16 /* of one worker in one turn */
#define WANTS_PER_SECOND 64

struct weir_tenant_worker *weir_tenant_serving(const struct weir_tenant *t) {
    struct weir_tenant_worker *w;

    if (weir_list_empty(&t->workers))
        return NULL;
    w = WEIR_CONTAINER_OF(t->workers.next, struct weir_tenant_worker, link);
    return w->draining ? NULL : w;
}

/* ---- saying ---- */

/* One whose socket is full does not read: that is a worker that hangs. */
void weir_tenant_say(struct weir_tenant_worker *w, struct weir_tenant_packet *packet,
                     const int *fds, unsigned n) {
    int r;

    packet->version = WEIR_TENANT_VERSION;
    r = weir_packet_send(w->source.fd, packet, sizeof(*packet), fds, n);
    if (r)
        weir_log(WEIR_LOG_WARN, "tenant_not_told", "tenant=%s pid=%d verb=%u error=\"%s\"",
                 w->tenant->name, (int)w->pid, packet->verb, strerror(-r));
}

static void say_verb(struct weir_tenant_worker *w, enum weir_tenant_verb verb, uint64_t value) {
    struct weir_tenant_packet packet = { .verb = verb, .value = { value } };

    weir_tenant_say(w, &packet, NULL, 0);
}

void weir_tenant_tell_worker(struct weir_tenant_worker *w, const struct weir_tenant_pod *pod,
                             bool served) {
    struct weir_tenant_packet packet = { .verb = served ? WEIR_TENANT_POD : WEIR_TENANT_GONE,
                                         .value = { served ? pod->n_outbound : 0 } };
    int fds[4];

    snprintf(packet.name, sizeof(packet.name), "%s", pod->name);
    for (unsigned i = 0; i < pod->n_listeners; i++)
        fds[i] = pod->listeners[i].fd;
    weir_tenant_say(w, &packet, fds, served ? pod->n_listeners : 0);
}

void weir_tenant_tell_pod(struct weir_tenant *t, const struct weir_tenant_pod *pod, bool served) {
    WEIR_LIST_FOREACH (it, &t->workers) {
        struct weir_tenant_worker *w = WEIR_CONTAINER_OF(it, struct weir_tenant_worker, link);

        if (!served || (!w->draining && !w->waits))
            weir_tenant_tell_worker(w, pod, served);
    }
}

/* Opened for each anew: an open file's position is shared by all who have it. */
static void tell_documents(struct weir_tenant_worker *w) {
    struct weir_tenant_packet packet = { .verb = WEIR_TENANT_CONFIG,
                                         .value = { weir_sign_on(w->tenant->agent) } };
    char path[32];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", w->tenant->agent->documents_fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    weir_tenant_say(w, &packet, &fd, 1);
    close(fd);
}

void weir_tenant_publish(struct weir_tenant *t) {
    WEIR_LIST_FOREACH (it, &t->workers) {
        struct weir_tenant_worker *w = WEIR_CONTAINER_OF(it, struct weir_tenant_worker, link);

        if (w->draining)
            continue;
        tell_documents(w);
    }
}

static void drain(struct weir_tenant_worker *w) {
    w->draining = true;
    say_verb(w, WEIR_TENANT_DRAIN, 0);
}

void weir_tenant_drain(struct weir_tenant *t) {
    WEIR_LIST_FOREACH (it, &t->workers) {
        struct weir_tenant_worker *w = WEIR_CONTAINER_OF(it, struct weir_tenant_worker, link);

        if (!w->draining)
            drain(w);
    }
}

/* Those that it could not serve: what was missing then, documents or memory, may be there now. */
static void tell_again(struct weir_tenant_worker *w) {
    if (w->draining || w->waits)
        return;
    WEIR_LIST_FOREACH (it, &w->tenant->pods) {
        const struct weir_tenant_pod *pod = WEIR_CONTAINER_OF(it, struct weir_tenant_pod, link);

        if (pod->refused && pod->n_listeners > 0)
            weir_tenant_tell_worker(w, pod, true);
    }
}

/* ---- hearing ---- */

static struct weir_tenant_pod *find_pod(const struct weir_tenant *t, const char *name) {
    WEIR_LIST_FOREACH (it, &t->pods) {
        struct weir_tenant_pod *pod = WEIR_CONTAINER_OF(it, struct weir_tenant_pod, link);

        if (strcmp(pod->name, name) == 0)
            return pod;
    }
    return NULL;
}

static void on_want(struct weir_tenant_worker *w, const struct weir_tenant_packet *q) {
    const struct weir_tenant_pod *pod = find_pod(w->tenant, q->name);
    struct weir_tenant_packet packet = { .verb = WEIR_TENANT_SOCKETS,
                                         .value = { q->value[0], q->value[1] } };
    int fds[WEIR_PACKET_FDS];
    unsigned n = WEIR_PACKET_FDS;

    if (!pod || !pod->place || pod->place->netns_fd < 0 || w->wants++ >= WANTS_PER_SECOND ||
        (q->value[0] != AF_INET && q->value[0] != AF_INET6))
        return;
    if (weir_helper_sockets(w->tenant->agent->helper,
                            &(struct weir_helper_place){ pod->cgroup, pod->place->netns_fd },
                            (int)q->value[0], fds, &n))
        return; /* it asks again */
    memcpy(packet.name, q->name, sizeof(packet.name));
    weir_tenant_say(w, &packet, fds, n);
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
}

static void on_ready(struct weir_tenant_worker *w, const struct weir_tenant_packet *q) {
    struct weir_tenant_pod *pod = find_pod(w->tenant, q->name);
    struct weir_tenant *t = w->tenant;

    if (pod)
        pod->refused = false;
    if (w->ready)
        return;
    w->ready = true;
    t->start_took_us = weir_clock_mono_us() - w->started_us;
    weir_log(WEIR_LOG_INFO, "tenant_ready", "tenant=%s uid=%u pid=%d took_us=%llu", t->name, t->uid,
             (int)w->pid, (unsigned long long)t->start_took_us);
    WEIR_LIST_FOREACH (it, &t->workers) {
        struct weir_tenant_worker *other = WEIR_CONTAINER_OF(it, struct weir_tenant_worker, link);

        if (w->replaces && other != w && !other->draining)
            drain(other);
    }
}

static void on_failed(struct weir_tenant_worker *w, const struct weir_tenant_packet *q) {
    struct weir_tenant_pod *pod = find_pod(w->tenant, q->name);

    if (q->name[0] && (!pod || pod->refused || w->draining))
        return; /* gone meanwhile, or told already */
    weir_log(WEIR_LOG_ERROR, "tenant_failed", "tenant=%s pid=%d what=%s", w->tenant->name,
             (int)w->pid, pod ? pod->name : "configuration");
    if (pod)
        pod->refused = true;
}

static void on_pong(struct weir_tenant_worker *w, const struct weir_tenant_packet *q) {
    w->unanswered = 0;
    if (q->value[1] || q->value[2] != w->requests)
        w->active_us = weir_clock_mono_us();
    w->connections = q->value[1];
    w->requests = q->value[2];
    w->resident = q->value[3];
    w->pongs++;
    /* The first one only says how many requests there were before us. */
    if (w->pongs < 2 || w->draining || !w->ready ||
        weir_clock_mono_us() - w->active_us <= w->tenant->agent->tenant_idle_us)
        return;
    weir_log(WEIR_LOG_INFO, "tenant_idle", "tenant=%s pid=%d", w->tenant->name, (int)w->pid);
    drain(w);
    weir_tenant_await(w->tenant);
}

static int hear(struct weir_tenant_worker *w) {
    struct weir_tenant_packet q;
    int none[1];
    unsigned n = 0;
    int r = weir_packet_receive(w->source.fd, &q, sizeof(q), none, &n);

    if (r)
        return r;
    if (q.version != WEIR_TENANT_VERSION || !memchr(q.name, 0, sizeof(q.name)) ||
        !memchr(q.text, 0, sizeof(q.text)))
        return -EPROTO;
    if (q.verb == WEIR_TENANT_WANT)
        on_want(w, &q);
    else if (q.verb == WEIR_TENANT_CSR)
        weir_tenant_on_csr(w, &q);
    else if (q.verb == WEIR_TENANT_PONG)
        on_pong(w, &q);
    else if (q.verb == WEIR_TENANT_READY && q.name[0])
        on_ready(w, &q);
    else if (q.verb == WEIR_TENANT_READY)
        tell_again(w);
    else if (q.verb == WEIR_TENANT_FAILED)
        on_failed(w, &q);
    return 0;
}

void weir_tenant_worker_free(struct weir_tenant_worker *w) {
    weir_sign_forget(&w->sign);
    weir_list_unlink(&w->link);
    weir_agent_unpoll(w->tenant->agent, &w->source);
    weir_free(w);
}

/* The first death is answered at once, further ones later and later, not all at the same time. */
static void rest(struct weir_tenant *t, uint64_t now) {
    uint64_t us = BACKOFF_MAX_US;
    uint32_t random = 0;

    t->retry_us = 0;
    if (t->failures <= 1)
        return;
    if (t->failures < 7)
        us = BACKOFF_US << (t->failures - 2);
    us = us > BACKOFF_MAX_US ? BACKOFF_MAX_US : us;
    (void)weir_random(&random, sizeof(random));
    t->retry_us = now + us * 4 / 5 + us * 2 / 5 * (random % 1000) / 1000;
}

static void ended(struct weir_tenant_worker *w, bool broken) {
    uint64_t now = weir_clock_mono_us();
    struct weir_tenant *t = w->tenant;
    bool expected = w->draining;

    if (broken) /* it spoke another language */
        (void)weir_helper_stop(t->agent->helper, w->pid);
    if (!expected) {
        t->failures = now - w->started_us >= STEADY_US ? 1 : t->failures + 1;
        t->restarts++;
        t->agent->tenant_restarts++;
        rest(t, now);
        weir_log(WEIR_LOG_WARN, "tenant_died",
                 "tenant=%s uid=%u pid=%d lived_ms=%llu failures=%u rests_ms=%llu", t->name, t->uid,
                 (int)w->pid, (unsigned long long)((now - w->started_us) / 1000), t->failures,
                 (unsigned long long)(t->retry_us ? (t->retry_us - now) / 1000 : 0));
    }
    weir_tenant_worker_free(w);
    weir_tenant_await(t);
}

static void worker_ready(void *arg, uint32_t events) {
    struct weir_tenant_worker *w = arg;
    int r = 0;

    (void)events;
    for (unsigned i = 0; r == 0 && i < PACKETS; i++)
        r = hear(w);
    if (r && r != -EAGAIN)
        ended(w, r != -EPIPE);
}

/* ---- starting ---- */

static struct weir_tenant_worker *worker_new(struct weir_tenant *t, int fd, pid_t pid) {
    struct weir_tenant_worker *w = weir_calloc(1, sizeof(*w));

    if (!w) {
        close(fd);
        return NULL;
    }
    *w = (struct weir_tenant_worker){ .tenant = t, .pid = pid, .source = { worker_ready, w, fd } };
    weir_list_init(&w->link);
    w->started_us = w->pinged_us = w->active_us = weir_clock_mono_us();
    if (weir_agent_poll(t->agent, &w->source, EPOLLIN)) {
        weir_tenant_worker_free(w);
        return NULL;
    }
    weir_list_push_front(&t->workers, &w->link);
    return w;
}

void weir_tenant_start(struct weir_tenant *t, bool replaces) {
    struct weir_tenant_worker *w = NULL;
    pid_t pid;
    int fd, r = weir_helper_worker(t->agent->helper, t->name, true, &fd, &pid);

    if (r == 0)
        w = worker_new(t, fd, pid);
    if (w) {
        w->replaces = replaces;
        t->starts++;
        t->agent->tenant_starts++;
        tell_documents(w);
        weir_tenant_introduce(w);
    } else {
        t->failures++;
        rest(t, weir_clock_mono_us());
        weir_log(WEIR_LOG_ERROR, "tenant_not_started", "tenant=%s error=\"%s\"", t->name,
                 strerror(r ? -r : ENOMEM));
    }
    weir_tenant_await(t);
}

void weir_tenant_adopt(struct weir_tenant *t) {
    struct weir_tenant_worker *w;
    pid_t pid;
    int fd;

    if (weir_helper_worker(t->agent->helper, t->name, false, &fd, &pid))
        return;
    w = worker_new(t, fd, pid);
    if (!w)
        return;
    w->ready = true;
    weir_log(WEIR_LOG_INFO, "tenant_adopted", "tenant=%s uid=%u pid=%d", t->name, t->uid, (int)pid);
    tell_documents(w);
}

static void knocked(void *arg, uint32_t events) {
    struct weir_tenant_pod *pod = arg;
    struct weir_tenant *t = pod->tenant;

    (void)events;
    if (!weir_tenant_serving(t) && weir_clock_mono_us() >= t->retry_us)
        weir_tenant_start(t, false);
    else
        weir_tenant_await(t);
}

void weir_tenant_await(struct weir_tenant *t) {
    bool poll = !weir_tenant_serving(t) && weir_clock_mono_us() >= t->retry_us;

    WEIR_LIST_FOREACH (it, &t->pods) {
        struct weir_tenant_pod *pod = WEIR_CONTAINER_OF(it, struct weir_tenant_pod, link);

        for (unsigned i = 0; i < pod->n_listeners; i++) {
            pod->listeners[i].ready = knocked;
            pod->listeners[i].arg = pod;
            (void)weir_agent_poll(t->agent, &pod->listeners[i], poll ? EPOLLIN : 0);
        }
    }
}

/* ---- looking after them ---- */

static void look(struct weir_tenant_worker *w, uint64_t now) {
    struct weir_tenant *t = w->tenant;
    bool stuck = w->unanswered > PATIENCE || (!w->ready && w->pings > START_PINGS);

    w->wants = 0;
    weir_tenant_svid_tick(w, now);
    tell_again(w);
    if (stuck) {
        t->stuck++;
        t->agent->tenant_stuck++;
        weir_log(WEIR_LOG_ERROR, "tenant_stuck", "tenant=%s pid=%d effect=\"it is ended\"", t->name,
                 (int)w->pid);
        w->unanswered = 0;
        (void)weir_helper_stop(t->agent->helper, w->pid);
        return;
    }
    if (now - w->pinged_us >= PING_US) {
        w->pinged_us = now;
        w->unanswered++;
        say_verb(w, WEIR_TENANT_PING, ++w->pings);
    }
}

void weir_tenant_tick(struct weir_tenant *t, uint64_t now) {
    WEIR_LIST_FOREACH_SAFE (it, next, &t->workers)
        look(WEIR_CONTAINER_OF(it, struct weir_tenant_worker, link), now);
    if (t->retry_us && now >= t->retry_us) {
        t->retry_us = 0;
        weir_tenant_await(t);
    }
}
