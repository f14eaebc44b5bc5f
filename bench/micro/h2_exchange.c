/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one exchange costs in the HTTP/2 codec: GETs with a handful of fields through a client codec
 * and a server codec in one thread, no socket. Run it under callgrind for instructions, or with a
 * count for nanoseconds: valgrind --tool=callgrind --toggle-collect=exchanges
 * build/bench/bench_h2_exchange 1000 The second argument is the number of exchanges in flight (per
 * loop turn), the third 1 = gRPC-like with trailers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "http/codec.h"

struct side {
    struct weir_codec *codec;
    struct weir_bufq out;
    struct weir_chunk *chunk;
    unsigned long done;
};

struct exchange {
    struct weir_cstream *cs;
    struct weir_arena arena;
    struct weir_head head;
};

static struct exchange *spare[256];
static unsigned n_spare;
static int grpc;

static struct exchange *take(void) {
    if (n_spare)
        return spare[--n_spare];
    struct exchange *x = calloc(1, sizeof(*x));
    weir_arena_init(&x->arena, 2048);
    x->head.arena = &x->arena;
    return x;
}

static void give(struct exchange *x) {
    weir_arena_reset(&x->arena);
    spare[n_spare++] = x;
}

static void add(struct weir_head *h, const char *name, const char *value) {
    weir_head_add(h, weir_slice_from_str(name), weir_slice_from_str(value));
}

static void send(struct side *s, struct exchange *x, const char *text) {
    struct weir_bufq q;
    weir_bufq_init(&q, s->out.pool, 0);
    weir_bufq_append_ref(&q, NULL, weir_slice_from_str(text));
    s->codec->ops->send_data(s->codec, x->cs, &q);
    weir_bufq_deinit(&q);
}

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct exchange *x = take();
    (void)arg;
    x->cs = cs;
    cs->user = x;
    cs->head = &x->head;
    return 0;
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    (void)arg;
    (void)cs;
    (void)chunk;
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct side *s = arg;
    (void)chunk;
    s->codec->ops->consumed(s->codec, cs, bytes.len);
}

static void on_end_server(void *arg, struct weir_cstream *cs) {
    struct side *s = arg;
    struct exchange *x = cs->user;
    struct weir_head h;
    weir_head_init(&h, &x->arena);
    h.is_response = true;
    h.status = 200;
    h.body = grpc ? WEIR_BODY_STREAM : WEIR_BODY_LENGTH;
    h.content_length = 13;
    add(&h, "content-type", grpc ? "application/grpc" : "text/plain");
    add(&h, "server", "bench");
    add(&h, "date", "Sat, 21 Nov 2026 15:04:03 GMT");
    s->codec->ops->send_head(s->codec, cs, &h, false);
    send(s, x, "hello, world\n");
    if (grpc) {
        weir_head_init(&h, &x->arena);
        add(&h, "grpc-status", "0");
    }
    s->codec->ops->send_end(s->codec, cs, grpc ? &h : NULL);
}

static void on_end_client(void *arg, struct weir_cstream *cs) {
    (void)arg;
    (void)cs;
}

static void on_closed(void *arg, struct weir_cstream *cs) {
    struct side *s = arg;
    s->done++;
    give(cs->user);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    (void)arg;
    (void)cs;
    fprintf(stderr, "reset %d\n", fault.kind);
    exit(1);
}

static void on_draining(void *arg) {
    (void)arg;
}

static const struct weir_codec_events server_events = { on_begin,      on_head,  on_data,
                                                        on_end_server, on_reset, on_closed,
                                                        on_draining };
static const struct weir_codec_events client_events = { on_begin,      on_head,  on_data,
                                                        on_end_client, on_reset, on_closed,
                                                        on_draining };

static void carry(struct side *from, struct side *to) {
    struct iovec iov[16];
    from->codec->ops->pull(from->codec, &from->out);
    while (from->out.len) {
        int n = weir_bufq_peek(&from->out, iov, 16);
        size_t len = 0, used;
        for (int i = 0; i < n && len + iov[i].iov_len <= to->chunk->size;
             i++) { /* as a read() would */
            memcpy(to->chunk->data + len, iov[i].iov_base, iov[i].iov_len);
            len += iov[i].iov_len;
        }
        weir_bufq_consume(&from->out, len);
        if (to->codec->ops->feed(to->codec, to->chunk, weir_slice_make(to->chunk->data, len),
                                 &used))
            exit(1);
    }
}

static void request(struct side *client) {
    struct exchange *x = take();
    struct weir_head h;
    weir_head_init(&h, &x->arena);
    h.method = grpc ? WEIR_METHOD_POST : WEIR_METHOD_GET;
    h.method_name = weir_slice_from_str(grpc ? "POST" : "GET");
    h.scheme = WEIR_SLICE("http");
    h.authority = WEIR_SLICE("api.example:8080");
    h.target = WEIR_SLICE("/v1/things?page=2");
    h.body = grpc ? WEIR_BODY_STREAM : WEIR_BODY_NONE;
    h.te_trailers = grpc;
    add(&h, "user-agent", "curl/8.0");
    add(&h, "accept", "*/*");
    add(&h, "x-request-id", "0123456789abcdef");
    if (client->codec->ops->open(client->codec, x, &x->head, &x->cs) ||
        client->codec->ops->send_head(client->codec, x->cs, &h, !grpc))
        exit(1);
    if (grpc) {
        send(client, x, "\0\0\0\0\5hello");
        client->codec->ops->send_end(client->codec, x->cs, NULL);
    }
}

void exchanges(struct side *client, struct side *server, unsigned long n, unsigned depth);
__attribute__((noinline)) void exchanges(struct side *client, struct side *server, unsigned long n,
                                         unsigned depth) {
    for (unsigned long i = 0; i < n; i += depth) {
        for (unsigned k = 0; k < depth; k++)
            request(client);
        carry(client, server);
        carry(server, client);
    }
}

int main(int argc, char **argv) {
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    unsigned depth = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    struct weir_chunk_pool pool;
    struct side client = { 0 }, server = { 0 };
    struct timespec a, b;

    grpc = argc > 3 && argv[3][0] == '1';
    weir_chunk_pool_init(&pool, 32);
    weir_h2_new(&(struct weir_codec_params){ WEIR_ROLE_CLIENT, &client_events, &client, &pool,
                                             &weir_codec_limits_default },
                &client.codec);
    weir_h2_new(&(struct weir_codec_params){ WEIR_ROLE_SERVER, &server_events, &server, &pool,
                                             &weir_codec_limits_default },
                &server.codec);
    weir_bufq_init(&client.out, &pool, 0);
    weir_bufq_init(&server.out, &pool, 0);
    client.chunk = weir_chunk_get(&pool);
    server.chunk = weir_chunk_get(&pool);
    carry(&client, &server);
    carry(&server, &client);
    for (unsigned i = 0; i < 20; i++) { /* tables and pools fill up */
        unsigned long before = client.done;
        request(&client);
        carry(&client, &server);
        carry(&server, &client);
        if (client.done == before)
            return 1;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    exchanges(&client, &server, n, depth);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    if (client.done < n || server.done < n)
        return 1;
    printf("%lu exchanges, %u at a time%s: %.0f ns each, both codecs\n", n, depth,
           grpc ? ", gRPC-like" : "",
           ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)n);
    client.codec->ops->free(client.codec);
    server.codec->ops->free(server.codec);
    weir_chunk_unref(client.chunk);
    weir_chunk_unref(server.chunk);
    return 0;
}
