/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/floor/relay.c again, but over weir's io room: streams, shared chunks, segments by
 * reference. The difference of the two is what io costs above bare libuv. SIGTERM ends it in order.
 *
 *     io_relay LISTEN_PORT TARGET_HOST:PORT
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/mem.h"
#include "conf/snapshot.h"
#include "io/loop.h"

struct pair;

struct side {
    struct pair *pair;
    struct side *other;
    struct weir_stream *s; /* NULL after `closed` */
    bool eof;
};

struct pair {
    struct side client, server;
};

static struct weir_dial target;
static struct weir_net *net;

static void pair_close(struct pair *pair) {
    if (pair->client.s)
        weir_stream_close(pair->client.s, false);
    if (pair->server.s)
        weir_stream_close(pair->server.s, false);
}

static void on_open(void *arg) {
    struct side *server = arg;

    weir_stream_read_start(server->s);
    weir_stream_read_start(server->other->s);
}

static void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct side *from = arg;
    struct weir_stream *to = from->other->s;
    struct weir_bufq q;

    if (!to)
        return;
    weir_bufq_init(&q, net->pool, 0);
    if (weir_bufq_append_ref(&q, chunk, bytes) < 0 || weir_stream_write(to, &q) < 0)
        pair_close(from->pair);
    else if (weir_stream_pending(to) > WEIR_STREAM_LOW_MARK)
        weir_stream_read_stop(from->s);
    weir_bufq_deinit(&q);
}

static void on_eof(void *arg) {
    struct side *from = arg;

    from->eof = true;
    if (from->other->eof || !from->other->s)
        pair_close(from->pair);
    else
        weir_stream_shutdown(from->other->s);
}

static void on_drain(void *arg) {
    struct side *to = arg;

    if (to->other->s)
        weir_stream_read_start(to->other->s);
}

static void on_error(void *arg, struct weir_fault fault) {
    pair_close(((struct side *)arg)->pair);
}

static void on_closed(void *arg) {
    struct side *side = arg;

    side->s = NULL;
    if (side->other->s)
        weir_stream_close(side->other->s, false);
    else
        weir_free(side->pair);
}

static const struct weir_stream_events events = { on_open,  on_read,  on_eof,
                                                  on_drain, on_error, on_closed };

static void side_set(struct side *side, struct pair *pair, struct side *other,
                     struct weir_stream *s) {
    *side = (struct side){ .pair = pair, .other = other, .s = s };
    s->events = &events;
    s->arg = side;
}

static void on_accept(void *arg, struct weir_stream *client, void *user) {
    struct pair *pair = weir_calloc(1, sizeof(*pair));
    struct weir_stream *server;

    if (!pair || net->ops->dial(net, &target, &server) < 0) {
        weir_free(pair);
        weir_stream_close(client, true);
        return;
    }
    side_set(&pair->client, pair, &pair->server, client);
    side_set(&pair->server, pair, &pair->client, server);
}

static void on_nothing(void *arg) {
}

static const struct weir_net_events net_events = { on_accept, on_nothing, on_nothing, on_nothing };

static void on_signal(uv_signal_t *handle, int signum) {
    struct weir_loop *loop = handle->data;

    uv_close((uv_handle_t *)handle, NULL);
    weir_loop_stop(loop);
}

static int parse_target(char *text) {
    char *colon = strrchr(text, ':');

    if (!colon)
        return -EINVAL;
    *colon = 0;
    target.port = (uint16_t)atoi(colon + 1);
    target.timeout_us = 5000000;
    return weir_parse_ip(text, &target.ip);
}

int main(int argc, char **argv) {
    struct weir_listen listen_ = { .ip = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0,
                                             1 } } };
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    uv_signal_t term;

    if (argc != 3 || parse_target(argv[2]) < 0) {
        fprintf(stderr, "usage: io_relay LISTEN_PORT TARGET_HOST:PORT\n");
        return 2;
    }
    weir_chunk_pool_init(&pool, 256);
    listen_.port = (uint16_t)atoi(argv[1]);
    if (weir_loop_new(&pool, &loop) < 0 || weir_loop_listen(loop, &listen_, NULL) < 0) {
        perror("io_relay");
        return 1;
    }
    net = weir_loop_net(loop);
    net->events = &net_events;
    term.data = loop;
    uv_signal_init(weir_loop_uv(loop), &term);
    uv_signal_start(&term, on_signal, SIGTERM);
    weir_loop_run(loop);
    weir_loop_free(loop);
    weir_chunk_pool_deinit(&pool);
    return 0;
}
