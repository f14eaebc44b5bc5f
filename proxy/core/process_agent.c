/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sidecar that has all its configuration from the agent of its node (core/door.h). What it has stays in force while the
 * agent is away, is slow or talks nonsense; it connects again, each time later and never at the same moment as its neighbours,
 * and says what it has, so that only what is new is sent. A snapshot that has come whole goes the way of a file that was read.
 */
#include "core/process_agent.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "core/process_internal.h"
#include "sys/clock.h"
#include "sys/log.h"

#define SECOND_US     1000000u
#define DIAL_US       (2u * SECOND_US)
#define RETRY_US      (SECOND_US / 10)
#define RETRY_MAX_US  (5u * SECOND_US)
#define OUT_MAX       (256u * 1024u + WEIR_DOOR_HELLO_MAX) /* bytes the agent has not read */
#define TOLD_EVERY_US (60u * SECOND_US)

static uint64_t now(const struct weir_link *l) {
    struct weir_net *net = weir_loop_net(l->process->loop);

    return net->ops->now(net);
}

/* ---- being without it ---- */

static void dial(void *arg);

static void try_again(struct weir_link *l) {
    if (l->process->draining || l->on_retry || l->closed)
        return;
    if (weir_event_every(l->process->loop, weir_backoff_next(&l->retry), dial, l, &l->on_retry) < 0)
        weir_log(WEIR_LOG_ERROR, "agent", "error=\"no timer: it is not asked any more\"");
}

/* The first time, and then once a minute. */
static void tell_away(struct weir_link *l, const char *why) {
    uint64_t t = now(l);

    if (l->told_us && t - l->told_us < TOLD_EVERY_US)
        return;
    l->told_us = t;
    weir_log(WEIR_LOG_WARN, "agent_away", "at=%s why=\"%s\" failures=%" PRIu64 " effect=\"%s\"",
             l->at, why, l->figures.failures,
             l->held ? "what was received stays in force" : "not ready until it answers");
}

static void lose(struct weir_link *l, const char *why) {
    struct weir_stream *s = l->stream;

    if (!s)
        return;
    l->stream = NULL;
    l->figures.up = false;
    l->figures.failures++;
    weir_stream_close(s, true);
    weir_door_reader_deinit(&l->in);
    l->coming = weir_documents_unref(l->coming);
    l->on_second = weir_event_free(l->on_second);
    tell_away(l, why);
    try_again(l);
}

/* ---- saying ---- */

static void say(struct weir_link *l, enum weir_door_kind kind, const char *content, size_t len) {
    char header[WEIR_DOOR_HEADER];
    struct weir_bufq q;
    int r;

    if (!l->stream)
        return;
    weir_door_header(header, kind, len);
    weir_bufq_init(&q, &l->process->pool, 0);
    r = weir_bufq_append(&q, weir_slice_make(header, sizeof(header)));
    if (r == 0 && len)
        r = weir_bufq_append(&q, weir_slice_make(content, len));
    if (r == 0)
        r = weir_stream_write(l->stream, &q);
    weir_bufq_deinit(&q);
    if (r == 0 && weir_stream_pending(l->stream) > OUT_MAX)
        r = -EAGAIN;
    if (r)
        lose(l, r == -EAGAIN ? "it does not read" : strerror(-r));
}

static void greet(struct weir_link *l) {
    uint32_t n = l->held ? l->held->n : 0;
    char *text = weir_malloc(4 + n * sizeof(struct weir_document_digest));

    if (!text) {
        lose(l, "no memory");
        return;
    }
    weir_door_u32(text, WEIR_DOOR_VERSION);
    for (uint32_t i = 0; i < n; i++)
        memcpy(text + 4 + i * sizeof(struct weir_document_digest), &l->held->items[i]->digest,
               sizeof(struct weir_document_digest));
    say(l, WEIR_DOOR_HELLO, text, 4 + n * sizeof(struct weir_document_digest));
    weir_free(text);
}

void weir_link_said(struct weir_link *l, bool in_force) {
    char text[sizeof(struct weir_document_digest) + 1];

    if (!l->held)
        return;
    memcpy(text, &l->held->digest, sizeof(l->held->digest));
    text[sizeof(l->held->digest)] = in_force;
    l->figures.refused += !in_force;
    say(l, WEIR_DOOR_STATE, text, sizeof(text));
}

/* ---- hearing ---- */

static int on_welcome(struct weir_link *l, struct weir_slice content) {
    if (content.len < 4 + 3 || content.len - 4 >= sizeof(l->pod) || l->figures.up ||
        weir_door_from_u32(content.ptr) != WEIR_DOOR_VERSION ||
        memchr(content.ptr + 4, 0, content.len - 4) ||
        !memchr(content.ptr + 4, '/', content.len - 4))
        return -EPROTO;
    /* What it serves cannot become another pod's while it runs. */
    if (l->pod[0] && !weir_slice_eq(weir_slice_from_str(l->pod),
                                    weir_slice_make(content.ptr + 4, content.len - 4)))
        return -EPROTO;
    memcpy(l->pod, content.ptr + 4, content.len - 4);
    l->figures.up = true;
    l->figures.connects++;
    l->retry.us = 0;
    l->told_us = 0;
    weir_log(WEIR_LOG_INFO, "agent_connected", "at=%s pod=%s documents=%u", l->at, l->pod,
             l->held ? l->held->n : 0);
    return 0;
}

static int on_begin(struct weir_link *l, struct weir_slice content) {
    if (content.len != 4 + sizeof(l->expected) || l->coming || !l->figures.up ||
        weir_door_from_u32(content.ptr) > WEIR_DOCUMENTS_MAX)
        return -EPROTO;
    l->n_expected = weir_door_from_u32(content.ptr);
    memcpy(&l->expected, content.ptr + 4, sizeof(l->expected));
    l->coming = weir_documents_new();
    l->n_old = 0;
    return l->coming ? 0 : -ENOMEM;
}

static int on_old(struct weir_link *l, struct weir_slice content, bool keep) {
    uint32_t n = content.len == 4 ? weir_door_from_u32(content.ptr) : 0;
    int r = 0;

    if (n == 0 || !l->coming || !l->held || n > l->held->n - l->n_old)
        return -EPROTO;
    for (uint32_t i = 0; keep && r == 0 && i < n; i++)
        r = weir_documents_share(l->coming, l->held->items[l->n_old + i]);
    l->n_old += n;
    return r;
}

static int on_document(struct weir_link *l, struct weir_slice content) {
    if (!l->coming || content.len == 0)
        return -EPROTO;
    return weir_documents_add(l->coming, content);
}

/* What has come is compared with what was meant, then it goes the way of a file. */
static int on_end(struct weir_link *l) {
    int r = l->coming && l->coming->n == l->n_expected ? weir_documents_seal(l->coming) : -EPROTO;

    if (r == 0 && memcmp(&l->coming->digest, &l->expected, sizeof(l->expected)) != 0)
        r = -EPROTO;
    if (r)
        return r;
    weir_documents_unref(l->held);
    l->held = l->coming;
    l->coming = NULL;
    l->figures.snapshots++;
    weir_log(WEIR_LOG_DEBUG, "agent_snapshot", "documents=%u bytes=%zu", l->held->n,
             l->held->bytes);
    l->fresh = true;
    if (l->process->runtime && !l->process->draining) {
        l->fresh = false;
        weir_process_reload(l->process);
    }
    return 0;
}

/* ---- the identity ---- */

static int ask(void *arg, struct weir_slice csr) {
    struct weir_link *l = arg;

    if (!l->figures.up)
        return -ENOTCONN;
    say(l, WEIR_DOOR_CSR, csr.ptr, csr.len);
    return l->stream ? 0 : -ENOTCONN;
}

/* What was asked of another connection is not answered on this one. */
static int on_signer(struct weir_link *l) {
    struct weir_process *p = l->process;
    int r = weir_process_svid_new(p, ask, l);

    if (r == 0)
        weir_svid_connected(p->identity.svid, weir_clock_wall_us());
    return r;
}

static int on_svid(struct weir_link *l, struct weir_slice content) {
    size_t n = content.len >= 8 ? weir_door_from_u32(content.ptr) : content.len;
    const char *rest = content.ptr + 4 + n;

    if (n > content.len - 8 || content.len < 8 || weir_door_from_u32(rest) != content.len - 8 - n)
        return -EPROTO;
    if (l->process->identity.svid)
        weir_svid_arrived(l->process->identity.svid, weir_clock_wall_us(),
                          weir_slice_make(content.ptr + 4, n),
                          weir_slice_make(rest + 4, content.len - 8 - n));
    return 0;
}

static int on_identity(struct weir_link *l, unsigned kind, struct weir_slice content) {
    struct weir_svid *svid = l->process->identity.svid;

    if (!l->figures.up)
        return -EPROTO;
    if (l->process->params->own_identity)
        return 0; /* the agent has no say in it, nor in whom it trusts */
    if (kind == WEIR_DOOR_SIGNER)
        return on_signer(l);
    if (kind == WEIR_DOOR_SVID)
        return on_svid(l, content);
    if (svid && kind == WEIR_DOOR_TRUST)
        weir_svid_bundle(svid, weir_clock_wall_us(), content);
    else if (svid)
        weir_svid_refused(svid, weir_clock_wall_us(), content);
    return 0;
}

static int obey(struct weir_link *l, unsigned kind, struct weir_slice content) {
    switch (kind) {
    case WEIR_DOOR_WELCOME:
        return on_welcome(l, content);
    case WEIR_DOOR_BEGIN:
        return on_begin(l, content);
    case WEIR_DOOR_KEEP:
    case WEIR_DOOR_DROP:
        return on_old(l, content, kind == WEIR_DOOR_KEEP);
    case WEIR_DOOR_DOCUMENT:
        return on_document(l, content);
    case WEIR_DOOR_END:
        return on_end(l);
    case WEIR_DOOR_PING:
        say(l, WEIR_DOOR_PONG, content.ptr, content.len < 8 ? content.len : 8);
        return 0;
    case WEIR_DOOR_SIGNER:
    case WEIR_DOOR_SVID:
    case WEIR_DOOR_NO_SVID:
    case WEIR_DOOR_TRUST:
        return on_identity(l, kind, content);
    default:
        return 0; /* of a newer agent */
    }
}

static int on_message(void *arg, unsigned kind, struct weir_slice content) {
    struct weir_link *l = arg;
    int r = obey(l, kind, content);

    return r || l->stream ? r : -EPIPE;
}

/* ---- the stream ---- */

static void on_second(void *arg) {
    struct weir_link *l = arg;

    if (l->stream &&
        now(l) - l->heard_us > (l->figures.up ? WEIR_DOOR_SILENCE_US : WEIR_DOOR_HELLO_US))
        lose(l,
             l->figures.up ? "it is silent" : "it does not answer: is this container the sidecar?");
}

static void on_open(void *arg) {
    struct weir_link *l = arg;

    l->heard_us = now(l);
    if (weir_event_every(l->process->loop, SECOND_US, on_second, l, &l->on_second) < 0) {
        lose(l, "no timer");
        return;
    }
    weir_stream_read_start(l->stream);
    greet(l);
}

static void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct weir_link *l = arg;
    int r;

    (void)chunk;
    l->heard_us = now(l);
    l->figures.bytes += bytes.len;
    r = weir_door_read(&l->in, bytes, on_message, l);
    if (r)
        lose(l, r == -EPROTO  ? "what it says is not understood"
                : r == -E2BIG ? "its snapshot is too large"
                              : strerror(-r));
}

static void on_eof(void *arg) {
    struct weir_link *l = arg;

    lose(l, l->figures.up ? "it closed the connection"
                          : "it refuses: this container is not (yet) known as the Pod's sidecar");
}

static void on_error(void *arg, struct weir_fault fault) {
    struct weir_link *l = arg;

    lose(l, fault.kind != WEIR_FAULT_RESET ? "it cannot be connected"
            : l->figures.up                ? "it reset the connection"
                            : "it refuses: this container is not (yet) known as the Pod's sidecar");
}

static void on_nothing(void *arg) {
    (void)arg;
}

static const struct weir_stream_events stream_events = {
    .open = on_open,
    .read = on_read,
    .eof = on_eof,
    .drain = on_nothing,
    .error = on_error,
    .closed = on_nothing,
};

static void dial(void *arg) {
    struct weir_link *l = arg;
    struct weir_dial to = { .ip = l->ip, .port = l->port, .timeout_us = DIAL_US };
    struct weir_net *net = weir_loop_net(l->process->loop);
    int r;

    l->on_retry = weir_event_free(l->on_retry);
    r = net->ops->dial(net, &to, &l->stream);
    if (r == 0) {
        l->stream->events = &stream_events;
        l->stream->arg = l;
        return;
    }
    l->stream = NULL;
    l->figures.failures++;
    tell_away(l, strerror(-r));
    try_again(l);
}

/* ---- the process ---- */

static bool arrived(void *arg) {
    const struct weir_link *l = arg;

    return l->fresh || l->process->draining;
}

int weir_link_begin(struct weir_process *p) {
    struct weir_link *l = p->link;
    int r = weir_parse_hostport(l->at, &l->ip, &l->port);

    if (r < 0)
        return r;
    l->process = p;
    l->retry = (struct weir_backoff){ .least_us = RETRY_US, .most_us = RETRY_MAX_US };
    dial(l);
    do {
        weir_loop_run_until(p->loop, arrived, l);
        if (p->draining)
            return -ECANCELED;
        l->fresh = false;
        r = weir_process_load(p, &p->runtime);
        weir_link_said(l, r == 0);
        if (r > 0)
            weir_log(WEIR_LOG_ERROR, "start",
                     "error=\"the agent's snapshot is refused: waiting for another one\"");
    } while (r > 0);
    if (r == 0)
        weir_process_svid_await(p);
    return r;
}

void weir_link_open(struct weir_process *p) {
    if (!p->link->fresh)
        return;
    p->link->fresh = false;
    weir_process_reload(p);
}

void weir_link_overlay(const struct weir_link *l, struct weir_snapshot *s) {
    s->proxy.pod = l->pod;
    weir_proxy_spec_settle(&s->proxy);
}

void weir_link_close(struct weir_link *l) {
    struct weir_stream *s = l->stream;

    l->closed = true;
    l->stream = NULL;
    l->on_retry = weir_event_free(l->on_retry);
    l->on_second = weir_event_free(l->on_second);
    if (s)
        weir_stream_close(s, false);
}

void weir_link_deinit(struct weir_link *l) {
    weir_door_reader_deinit(&l->in);
    weir_documents_unref(l->held);
    weir_documents_unref(l->coming);
}
