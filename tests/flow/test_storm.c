/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of small things happening in an order nobody would think of: clients and servers of both versions that ask, answer, stall, cut,
 * reset and come back, while time passes and configurations change. Nothing may crash, hang or be left behind. Each seed is one story, the
 * same in every run; WEIR_STORM=FIRST-LAST tells others.
 */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"

#define CLIENTS 8u
#define SERVERS 24u
#define STEPS   300u

static const char calm[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, upstreamIdleTimeout: 6s, "
    "pipeBytes: 16384, poolIdle: 2, streams: 10}\n";
static const char hasty[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 1s, idleTimeout: 1s, bodyTimeout: 1s, requestTimeout: 2s, "
    "upstreamIdleTimeout: 1s, connectTimeout: 1s, pipeBytes: 32768, connections: 6}\n";

static const char narrow[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, upstreamIdleTimeout: 6s, "
    "connectTimeout: 2s, pipeBytes: 16384, upstreamConnections: 2, upstreamPending: 2, "
    "upstreamRequests: 3, upstreamLifetime: 4s, upstreamHeadTimeout: 1s}\n";

struct client {
    struct mem_conn *conn;
    struct h2_peer *h2; /* NULL = HTTP/1 */
    struct h2_msg *last;
    bool done; /* sent FIN, or was reset */
};

struct server {
    struct mem_conn *conn;
    struct h2_peer *h2;
    struct h2_msg *last;
    bool done;
};

struct storm {
    struct flow f;
    uint64_t rng;
    struct client clients[CLIENTS];
    struct server servers[SERVERS];
    unsigned n_clients, n_servers;
};

static uint32_t draw(struct storm *s, uint32_t n) {
    s->rng = s->rng * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(s->rng >> 33) % n;
}

static const char *request(struct storm *s) {
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\nsome",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHo",
        "st: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        "abc",
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    };

    return texts[draw(s, WEIR_ARRAY_LEN(texts))];
}

static const char *response(struct storm *s) {
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegin",
        "HTTP/1.1 200 OK\r\n\r\nuntil close",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n",
        "garbage\r\n\r\n",
        "2\r\nmo\r\n0\r\n\r\n",
        "HTTP/1.1 200",
    };

    return texts[draw(s, WEIR_ARRAY_LEN(texts))];
}

static void bytes(struct storm *s, struct mem_conn *c) {
    static char filler[40000];

    mem_send_bytes(c, filler, draw(s, sizeof(filler)) + 1);
}

static void client_new(struct storm *s) {
    struct client *c;

    if (s->n_clients == CLIENTS)
        return;
    c = &s->clients[s->n_clients++];
    memset(c, 0, sizeof(*c));
    if (draw(s, 2)) {
        c->h2 = h2_client(&s->f, &(struct h2_config){ .manual_window = draw(s, 3) == 0 });
        c->conn = c->h2->conn;
    } else {
        c->conn = flow_client(&s->f);
        mem_piece(c->conn, draw(s, 4) == 0 ? 1 + draw(s, 7) : 0);
    }
}

static void client_h2(struct storm *s, struct client *c) {
    static char filler[40000];

    switch (draw(s, 7)) {
    case 0:
    case 1:
        c->last = h2_get(c->h2, "/");
        break;
    case 2:
        c->last = h2_ask(c->h2, "POST", "/", NULL, false);
        h2_data(c->last, filler, draw(s, sizeof(filler)), draw(s, 2));
        break;
    case 3:
        if (c->last && !c->last->closed && !c->last->out_end)
            h2_data(c->last, filler, draw(s, sizeof(filler)), draw(s, 2));
        break;
    case 4:
        if (c->last)
            h2_rst(c->last, NGHTTP2_CANCEL);
        break;
    case 5:
        if (c->last && c->last->len > 0)
            nghttp2_submit_window_update(c->h2->session, NGHTTP2_FLAG_NONE, 0, 30000);
        break;
    default:
        if (draw(s, 8) == 0)
            h2_goaway(c->h2, 0, NGHTTP2_NO_ERROR);
    }
}

static void client_act(struct storm *s) {
    struct client *c;
    unsigned i;

    if (s->n_clients == 0)
        return;
    i = draw(s, s->n_clients);
    c = &s->clients[i];
    if (c->done || mem_is_closed(c->conn)) {
        *c = s->clients[--s->n_clients];
        return;
    }
    switch (draw(s, 12)) {
    case 0:
        mem_reset(c->conn);
        c->done = true;
        break;
    case 1:
        if (!c->h2) {
            mem_shutdown(c->conn);
            c->done = true;
        }
        break;
    case 2:
        mem_close(c->conn);
        c->done = true;
        break;
    case 3:
        mem_hold(c->conn, draw(s, 2));
        break;
    case 4:
        if (!c->h2)
            bytes(s, c->conn);
        break;
    default:
        if (c->h2)
            client_h2(s, c);
        else
            mem_send(c->conn, request(s));
    }
    if (c->done && c->h2)
        c->h2->gone = true;
}

static void dial_decide(struct storm *s) {
    struct mem_conn *d = mem_next_dial(s->f.net);
    struct server *v;

    if (!d)
        return;
    if (draw(s, 5) == 0 || s->n_servers == SERVERS) {
        mem_dial_refuse(d);
        return;
    }
    mem_dial_accept(d);
    v = &s->servers[s->n_servers++];
    memset(v, 0, sizeof(*v));
    v->conn = d;
    if (s->f.options.scheme == WEIR_TO_H2C)
        v->h2 = h2_over(&s->f, d, true,
                        &(struct h2_config){ .max_streams = draw(s, 3) ? 0 : 1 + draw(s, 3),
                                             .manual_window = draw(s, 4) == 0 });
}

static void server_h2(struct storm *s, struct server *v) {
    static char filler[40000];
    struct h2_msg *m = h2_take(v->h2);

    if (m)
        v->last = m;
    switch (draw(s, 8)) {
    case 0:
        if (v->last)
            h2_rst(v->last, draw(s, 2) ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR);
        break;
    case 1:
        h2_goaway(v->h2, draw(s, 2) || !v->last ? 0 : v->last->id, NGHTTP2_NO_ERROR);
        break;
    case 2:
        nghttp2_submit_window_update(v->h2->session, NGHTTP2_FLAG_NONE, 0, 30000);
        break;
    default:
        if (m && !m->closed && draw(s, 3)) {
            h2_answer(m, "200", "ok");
        } else if (m && !m->closed) {
            h2_head(m, "200", NULL, false);
            h2_data(m, filler, draw(s, sizeof(filler)), draw(s, 2));
        } else if (v->last && !v->last->closed && v->last->out_cap == 0 && !v->last->out_end) {
            h2_data(v->last, filler, draw(s, sizeof(filler)), draw(s, 2));
        }
    }
}

static void server_act(struct storm *s) {
    struct server *v;

    if (s->n_servers == 0)
        return;
    v = &s->servers[draw(s, s->n_servers)];
    if (v->done || mem_is_closed(v->conn)) {
        *v = s->servers[--s->n_servers];
        return;
    }
    switch (draw(s, 12)) {
    case 0:
        mem_reset(v->conn);
        v->done = true;
        break;
    case 1:
        mem_close(v->conn);
        v->done = true;
        break;
    case 2:
        mem_hold(v->conn, draw(s, 2));
        break;
    case 3:
        if (!v->h2)
            bytes(s, v->conn);
        break;
    case 4:
        if (!v->h2) {
            mem_shutdown(v->conn);
            v->done = true;
        }
        break;
    default:
        if (v->h2)
            server_h2(s, v);
        else
            mem_send(v->conn, response(s));
    }
    if (v->done && v->h2)
        v->h2->gone = true;
}

static void weather(struct storm *s) {
    static const enum weir_scheme schemes[] = { WEIR_TO_HTTP, WEIR_TO_H2C };

    switch (draw(s, 4)) {
    case 0:
        flow_wait(&s->f, draw(s, 4000000));
        break;
    case 1:
        if (draw(s, 4) == 0)
            s->f.options.scheme = schemes[draw(s, 2)];
        s->f.options.n_to = 1 + draw(s, 3);
        flow_reload(&s->f, (const char *const[]){ calm, hasty, narrow }[draw(s, 3)]);
        break;
    case 2:
        mem_buffer_size(s->f.net, draw(s, 2) ? 4096 : 65536);
        break;
    default:
        flow_wait(&s->f, 50000);
    }
}

static void tell(uint64_t seed) {
    struct storm s = { .rng = seed * 7919 };

    flow_open(&s.f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE,
                                            .yaml = calm,
                                            .scheme = seed % 2 ? WEIR_TO_HTTP : WEIR_TO_H2C,
                                            .n_to = 2 });
    for (unsigned i = 0; i < STEPS; i++) {
        switch (draw(&s, 10)) {
        case 0:
            client_new(&s);
            break;
        case 1:
        case 2:
        case 3:
            client_act(&s);
            break;
        case 4:
        case 5:
            dial_decide(&s);
            break;
        case 6:
        case 7:
        case 8:
            server_act(&s);
            break;
        default:
            weather(&s);
        }
        if (draw(&s, 3))
            flow_run(&s.f);
        else
            mem_turn(s.f.net);
    }
    /* Whoever is left goes; within the timeouts everything ends by itself. */
    for (unsigned i = 0; i < s.n_clients; i++)
        if (!s.clients[i].done && draw(&s, 2)) {
            mem_reset(s.clients[i].conn);
            if (s.clients[i].h2)
                s.clients[i].h2->gone = true;
        }
    flow_wait(&s.f, 10000000);
    if (draw(&s, 2)) {
        weir_worker_drain(&s.f.worker);
        flow_wait(&s.f, 40000000);
        if (mem_n_streams(s.f.net) != 0)
            fail_msg("seed %llu: %u streams outlived the drain", (unsigned long long)seed,
                     mem_n_streams(s.f.net));
    }
    flow_end(&s.f);
}

static void every_story_ends(void **state) {
    unsigned long first = 1, last = 150;
    const char *range = getenv("WEIR_STORM");

    (void)state;
    if (range)
        sscanf(range, "%lu-%lu", &first, &last);
    for (unsigned long seed = first; seed <= last; seed++)
        tell(seed);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_story_ends) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
