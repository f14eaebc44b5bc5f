/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-memory network: connections as pairs of bounded byte buffers, the proxy's end as a struct
 * weir_stream with the semantics of io/tcp.c (shared read chunks, late errors, two-step close,
 * answers readable after a reset), and a loop turn with io/loop.c's order: I/O, late errors,
 * `turn`, `closed`.
 */
#include "memnet.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/asan.h"
#include "memstate.h"

#define READ_MIN   4096u
#define TURNS_MAX  1000000u /* a mem_run that takes more never ends */
#define CLOCK_ZERO 5000000u
#define WALL_ZERO  1767225600000000u /* 2026-01-01T00:00:00Z, at CLOCK_ZERO */

_Noreturn void mem_die(const char *what) {
    fprintf(stderr, "memnet: %s\n", what);
    abort();
}

void mem_bytes_add(struct bytes *b, const void *ptr, size_t n) {
    if (n == 0)
        return;
    if (b->len + n > b->cap) {
        b->cap = (b->len + n) * 2;
        b->ptr = realloc(b->ptr, b->cap);
        if (!b->ptr)
            mem_die("no memory");
    }
    memcpy(b->ptr + b->len, ptr, n);
    b->len += n;
}

void mem_bytes_drop(struct bytes *b, size_t n) {
    b->len -= n;
    if (b->len > 0)
        memmove(b->ptr, b->ptr + n, b->len);
}

/* Up to room bytes in dst; returns how many moved. */
static size_t bytes_pass(struct bytes *dst, struct bytes *src, size_t room) {
    size_t n = room > dst->len ? room - dst->len : 0;

    if (n > src->len)
        n = src->len;
    mem_bytes_add(dst, src->ptr, n);
    mem_bytes_drop(src, n);
    return n;
}

static struct mem_net *of_net(struct weir_net *net) {
    return (struct mem_net *)net;
}

/* connections */

static struct weir_ip ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return (struct weir_ip){ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d } };
}

static struct mem_conn *conn_new(struct mem_net *m) {
    struct mem_conn *c = calloc(1, sizeof(*c));

    if (!c)
        mem_die("no memory");
    c->net = m;
    c->room = m->room;
    c->info.sni = c->info.peer_hash = c->info.fault_reason = "";
    m->n_conns++;
    weir_list_push_back(&m->conns, &c->link);
    return c;
}

struct mem_conn *mem_client_connect(struct mem_net *m, void *listener_user) {
    struct mem_conn *c = conn_new(m);

    c->client = true;
    c->listener_user = listener_user;
    c->info.remote = ip4(10, 0, 0, 1);
    c->info.remote_port = (uint16_t)(40000 + m->n_conns % 20000);
    c->info.local = ip4(10, 0, 0, 2);
    c->info.local_port = 8080;
    return c;
}

struct weir_stream_info *mem_info(struct mem_conn *c) {
    return &c->info;
}

void mem_first(struct mem_conn *c, uint8_t first) {
    c->first = first;
}

uint8_t mem_spoke(const struct mem_conn *c) {
    return c->spoke;
}

struct mem_conn *mem_next_dial(struct mem_net *m) {
    WEIR_LIST_FOREACH (it, &m->conns) {
        struct mem_conn *c = WEIR_CONTAINER_OF(it, struct mem_conn, link);

        if (c->dial_state == DIAL_WAITING && c->stream && !mem_stream_dead(c->stream)) {
            c->dial_state = DIAL_HANDED_OUT;
            return c;
        }
    }
    return NULL;
}

const struct weir_dial *mem_dial(const struct mem_conn *c) {
    return &c->dial;
}

void mem_dial_accept(struct mem_conn *c) {
    c->dial_state = DIAL_ACCEPTED;
}

void mem_dial_refuse(struct mem_conn *c) {
    c->dial_state = DIAL_REFUSED;
}

void mem_dial_fails(struct mem_net *m, int err) {
    m->dial_error = err;
}

void mem_send_bytes(struct mem_conn *c, const void *ptr, size_t n) {
    if (c->test_fin || c->test_reset || c->test_gone)
        mem_die("the test sends after it shut down");
    mem_bytes_add(&c->unsent, ptr, n);
}

void mem_send(struct mem_conn *c, const char *text) {
    mem_send_bytes(c, text, strlen(text));
}

void mem_piece(struct mem_conn *c, size_t n) {
    c->piece = n;
}

void mem_shutdown(struct mem_conn *c) {
    c->test_fin = true;
}

void mem_reset(struct mem_conn *c) {
    c->test_reset = true;
    c->unsent.len = 0;
    c->to_test.len = 0;
}

void mem_close(struct mem_conn *c) {
    c->test_fin = true;
    c->test_gone = true;
}

size_t mem_unsent(const struct mem_conn *c) {
    return c->unsent.len + c->to_proxy.len;
}

const char *mem_received(struct mem_conn *c) {
    mem_bytes_add(&c->received, "", 1);
    c->received.len--;
    return c->received.ptr;
}

size_t mem_received_len(const struct mem_conn *c) {
    return c->received.len;
}

void mem_received_clear(struct mem_conn *c) {
    c->received.len = 0;
}

void mem_hold(struct mem_conn *c, bool hold) {
    c->hold = hold;
}

bool mem_got_eof(const struct mem_conn *c) {
    return c->got_eof;
}

bool mem_got_reset(const struct mem_conn *c) {
    return c->got_reset;
}

bool mem_is_closed(const struct mem_conn *c) {
    return !c->stream && (!c->client || c->accepted);
}

/* one turn */

static void deliver_bytes(struct mem_stream *s) {
    struct mem_conn *c = s->conn;
    struct mem_net *m = c->net;
    struct weir_slice bytes;
    size_t n;

    if (m->read_chunk && WEIR_CHUNK_SIZE - m->read_used < READ_MIN)
        m->read_chunk = weir_chunk_unref(m->read_chunk);
    if (!m->read_chunk) {
        m->read_chunk = weir_chunk_get(&m->pool);
        m->read_used = 0;
        if (!m->read_chunk) {
            mem_stream_fail(s, WEIR_FAULT(LOCAL, INTERNAL));
            return;
        }
    }
    n = WEIR_CHUNK_SIZE - m->read_used;
    if (n > c->to_proxy.len)
        n = c->to_proxy.len;
    if (c->piece > 0 && n > c->piece)
        n = c->piece;
    bytes = weir_slice_make(m->read_chunk->data + m->read_used, n);
    WEIR_UNPOISON(bytes.ptr, WEIR_CHUNK_SIZE - m->read_used);
    memcpy(m->read_chunk->data + m->read_used, c->to_proxy.ptr, n);
    mem_bytes_drop(&c->to_proxy, n);
    m->read_used += (uint32_t)n;
    m->moved = true;
    s->base.bytes_in += n;
    s->base.events->read(s->base.arg, m->read_chunk, bytes);
    if (m->read_chunk->refs == 1) {
        m->read_used = 0;
        memset(m->read_chunk->data, 0xdd, WEIR_CHUNK_SIZE - READ_MIN < n ? WEIR_CHUNK_SIZE : n);
        WEIR_POISON(m->read_chunk->data, WEIR_CHUNK_SIZE);
    }
}

static void deliver(struct mem_stream *s) {
    struct mem_conn *c = s->conn;

    if (!s->reading || s->eof || mem_stream_dead(s))
        return;
    if (c->to_proxy.len > 0) {
        deliver_bytes(s);
    } else if (c->test_reset || (s->cut && c->test_gone)) {
        mem_stream_fail_reset(s);
    } else if (c->test_fin && c->unsent.len == 0) {
        s->eof = true;
        c->net->moved = true;
        if (s->cut)
            mem_stream_fail_reset(s);
        else
            s->base.events->eof(s->base.arg);
    }
}

static void tell_drain(struct mem_stream *s) {
    if (mem_stream_dead(s) || !s->above || s->out.len > WEIR_STREAM_LOW_MARK)
        return;
    s->above = false;
    s->conn->net->moved = true;
    s->base.events->drain(s->base.arg);
}

static void decide_dial(struct mem_stream *s) {
    struct mem_conn *c = s->conn;
    struct mem_net *m = c->net;

    if (c->dial_state == DIAL_REFUSED) {
        mem_stream_fail(s, WEIR_FAULT(UPSTREAM, CONNECT_FAILED));
    } else if (c->dial_state == DIAL_ACCEPTED) {
        m->moved = true;
        s->connected = true;
        mem_stream_flush(s);
        s->base.events->open(s->base.arg);
    } else if (m->now >= c->deadline) {
        mem_stream_fail(s, WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT));
    }
}

/* Between the test's program and its kernel. */
static void turn_test_end(struct mem_conn *c) {
    if (c->client ? c->accepted : c->dial_state == DIAL_ACCEPTED)
        if (bytes_pass(&c->to_proxy, &c->unsent, c->room) > 0)
            c->net->moved = true;
    if (mem_is_closed(c) && mem_unsent(c) > 0) {
        c->unsent.len = c->to_proxy.len = 0;
        c->proxy_reset = true;
    }
    if (!c->hold && bytes_pass(&c->received, &c->to_test, SIZE_MAX) > 0)
        c->net->moved = true;
    if (c->test_reset)
        return;
    if (c->proxy_reset && !c->got_reset && (!c->hold || c->to_test.len == 0)) {
        c->got_reset = true;
        c->net->moved = true;
    } else if (c->proxy_fin && !c->got_eof && c->to_test.len == 0) {
        c->got_eof = true;
        c->net->moved = true;
    }
}

static void turn_conn(struct mem_conn *c) {
    struct mem_net *m = c->net;

    if (c->client && !c->accepted && !m->closed_listeners && !m->paused) {
        c->accepted = true;
        m->moved = true;
        mem_stream_new(c)->connected = true;
        m->net.events->accept(m->net.arg, &c->stream->base, c->listener_user);
    }
    turn_test_end(c);
    if (c->stream && !mem_stream_dead(c->stream) && !c->stream->connected)
        decide_dial(c->stream);
    if (c->stream && c->stream->connected && !mem_stream_dead(c->stream)) {
        deliver(c->stream);
        if (!mem_stream_dead(c->stream)) {
            mem_stream_flush(c->stream);
            tell_drain(c->stream);
        }
    }
}

static void turn_closed(struct mem_conn *c) {
    struct mem_stream *s = c->stream;

    if (!s || !s->closing)
        return;
    c->net->moved = true;
    if (s->base.events && s->base.events->closed)
        s->base.events->closed(s->base.arg);
    weir_bufq_deinit(&s->out);
    free(s);
    c->stream = NULL;
    c->unsent.len = c->to_proxy.len = 0;
    c->net->n_streams--;
}

bool mem_turn(struct mem_net *m) {
    m->moved = false;
    if (m->posted) {
        m->posted = false;
        m->moved = true;
        m->net.events->posted(m->net.arg);
    }
    WEIR_LIST_FOREACH (it, &m->conns)
        turn_conn(WEIR_CONTAINER_OF(it, struct mem_conn, link));
    while (!weir_list_empty(&m->deferred))
        mem_stream_fail_reset(WEIR_CONTAINER_OF(m->deferred.next, struct mem_stream, deferred));
    if (m->wake) {
        m->wake = false;
        m->moved = true;
        m->n_turns++;
        m->net.events->turn(m->net.arg);
    }
    WEIR_LIST_FOREACH (it, &m->conns)
        turn_closed(WEIR_CONTAINER_OF(it, struct mem_conn, link));
    return m->moved || m->wake || m->posted;
}

void mem_run(struct mem_net *m) {
    for (unsigned i = 0; mem_turn(m); i++)
        if (i > TURNS_MAX)
            mem_die("the proxy never comes to rest");
}

static uint64_t next_event(const struct mem_net *m, uint64_t end) {
    if (m->tick && m->next_tick < end)
        end = m->next_tick;
    WEIR_LIST_FOREACH (it, &m->conns) {
        const struct mem_conn *c = WEIR_CONTAINER_OF(it, struct mem_conn, link);

        if (c->stream && !c->client && !c->stream->connected && !mem_stream_dead(c->stream) &&
            c->deadline > m->now && c->deadline < end)
            end = c->deadline;
    }
    return end;
}

void mem_advance(struct mem_net *m, uint64_t us) {
    uint64_t end = m->now + us;

    mem_run(m);
    while (m->now < end) {
        m->now = next_event(m, end);
        if (m->tick && m->now >= m->next_tick) {
            m->next_tick = m->now + WEIR_TICK_US;
            m->net.events->tick(m->net.arg);
        }
        mem_run(m);
    }
}

void mem_clock(struct mem_net *m, uint64_t us) {
    m->now += us;
    if (m->tick && m->now >= m->next_tick) {
        m->next_tick = m->now + WEIR_TICK_US;
        m->net.events->tick(m->net.arg);
    }
}

/* struct weir_net_ops */

static uint64_t net_now(struct weir_net *net) {
    return of_net(net)->now;
}

static uint64_t net_wall(struct weir_net *net) {
    return of_net(net)->now - CLOCK_ZERO + WALL_ZERO;
}

static int net_dial(struct weir_net *net, const struct weir_dial *dial,
                    struct weir_stream **ret_stream) {
    struct mem_net *m = of_net(net);
    struct mem_conn *c;
    int r = m->dial_error;

    if (r < 0) {
        m->dial_error = 0;
        return r;
    }
    c = conn_new(m);
    c->dial = *dial;
    c->dial_state = DIAL_WAITING;
    c->deadline = m->now + dial->timeout_us;
    c->info.remote = dial->ip;
    c->info.remote_port = dial->port;
    c->info.local = ip4(10, 0, 0, 2);
    c->info.local_port = (uint16_t)(40000 + m->n_conns % 20000);
    *ret_stream = &mem_stream_new(c)->base;
    return 0;
}

static void net_wake(struct weir_net *net) {
    of_net(net)->wake = true;
}

static void net_tick(struct weir_net *net, bool on) {
    struct mem_net *m = of_net(net);

    if (on && !m->tick)
        m->next_tick = m->now + WEIR_TICK_US;
    m->tick = on;
}

static void net_stop_listening(struct weir_net *net) {
    of_net(net)->closed_listeners = true;
}

static void net_pause_accept(struct weir_net *net, bool pause) {
    of_net(net)->paused = pause;
}

static const struct weir_net_ops net_ops = {
    .now = net_now,
    .wall = net_wall,
    .dial = net_dial,
    .wake = net_wake,
    .tick = net_tick,
    .stop_listening = net_stop_listening,
    .pause_accept = net_pause_accept,
};

/* the network as a whole */

struct mem_net *mem_net_new(void) {
    struct mem_net *m = calloc(1, sizeof(*m));

    if (!m)
        mem_die("no memory");
    weir_chunk_pool_init(&m->pool, 0);
    m->net.ops = &net_ops;
    m->net.pool = &m->pool;
    m->now = CLOCK_ZERO;
    m->room = 64 * 1024;
    weir_list_init(&m->conns);
    weir_list_init(&m->deferred);
    return m;
}

void mem_stop(struct mem_net *m) {
    m->closed_listeners = true;
    WEIR_LIST_FOREACH (it, &m->conns) {
        struct mem_conn *c = WEIR_CONTAINER_OF(it, struct mem_conn, link);

        if (c->stream)
            weir_stream_close(&c->stream->base, false);
    }
    mem_run(m);
}

void mem_net_free(struct mem_net *m) {
    if (m->n_streams > 0)
        mem_die("the proxy left streams open");
    WEIR_LIST_FOREACH_SAFE (it, next, &m->conns) {
        struct mem_conn *c = WEIR_CONTAINER_OF(it, struct mem_conn, link);

        free(c->unsent.ptr);
        free(c->to_proxy.ptr);
        free(c->to_test.ptr);
        free(c->received.ptr);
        free(c);
    }
    weir_chunk_unref(m->read_chunk);
    if (m->pool.n_live > 0)
        mem_die("the proxy kept chunks");
    weir_chunk_pool_deinit(&m->pool);
    free(m);
}

struct weir_net *mem_net(struct mem_net *m) {
    return &m->net;
}

void mem_post(struct mem_net *m) {
    m->posted = true;
}

void mem_buffer_size(struct mem_net *m, size_t bytes) {
    m->room = bytes;
}

unsigned mem_n_streams(const struct mem_net *m) {
    return m->n_streams;
}

bool mem_listening(const struct mem_net *m) {
    return !m->closed_listeners;
}

bool mem_accept_paused(const struct mem_net *m) {
    return m->paused;
}

bool mem_ticking(const struct mem_net *m) {
    return m->tick;
}

unsigned mem_n_turns(const struct mem_net *m) {
    return m->n_turns;
}
