/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the HTTP/1 codec costs a proxy per exchange: a request read and written on, its response read and written on,
 * with nothing between the two codecs but the head. Usage: bench_h1_codec [EXCHANGES]; prints nanoseconds each.
 * For instructions: valgrind --tool=callgrind --toggle-collect=exchange bench_h1_codec 1000 (divide by 1000).
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "http/codec.h"
#include "http/hop.h"

static const char request[] = "GET /api/v1/items?page=2 HTTP/1.1\r\n"
                              "Host: api.default.svc:8080\r\n"
                              "User-Agent: Mozilla/5.0 (X11; Linux x86_64) weir\r\n"
                              "Accept: application/json, text/plain, */*\r\n"
                              "Accept-Encoding: gzip, br\r\n"
                              "X-Request-Id: 7f3c0e1d\r\n\r\n";
static const char response[] =
    "HTTP/1.1 200 OK\r\n"
    "Date: Sat, 01 Aug 2026 10:00:00 GMT\r\n"
    "Server: app/1.2\r\n"
    "Content-Type: application/json\r\n"
    "Cache-Control: no-store\r\n"
    "Content-Length: 69\r\n\r\n"
    "{\"items\":[{\"id\":1,\"name\":\"one\"},{\"id\":2,\"name\":\"two\"}],\"next\":null}  ";

struct side {
    struct weir_codec *codec;
    struct weir_cstream *cs;
    struct weir_head head;
    struct weir_chunk *in;
    struct side *other;
};

static struct weir_chunk_pool pool;
static struct weir_arena arena;
static struct side down, up;

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct side *s = arg;
    s->cs = cs;
    cs->head = &s->head;
    weir_head_init(&s->head, &arena);
    return 0;
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct side *s = arg;
    weir_hop_strip(&s->head);
    if (s == &down) {
        weir_head_init(&up.head, &arena);
        up.codec->ops->open(up.codec, &up, &up.head, &up.cs);
    }
    int r = s->other->codec->ops->send_head(s->other->codec, s->other->cs, &s->head, s == &down);
    assert(r == 0);
    (void)r;
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct side *s = arg;
    struct weir_bufq q;
    weir_bufq_init(&q, &pool, 0);
    weir_bufq_append_ref(&q, chunk, bytes);
    s->other->codec->ops->send_data(s->other->codec, s->other->cs, &q);
    weir_bufq_deinit(&q);
}

static void on_end(void *arg, struct weir_cstream *cs) {
    struct side *s = arg;
    if (s == &up)
        down.codec->ops->send_end(down.codec, down.cs, NULL);
}

static void on_closed(void *arg, struct weir_cstream *cs) {
}

static const struct weir_codec_events events = {
    .begin = on_begin,
    .head = on_head,
    .data = on_data,
    .end = on_end,
    .closed = on_closed,
};

static void feed(struct side *s, size_t n) {
    size_t used;
    int r = s->codec->ops->feed(s->codec, s->in, weir_slice_make(s->in->data, n), &used);
    assert(r == 0 && used == n);
    (void)r;
}

static void drain(struct side *s, struct weir_bufq *out) {
    s->codec->ops->pull(s->codec, out);
    weir_bufq_clear(out);
}

__attribute__((noinline)) void exchange(struct weir_bufq *out);
__attribute__((noinline)) void exchange(struct weir_bufq *out) {
    feed(&down, sizeof(request) - 1);
    drain(&up, out);
    feed(&up, sizeof(response) - 1);
    drain(&down, out);
    weir_arena_reset(&arena);
}

static void side_init(struct side *s, enum weir_role role, const char *bytes, struct side *other) {
    struct weir_codec_params params = { role, &events, s, &pool, &weir_codec_limits_default };
    s->other = other;
    s->in = weir_chunk_get(&pool);
    memcpy(s->in->data, bytes, strlen(bytes));
    if (weir_h1_new(&params, &s->codec) < 0)
        abort();
}

int main(int argc, char **argv) {
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    struct timespec a, b;
    struct weir_bufq out;
    weir_chunk_pool_init(&pool, 64);
    weir_arena_init(&arena, 4096);
    weir_bufq_init(&out, &pool, 0);
    side_init(&down, WEIR_ROLE_SERVER, request, &up);
    side_init(&up, WEIR_ROLE_CLIENT, response, &down);
    exchange(&out); /* the pool fills */
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    for (unsigned long i = 0; i < n; i++)
        exchange(&out);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    double ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
    printf("%zu bytes of request, %zu of response: %.0f ns CPU per exchange through two codecs\n",
           sizeof(request) - 1, sizeof(response) - 1, ns / (double)n);
    return 0;
}
