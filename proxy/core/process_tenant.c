/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `weir proxy --tenant`: the worker of one workload identity, for all of its pods on this node (docs/adr/0022). It opens
 * no listener and no file: documents, keys, listeners and the sockets it connects with come from the agent over one
 * socket. Each pod has a data thread, a loop and a runtime of its own, so that all that knows "the sidecar's pod" holds
 * here too. When the agent's end is closed by everybody, it finishes what it has and ends.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/process_internal.h"
#include "core/tenant.h"
#include "io/sockets.h"
#include "sys/clock.h"
#include "sys/files.h"
#include "sys/log.h"
#include "sys/packet.h"
#include "sys/procstat.h"

#define FIRST_PATIENCE_MS 10000 /* until the configuration has come */
#define SECOND_US         1000000u

/* A packet with its descriptors; those that are used are set to -1. */
struct told {
    struct weir_tenant_packet packet;
    int fds[WEIR_PACKET_FDS];
    unsigned n;
};

static void say(struct weir_process *p, enum weir_tenant_verb verb, const char *name,
                const uint64_t value[4]) {
    struct weir_tenant_packet packet = { .version = WEIR_TENANT_VERSION, .verb = verb };

    snprintf(packet.name, sizeof(packet.name), "%s", name);
    if (value)
        memcpy(packet.value, value, sizeof(packet.value));
    /* The agent that does not read has forgotten us; what matters is asked again. */
    (void)weir_packet_send(p->tenancy->control_fd, &packet, sizeof(packet), NULL, 0);
}

static void say_one(struct weir_process *p, enum weir_tenant_verb verb, const char *name,
                    uint64_t value) {
    const uint64_t values[4] = { value };

    say(p, verb, name, values);
}

/* The one that serves; those of the same pod that finish are not it: it may have left the mode and come back. */
static struct weir_thread *find(struct weir_process *p, const char *pod) {
    for (unsigned i = 0; i < p->n_threads; i++)
        if (strcmp(p->threads[i]->pod, pod) == 0 &&
            atomic_load(&p->threads[i]->worker.drain_wanted) == WEIR_DRAIN_NONE)
            return p->threads[i];
    return NULL;
}

/* ---- what is given ---- */

static void take(int *to, int *fd) {
    if (*to >= 0)
        close(*to);
    *to = *fd;
    *fd = -1;
}

static int read_at_start(int fd, size_t max, char **ret_text, size_t *ret_len) {
    if (fd < 0)
        return -ENOENT;
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : weir_file_read_fd(fd, max, ret_text, ret_len);
}

int weir_tenancy_read(const struct weir_process *p, char **ret_text, size_t *ret_len) {
    return read_at_start(p->tenancy->documents_fd, WEIR_CONFIG_MAX, ret_text, ret_len);
}

/* ---- the identity ---- */

static int ask(void *arg, struct weir_slice csr) {
    struct weir_process *p = arg;
    struct weir_tenant_packet packet = { .version = WEIR_TENANT_VERSION, .verb = WEIR_TENANT_CSR };

    if (csr.len >= sizeof(packet.text))
        return -EMSGSIZE;
    memcpy(packet.text, csr.ptr, csr.len);
    return weir_packet_send(p->tenancy->control_fd, &packet, sizeof(packet), NULL, 0);
}

static void on_identity(struct weir_process *p, const struct told *told) {
    uint64_t now = weir_clock_wall_us();
    char *text[2] = { NULL, NULL };
    size_t len[2] = { 0, 0 };
    int r = 0;

    if (!p->identity.svid)
        return;
    if (told->packet.verb == WEIR_TENANT_NO_SVID) {
        weir_svid_refused(p->identity.svid, now, weir_slice_from_str(told->packet.text));
        return;
    }
    for (unsigned i = 0; r == 0 && i < told->n; i++)
        r = read_at_start(told->fds[i], WEIR_SVID_BUNDLE_MAX, &text[i], &len[i]);
    if (r)
        weir_svid_refused(p->identity.svid, now, weir_slice_from_str(strerror(-r)));
    else if (told->packet.verb == WEIR_TENANT_SVID)
        weir_svid_arrived(p->identity.svid, now, weir_slice_make(text[0], len[0]),
                          weir_slice_make(text[1], len[1]));
    else
        weir_svid_bundle(p->identity.svid, now, weir_slice_make(text[0], len[0]));
    weir_free(text[0]);
    weir_free(text[1]);
}

/* Whether there is somebody to sign may change with an agent that starts anew. */
static void on_config(struct weir_process *p, struct told *told, bool running) {
    int r = told->packet.value[0] ? weir_process_svid_new(p, ask, p) : 0;

    if (r)
        weir_log(WEIR_LOG_ERROR, "svid", "error=\"%s\"", strerror(-r));
    if (!told->packet.value[0])
        p->identity.svid = weir_svid_free(p->identity.svid);
    take(&p->tenancy->documents_fd, &told->fds[0]);
    if (running)
        weir_process_reload(p);
}

static void want(void *arg, int family) {
    struct weir_thread *t = arg;
    const uint64_t value[4] = { (uint64_t)family, t->serial };

    say(t->process, WEIR_TENANT_WANT, t->pod, value);
}

/* ---- pods ---- */

static int listen_on(struct weir_thread *t, struct told *told) {
    int r = 0;

    for (unsigned i = 0; r == 0 && i < told->n; i++) {
        struct weir_listener *l = &t->tenant_listeners[i < told->packet.value[0] ? 0 : 1];
        struct weir_listen listen = { .original_dst = l->dir == WEIR_DIR_OUTBOUND, .user = l };

        r = weir_loop_adopt(t->loop, told->fds[i], &listen);
        if (r == 0)
            told->fds[i] = -1;
    }
    return r;
}

static int serve(struct weir_process *p, struct told *told) {
    struct weir_thread *t;
    int r;

    if (p->n_threads == WEIR_TENANT_PODS || p->draining)
        return p->draining ? -ECANCELED : -EUSERS;
    t = weir_calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    snprintf(t->pod, sizeof(t->pod), "%s", told->packet.name);
    t->tenant_listeners[0].dir = WEIR_DIR_OUTBOUND;
    t->tenant_listeners[1].dir = WEIR_DIR_INBOUND;
    t->serial = p->tenancy->n_ever++;
    r = weir_thread_init(t, p, t->serial % 256);
    if (r == 0)
        r = weir_loop_use_sockets(t->loop, want, t);
    if (r == 0)
        r = listen_on(t, told);
    if (r == 0)
        r = weir_thread_start(t, WEIR_TENANT_STACK);
    if (r != 0) {
        weir_thread_deinit(t);
        weir_free(t);
        return r;
    }
    p->threads[p->n_threads++] = t;
    want(t, AF_INET);
    want(t, AF_INET6);
    weir_log(WEIR_LOG_INFO, "pod_served", "pod=%s listeners=%u", t->pod, told->n);
    return 0;
}

static void on_pod(struct weir_process *p, struct told *told) {
    int r = find(p, told->packet.name) ? 0 : serve(p, told);

    if (r < 0)
        weir_log(WEIR_LOG_ERROR, "pod_not_served", "pod=%s error=\"%s\"", told->packet.name,
                 strerror(-r));
    say_one(p, r == 0 ? WEIR_TENANT_READY : WEIR_TENANT_FAILED, told->packet.name, p->generation);
}

static void on_gone(struct weir_process *p, struct told *told) {
    struct weir_thread *t = find(p, told->packet.name);

    if (!t) {
        say(p, WEIR_TENANT_LEFT, told->packet.name, NULL);
        return;
    }
    atomic_store(&t->worker.drain_wanted, WEIR_DRAIN_UNLIMITED);
    weir_loop_post(t->loop);
}

static void on_sockets(struct weir_process *p, struct told *told) {
    for (unsigned i = 0; i < p->n_threads; i++) {
        struct weir_thread *t = p->threads[i];

        if (t->serial != told->packet.value[1] || strcmp(t->pod, told->packet.name) != 0)
            continue;
        weir_loop_give_sockets(t->loop, (int)told->packet.value[0], told->fds, told->n);
        told->n = 0;
        return;
    }
}

/* A thread has come to its end. True: nothing else is to follow from that. */
bool weir_tenancy_posted(struct weir_process *p) {
    for (unsigned i = p->n_threads; i-- > 0;) {
        struct weir_thread *t = p->threads[i];

        if (!atomic_load(&t->ended))
            continue;
        weir_thread_join(t);
        say(p, WEIR_TENANT_LEFT, t->pod, NULL);
        weir_log(WEIR_LOG_INFO, "pod_left", "pod=%s", t->pod);
        p->threads[i] = p->threads[--p->n_threads];
        atomic_fetch_sub(&p->n_ended, 1);
        p->tenancy->done += weir_thread_requests(t);
        weir_thread_deinit(t);
        weir_free(t);
    }
    return !p->draining || p->n_threads > 0;
}

/* ---- how it is ---- */

/* Answered when every data thread has come round since the last one: one that spins does not. */
static void on_ping(struct weir_process *p, const struct told *told) {
    uint64_t value[4] = { told->packet.value[0], 0, p->tenancy->done };
    struct weir_procstat st;
    bool well = true;

    for (unsigned i = 0; i < p->n_threads; i++) {
        struct weir_thread *t = p->threads[i];
        unsigned now = atomic_load(&t->worker.n_posted);

        well = well && (t->pinged == 0 || now != t->posted_then);
        t->pinged++;
        t->posted_then = now;
        value[1] += weir_thread_connections(t);
        value[2] += weir_thread_requests(t);
        weir_loop_post(t->loop);
    }
    if (!well)
        return;
    weir_procstat_read(&st);
    value[3] = st.resident_bytes;
    say(p, WEIR_TENANT_PONG, "", value);
}

static void on_second(void *arg) {
    struct weir_process *p = arg;

    for (unsigned i = 0; i < p->n_threads; i++)
        weir_loop_sockets_again(p->threads[i]->loop);
}

/* ---- the socket ---- */

static bool is_sound(const struct told *told) {
    static const struct {
        unsigned least, most;
        bool named;
    } shape[] = {
        [WEIR_TENANT_CONFIG] = { 1, 1, false },
        [WEIR_TENANT_SVID] = { 2, 2, false },
        [WEIR_TENANT_NO_SVID] = { 0, 0, false },
        [WEIR_TENANT_TRUST] = { 1, 1, false },
        [WEIR_TENANT_POD] = { 2, 4, true },
        [WEIR_TENANT_GONE] = { 0, 0, true },
        [WEIR_TENANT_SOCKETS] = { 1, WEIR_PACKET_FDS, true },
        [WEIR_TENANT_PING] = { 0, 0, false },
        [WEIR_TENANT_DRAIN] = { 0, 0, false },
    };
    const struct weir_tenant_packet *q = &told->packet;

    return q->version == WEIR_TENANT_VERSION && q->verb >= WEIR_TENANT_CONFIG &&
           q->verb <= WEIR_TENANT_DRAIN && told->n >= shape[q->verb].least &&
           told->n <= shape[q->verb].most && memchr(q->name, 0, sizeof(q->name)) &&
           memchr(q->text, 0, sizeof(q->text)) && (q->name[0] != '\0') == shape[q->verb].named;
}

/* Before the loop runs nothing is to be reloaded: `running` says that it does. */
static void obey(struct weir_process *p, struct told *told, bool running) {
    switch ((enum weir_tenant_verb)told->packet.verb) {
    case WEIR_TENANT_CONFIG:
        on_config(p, told, running);
        break;
    case WEIR_TENANT_SVID:
    case WEIR_TENANT_NO_SVID:
    case WEIR_TENANT_TRUST:
        on_identity(p, told);
        break;
    case WEIR_TENANT_POD:
        on_pod(p, told);
        break;
    case WEIR_TENANT_GONE:
        on_gone(p, told);
        break;
    case WEIR_TENANT_SOCKETS:
        on_sockets(p, told);
        break;
    case WEIR_TENANT_PING:
        on_ping(p, told);
        break;
    default:
        weir_process_drain(p);
        break;
    }
}

/* One packet. 0, -EAGAIN, -EPIPE: the agent's side is gone; -EPROTO. */
static int hear(struct weir_process *p, bool running) {
    struct told told = { .n = WEIR_PACKET_FDS };
    int r = weir_packet_receive(p->tenancy->control_fd, &told.packet, sizeof(told.packet), told.fds,
                                &told.n);

    if (r)
        return r;
    if (is_sound(&told))
        obey(p, &told, running);
    else
        r = -EPROTO;
    for (unsigned i = 0; i < told.n; i++)
        if (told.fds[i] >= 0)
            close(told.fds[i]);
    return r;
}

static void on_control(void *arg) {
    struct weir_process *p = arg;
    int r;

    do
        r = hear(p, true);
    while (r == 0);
    if (r == -EAGAIN)
        return;
    weir_log(WEIR_LOG_WARN, "tenant", "error=\"%s\" effect=\"what runs is finished, then it ends\"",
             r == -EPIPE ? "agent and helper are gone" : strerror(-r));
    p->tenancy->on_control = weir_event_free(p->tenancy->on_control);
    weir_process_drain(p);
}

int weir_tenancy_begin(struct weir_process *p) {
    struct weir_tenancy *t = p->tenancy;
    int r = 0;

    while (r == 0 && t->documents_fd < 0) {
        struct pollfd poll_ = { .fd = t->control_fd, .events = POLLIN };

        if (poll(&poll_, 1, FIRST_PATIENCE_MS) != 1)
            return -ETIMEDOUT;
        r = hear(p, false);
    }
    p->threads = r == 0 ? weir_calloc(WEIR_TENANT_PODS, sizeof(struct weir_thread *)) : NULL;
    return r ? r : p->threads ? 0 : -ENOMEM;
}

int weir_tenancy_open(struct weir_process *p) {
    struct weir_tenancy *t = p->tenancy;
    int r = weir_event_readable(p->loop, t->control_fd, on_control, p, &t->on_control);

    return r ? r : weir_event_every(p->loop, SECOND_US, on_second, p, &t->on_second);
}

void weir_tenancy_said(struct weir_process *p, bool in_force) {
    say_one(p, in_force ? WEIR_TENANT_READY : WEIR_TENANT_FAILED, "", p->generation);
}

void weir_tenancy_close(struct weir_process *p) {
    p->tenancy->on_control = weir_event_free(p->tenancy->on_control);
    p->tenancy->on_second = weir_event_free(p->tenancy->on_second);
}
