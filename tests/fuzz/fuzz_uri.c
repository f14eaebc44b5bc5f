/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a request target and as an authority. Held: what is decided on is what is forwarded. A canonical path is its own canonical
 * form and still a valid target; a server that decodes it and resolves dots once more ends at the same place; a request with it is
 * written and read back unchanged. An authority that HTTP takes is one that routing can read, and its parts say all of it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/codec.h"
#include "http/uri.h"
#include "route/route.h"

static int hex(int c) {
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* Percent-decoding as most servers do it, once, over everything. */
static size_t decode(struct weir_slice s, char *to) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '%' && i + 2 < s.len && hex(s.ptr[i + 1]) >= 0 && hex(s.ptr[i + 2]) >= 0) {
            to[n++] = (char)(hex(s.ptr[i + 1]) << 4 | hex(s.ptr[i + 2]));
            i += 2;
        } else {
            to[n++] = s.ptr[i];
        }
    }
    return n;
}

/* Nothing a file system or a servlet container would still resolve: no empty, "." or ".." element, with or without parameters. */
static bool settled(const char *path, size_t len) {
    size_t at = 1;
    if (len == 0 || path[0] != '/' || memchr(path, 0, len) || memchr(path, '\\', len))
        return false;
    while (at < len) {
        const char *end = memchr(path + at, '/', len - at);
        size_t n = end ? (size_t)(end - path) - at : len - at;
        const char *param = memchr(path + at, ';', n);
        size_t bare = param ? (size_t)(param - path) - at : n;
        if (n == 0 || (bare == 1 && path[at] == '.') ||
            (bare == 2 && path[at] == '.' && path[at + 1] == '.'))
            return false;
        at += n + 1;
    }
    return true;
}

/* ---- a request with it, written and read back ---- */

struct reader {
    struct weir_arena arena;
    struct weir_head head;
    bool got;
};

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct reader *r = arg;
    cs->head = &r->head;
    weir_head_init(&r->head, &r->arena);
    return 0;
}

static void check_head(struct weir_slice target, const struct weir_head *head) {
    assert(weir_slice_eq(head->target, target));
}

static struct weir_slice expected;

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct reader *r = arg;
    r->got = true;
    check_head(expected, cs->head);
}

static void on_end(void *arg, struct weir_cstream *cs) {
}

static const struct weir_codec_events events = {
    .begin = on_begin, .head = on_head, .end = on_end, .closed = on_end
};

static void survives_the_wire(struct weir_slice target) {
    struct weir_chunk_pool pool;
    struct reader r = { 0 }, w = { 0 };
    struct weir_codec *client, *server;
    struct weir_cstream *cs;
    struct weir_bufq q;
    struct weir_head h;
    struct weir_codec_params params = { WEIR_ROLE_CLIENT, &events, &w, &pool,
                                        &weir_codec_limits_default };

    weir_chunk_pool_init(&pool, 0);
    weir_arena_init(&r.arena, 1024);
    weir_arena_init(&w.arena, 1024);
    if (weir_h1_new(&params, &client))
        abort();
    params.role = WEIR_ROLE_SERVER;
    params.arg = &r;
    if (weir_h1_new(&params, &server))
        abort();
    weir_head_init(&h, NULL);
    weir_head_init(&w.head, &w.arena);
    h.method_name = WEIR_SLICE("GET");
    h.authority = WEIR_SLICE("a");
    h.target = expected = target;
    assert(client->ops->open(client, &w, &w.head, &cs) == 0);
    assert(client->ops->send_head(client, cs, &h, true) == 0);
    weir_bufq_init(&q, &pool, 0);
    assert(client->ops->pull(client, &q) == 0);
    for (struct iovec iov; weir_bufq_peek(&q, &iov, 1) == 1; weir_bufq_consume(&q, iov.iov_len)) {
        for (size_t at = 0, n, used; at < iov.iov_len; at += n) {
            struct weir_chunk *chunk = weir_chunk_get(&pool);
            n = iov.iov_len - at < chunk->size ? iov.iov_len - at : chunk->size;
            memcpy(chunk->data, (char *)iov.iov_base + at, n);
            assert(server->ops->feed(server, chunk, weir_slice_make(chunk->data, n), &used) == 0);
            weir_chunk_unref(chunk);
        }
    }
    assert(r.got);
    weir_bufq_deinit(&q);
    client->ops->free(client);
    server->ops->free(server);
    weir_arena_deinit(&r.arena);
    weir_arena_deinit(&w.arena);
    weir_chunk_pool_deinit(&pool);
}

static void check_target(struct weir_arena *arena, struct weir_slice target) {
    struct weir_head h = { .target = target };
    struct weir_slice path = weir_head_path(&h), query = weir_head_query(&h), clean, again;

    if (!weir_target_valid(target) || weir_path_normalize(arena, path, &clean) != 0)
        return;
    assert(weir_path_normalize(arena, clean, &again) == 0);
    assert(again.ptr == clean.ptr && again.len == clean.len);
    assert(clean.len <= path.len + 1);
    char *decoded = malloc(clean.len + 1), *joined = malloc(target.len + 2);
    assert(settled(clean.ptr, clean.len));
    assert(settled(decoded, decode(clean, decoded)));
    memcpy(joined, clean.ptr, clean.len);
    if (query.ptr) {
        joined[clean.len] = '?';
        memcpy(joined + clean.len + 1, query.ptr, query.len);
    }
    struct weir_slice forwarded =
        weir_slice_make(joined, clean.len + (query.ptr ? query.len + 1 : 0));
    assert(weir_target_valid(forwarded));
    survives_the_wire(forwarded);
    free(decoded);
    free(joined);
}

static void check_authority(struct weir_arena *arena, struct weir_slice authority) {
    struct weir_slice host, host2;
    uint16_t port = 0, port2;
    char *text, digits[8] = "";

    if (!weir_authority_valid(authority))
        return;
    assert(weir_authority_parse(arena, authority, &host, &port) == 0);
    assert(port == weir_authority_port(authority));
    for (size_t i = 0; i < host.len; i++)
        assert(host.ptr[i] < 'A' || host.ptr[i] > 'Z');
    bool literal = memchr(host.ptr, ':', host.len) != NULL;
    if (port)
        snprintf(digits, sizeof(digits), ":%u", port);
    text = weir_arena_printf(arena, "%s%.*s%s%s", literal ? "[" : "", WEIR_SLICE_ARG(host),
                             literal ? "]" : "", digits);
    assert(weir_authority_valid(weir_slice_from_str(text)));
    assert(weir_authority_parse(arena, weir_slice_from_str(text), &host2, &port2) == 0);
    assert(weir_slice_eq(host, host2) && port == port2);
    /* Nothing was left out but the case and one dot at the end of the name. */
    size_t dot = !literal && authority.len > host.len && authority.ptr[host.len] == '.';
    assert(authority.len == strlen(text) + dot);
    assert(strncasecmp(authority.ptr, text, host.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct weir_slice all = weir_slice_make((const char *)data, size);
    struct weir_arena arena;

    if (size > 12000)
        return 0;
    weir_arena_init(&arena, 4096);
    check_target(&arena, all);
    check_authority(&arena, all);
    weir_arena_deinit(&arena);
    return 0;
}
