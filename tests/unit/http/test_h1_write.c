/* SPDX-License-Identifier: Apache-2.0 */
/* What the serialiser writes, what it refuses to write, and that what it wrote is read back as the same message. */
#include "http/h1_internal.h"

#include "h1_owner.h"

/* A server whose request is that text, with the answer about to be written. */
static void serve(struct owner *o, const char *request) {
    size_t used;
    owner_init(o, WEIR_ROLE_SERVER);
    assert_int_equal(owner_feed(o, request, strlen(request), &used), 0);
    assert_true(o->ended);
}

static void open_request(struct owner *o) {
    owner_init(o, WEIR_ROLE_CLIENT);
    weir_head_init(&o->head, &o->arena);
    assert_int_equal(o->codec->ops->open(o->codec, o, &o->head, &o->cs), 0);
}

static void sent_is(struct owner *o, const char *want) {
    assert_int_equal(owner_pull(o), 0);
    assert_string_equal(o->sent.text ? o->sent.text : "", want);
    o->sent.len = 0;
    if (o->sent.text)
        o->sent.text[0] = '\0';
}

static int send_bytes(struct owner *o, const char *bytes, size_t n) {
    struct weir_bufq q;
    weir_bufq_init(&q, &o->pool, 0);
    int r = weir_bufq_append(&q, weir_slice_make(bytes, n));
    if (r == 0)
        r = o->codec->ops->send_data(o->codec, o->cs, &q);
    weir_bufq_deinit(&q);
    return r;
}

static int send_head(struct owner *o, const struct weir_head *head, bool end) {
    return o->codec->ops->send_head(o->codec, o->cs, head, end);
}

/* A head with fields out of a static array. */
static void with_fields(struct weir_head *head, struct weir_field *fields, uint16_t n) {
    for (uint16_t i = 0; i < n; i++)
        fields[i].id = (uint8_t)weir_field_id(fields[i].name);
    head->fields = fields;
    head->n_fields = head->cap_fields = n;
}

#define FIELD(n, v)                                                                                \
    { .name = WEIR_SLICE(n), .value = WEIR_SLICE(v) }
#define GET(fields) "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

static void a_request_keeps_spelling_and_order_and_begins_with_host(void **state) {
    struct owner o;
    struct weir_field fields[] = {
        FIELD("User-Agent", "x"),
        FIELD("ACCEPT", "*/*"),
        FIELD("x-empty", ""),
        FIELD("Host", "smuggled"),
        FIELD("gone", "1"),
        FIELD("CONTENT-length", "999"),
        FIELD("Transfer-Encoding", "gzip"),
        FIELD("Connection", "x-one"),
        FIELD("Keep-Alive", "1"),
        FIELD("Proxy-Connection", "1"),
        FIELD("TE", "gzip"),
        FIELD("HTTP2-Settings", "1"),
        FIELD("Upgrade", "h2c"),
        FIELD("Cookie", "a=b"),
    };
    struct weir_head head = request_head("POST", "/p?q", WEIR_BODY_LENGTH, 3);
    with_fields(&head, fields, WEIR_ARRAY_LEN(fields));
    fields[4].dropped = true;
    open_request(&o);
    assert_int_equal(send_head(&o, &head, false), 0);
    assert_int_equal(send_bytes(&o, "abc", 3), 0);
    assert_int_equal(o.codec->ops->send_end(o.codec, o.cs, NULL), 0);
    sent_is(&o, "POST /p?q HTTP/1.1\r\nHost: up.test\r\nUser-Agent: x\r\nACCEPT: */*\r\nx-empty: "
                "\r\nCONTENT-length: 3\r\nCookie: a=b\r\n\r\nabc");
    owner_deinit(&o);
}

static void the_framing_of_a_request_follows_its_content(void **state) {
    static const struct {
        const char *method;
        enum weir_body body;
        uint64_t length;
        bool end;
        const char *want; /* NULL = refused */
    } rows[] = {
        { "GET", WEIR_BODY_NONE, UINT64_MAX, true, "" },
        { "DELETE", WEIR_BODY_NONE, UINT64_MAX, true, "" },
        { "POST", WEIR_BODY_NONE, UINT64_MAX, true, "Content-Length: 0\r\n" },
        { "PUT", WEIR_BODY_NONE, UINT64_MAX, true, "Content-Length: 0\r\n" },
        { "PATCH", WEIR_BODY_STREAM, UINT64_MAX, true, "Content-Length: 0\r\n" },
        { "GET", WEIR_BODY_LENGTH, 0, true, "Content-Length: 0\r\n" },
        { "GET", WEIR_BODY_LENGTH, 18446744073709551614u, false,
          "Content-Length: 18446744073709551614\r\n" },
        { "GET", WEIR_BODY_LENGTH, 1, true, NULL },
        { "POST", WEIR_BODY_STREAM, UINT64_MAX, false, "Transfer-Encoding: chunked\r\n" },
        { "POST", WEIR_BODY_CLOSE, UINT64_MAX, false, NULL },
        { "POST", WEIR_BODY_TUNNEL, UINT64_MAX, false, NULL },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct owner o;
        char want[200] = "";
        struct weir_head head = request_head(rows[i].method, "/", rows[i].body, rows[i].length);
        open_request(&o);
        assert_int_equal(send_head(&o, &head, rows[i].end), rows[i].want ? 0 : -EPROTO);
        if (rows[i].want)
            snprintf(want, sizeof(want), "%s / HTTP/1.1\r\nHost: up.test\r\n%s\r\n", rows[i].method,
                     rows[i].want);
        sent_is(&o, want);
        owner_deinit(&o);
    }
}

static void the_framing_of_a_response_follows_content_method_and_version(void **state) {
    static const struct {
        const char *request;
        unsigned status;
        enum weir_body body;
        uint64_t length;
        bool end;
        const char *want;
    } rows[] = {
        { GET(""), 200, WEIR_BODY_NONE, UINT64_MAX, true, "Content-Length: 0\r\n" },
        { GET(""), 200, WEIR_BODY_LENGTH, 7, false, "Content-Length: 7\r\n" },
        { GET(""), 200, WEIR_BODY_STREAM, UINT64_MAX, false, "Transfer-Encoding: chunked\r\n" },
        { GET(""), 200, WEIR_BODY_CLOSE, UINT64_MAX, false, "Transfer-Encoding: chunked\r\n" },
        { GET(""), 200, WEIR_BODY_STREAM, UINT64_MAX, true, "Content-Length: 0\r\n" },
        { GET(""), 204, WEIR_BODY_NONE, 5, true, "" },
        { GET(""), 204, WEIR_BODY_STREAM, UINT64_MAX, false, "" },
        { GET(""), 304, WEIR_BODY_NONE, 5, true, "Content-Length: 5\r\n" },
        { GET(""), 304, WEIR_BODY_NONE, UINT64_MAX, true, "" },
        { GET("Connection: close\r\n"), 200, WEIR_BODY_LENGTH, 0, true,
          "Content-Length: 0\r\nConnection: close\r\n" },
        { "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, WEIR_BODY_NONE, 5, true,
          "Content-Length: 5\r\n" },
        { "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, WEIR_BODY_LENGTH, 5, false,
          "Content-Length: 5\r\n" },
        { "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, WEIR_BODY_STREAM, UINT64_MAX, false, "" },
        { "GET / HTTP/1.0\r\n\r\n", 200, WEIR_BODY_LENGTH, 5, false,
          "Content-Length: 5\r\nConnection: close\r\n" },
        { "GET / HTTP/1.0\r\n\r\n", 200, WEIR_BODY_STREAM, UINT64_MAX, false,
          "Connection: close\r\n" },
        { "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, WEIR_BODY_LENGTH, 5, false,
          "Content-Length: 5\r\nConnection: keep-alive\r\n" },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct owner o;
        char want[200];
        struct weir_head head = response_head(rows[i].status, rows[i].body, rows[i].length);
        serve(&o, rows[i].request);
        head.reason = WEIR_SLICE("R");
        assert_int_equal(send_head(&o, &head, rows[i].end), 0);
        snprintf(want, sizeof(want), "HTTP/1.1 %u R\r\n%s\r\n", rows[i].status, rows[i].want);
        sent_is(&o, want);
        owner_deinit(&o);
    }
}

static void content_for_head_and_204_is_dropped(void **state) {
    struct owner o;
    struct weir_head head = response_head(200, WEIR_BODY_LENGTH, 5);
    serve(&o, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(send_head(&o, &head, false), 0);
    assert_int_equal(send_bytes(&o, "hello", 5), 0);
    assert_int_equal(o.codec->ops->send_end(o.codec, o.cs, NULL), 0);
    sent_is(&o, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_int_equal(o.n_closed, 1);
    owner_deinit(&o);
}

static void a_status_without_a_reason_gets_the_usual_one(void **state) {
    struct owner o;
    struct weir_head head = response_head(503, WEIR_BODY_NONE, UINT64_MAX);
    serve(&o, GET(""));
    assert_int_equal(send_head(&o, &head, true), 0);
    sent_is(&o, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    owner_deinit(&o);
    head = response_head(299, WEIR_BODY_NONE, UINT64_MAX);
    serve(&o, GET(""));
    assert_int_equal(send_head(&o, &head, true), 0);
    sent_is(&o, "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
    owner_deinit(&o);
}

static void chunks_are_framed_around_what_one_call_brings(void **state) {
    struct owner o;
    struct weir_head head = response_head(200, WEIR_BODY_STREAM, UINT64_MAX);
    char big[70000];
    memset(big, 'x', sizeof(big));
    serve(&o, GET(""));
    assert_int_equal(send_head(&o, &head, false), 0);
    assert_int_equal(send_bytes(&o, "", 0), 0);
    assert_int_equal(send_bytes(&o, "0123456789abcdef", 16), 0);
    assert_int_equal(send_bytes(&o, "y", 1), 0);
    sent_is(&o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n1"
                "\r\ny\r\n");
    assert_int_equal(send_bytes(&o, big, sizeof(big)), 0);
    assert_int_equal(o.codec->ops->send_end(o.codec, o.cs, NULL), 0);
    assert_int_equal(owner_pull(&o), 0);
    assert_int_equal(o.sent.len, sizeof(big) + 7 + 7);
    assert_memory_equal(o.sent.text, "11170\r\nxx", 9);
    assert_memory_equal(o.sent.text + o.sent.len - 8, "x\r\n0\r\n\r\n", 8);
    owner_deinit(&o);
}

static void content_is_passed_on_by_reference(void **state) {
    struct owner o;
    struct weir_bufq q, out;
    struct iovec iov[8];
    struct weir_head head = response_head(200, WEIR_BODY_STREAM, UINT64_MAX);
    serve(&o, GET(""));
    struct weir_chunk *chunk = weir_chunk_get(&o.pool);
    memset(chunk->data, 'x', chunk->size);
    weir_bufq_init(&q, &o.pool, 0);
    weir_bufq_init(&out, &o.pool, 0);
    assert_int_equal(weir_bufq_append_ref(&q, chunk, weir_slice_make(chunk->data, 8000)), 0);
    assert_int_equal(weir_bufq_append_ref(&q, chunk, weir_slice_make(chunk->data + 9000, 100)), 0);
    weir_chunk_unref(chunk);
    assert_int_equal(send_head(&o, &head, false), 0);
    assert_int_equal(o.codec->ops->send_data(o.codec, o.cs, &q), 0);
    assert_int_equal(q.len, 0);
    assert_int_equal(o.codec->ops->pull(o.codec, &out), 0);
    int n = weir_bufq_peek(&out, iov, 8);
    assert_int_equal(n, 4);
    assert_ptr_equal(iov[1].iov_base, chunk->data);
    assert_ptr_equal(iov[2].iov_base, chunk->data + 9000);
    weir_bufq_deinit(&out);
    weir_bufq_deinit(&q);
    owner_deinit(&o);
}

static void trailers_go_to_those_who_asked(void **state) {
    struct weir_field fields[] = {
        FIELD("Grpc-Status", "0"),           FIELD("Content-Length", "3"), FIELD("host", "x"),
        FIELD("X_Forwarded_For", "1.2.3.4"), FIELD("gone", "1"),
    };
    struct weir_head trailers;
    weir_head_init(&trailers, NULL);
    with_fields(&trailers, fields, WEIR_ARRAY_LEN(fields));
    fields[4].dropped = true;
    for (int te = 0; te < 2; te++) {
        struct owner o;
        struct weir_head head = response_head(200, WEIR_BODY_STREAM, UINT64_MAX);
        serve(&o, te ? GET("TE: trailers\r\n") : GET(""));
        assert_int_equal(send_head(&o, &head, false), 0);
        assert_int_equal(send_bytes(&o, "a", 1), 0);
        assert_int_equal(o.codec->ops->send_end(o.codec, o.cs, &trailers), 0);
        sent_is(&o,
                te ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
                     "Grpc-Status: 0\r\n\r\n"
                   : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
        owner_deinit(&o);
    }
    struct owner o;
    struct weir_head head = request_head("POST", "/", WEIR_BODY_STREAM, UINT64_MAX);
    open_request(&o);
    head.te_trailers = true;
    assert_int_equal(send_head(&o, &head, false), 0);
    assert_int_equal(o.codec->ops->send_end(o.codec, o.cs, &trailers), 0);
    sent_is(&o, "POST / HTTP/1.1\r\nHost: up.test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
                "Connection: TE\r\n\r\n0\r\nGrpc-Status: 0\r\n\r\n");
    owner_deinit(&o);
}

/* ---- what is never written ---- */

/* Every byte that could end a line, or a string, or is no text. */
static const char forbidden[] = "\r\n\0\x01\x1f\x7f";
#define N_FORBIDDEN (sizeof(forbidden) - 1)

/* `poison` puts `text` somewhere into a head that is fine otherwise. */
static void refused(bool request, void (*poison)(struct weir_head *, struct weir_slice)) {
    for (size_t i = 0; i < N_FORBIDDEN; i++) {
        for (size_t at = 0; at < 40; at += 3) {
            struct owner o;
            char text[41];
            struct weir_field fields[] = { FIELD("A", "b"), FIELD("C", "d"), FIELD("E", "f") };
            struct weir_head head = request ? request_head("GET", "/", WEIR_BODY_NONE, UINT64_MAX)
                                            : response_head(200, WEIR_BODY_NONE, UINT64_MAX);
            with_fields(&head, fields, 3);
            memset(text, 'x', sizeof(text));
            text[at] = forbidden[i];
            struct weir_head good = head;
            struct weir_field fine[3];
            memcpy(fine, fields, sizeof(fields));
            good.fields = fine;
            poison(&head, weir_slice_make(text, sizeof(text)));
            if (request)
                open_request(&o);
            else
                serve(&o, GET(""));
            if (send_head(&o, &head, true) != -EPROTO)
                fail_msg("byte %02x at %zu was written", forbidden[i], at);
            assert_int_equal(owner_pull(&o), 0);
            assert_int_equal(o.sent.len, 0);
            /* Nothing is left of it: an honest head can follow. */
            assert_int_equal(send_head(&o, &good, true), 0);
            assert_int_equal(owner_pull(&o), 0);
            assert_null(strstr(o.sent.text, "xx"));
            owner_deinit(&o);
        }
    }
}

static void in_name(struct weir_head *h, struct weir_slice s) {
    h->fields[1].name = s;
}
static void in_value(struct weir_head *h, struct weir_slice s) {
    h->fields[2].value = s;
}
static void in_target(struct weir_head *h, struct weir_slice s) {
    h->target = s;
}
static void in_method(struct weir_head *h, struct weir_slice s) {
    h->method_name = s;
}
static void in_authority(struct weir_head *h, struct weir_slice s) {
    h->authority = s;
}
static void in_reason(struct weir_head *h, struct weir_slice s) {
    h->reason = s;
}
static void in_protocol(struct weir_head *h, struct weir_slice s) {
    h->wants_upgrade = true;
    h->protocol = s;
}

static void line_ends_and_control_bytes_are_refused_from_every_source(void **state) {
    refused(true, in_name);
    refused(true, in_value);
    refused(true, in_target);
    refused(true, in_method);
    refused(true, in_authority);
    refused(true, in_protocol);
    refused(false, in_name);
    refused(false, in_value);
    refused(false, in_reason);
}

static void a_whole_injected_head_is_refused(void **state) {
    static const char *const evil[] = {
        "v\r\nX: y", "v\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n", "v\n", "\rv",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(evil); i++) {
        struct owner o;
        struct weir_field fields[] = { FIELD("A", "b") };
        struct weir_head head = request_head("GET", "/", WEIR_BODY_NONE, UINT64_MAX);
        with_fields(&head, fields, 1);
        fields[0].value = weir_slice_from_str(evil[i]);
        open_request(&o);
        assert_int_equal(send_head(&o, &head, true), -EPROTO);
        assert_false(o.codec->want_pull && owner_pull(&o) == 0 && o.sent.len > 0);
        owner_deinit(&o);
    }
}

static void a_request_line_has_three_parts(void **state) {
    static const struct {
        const char *method, *target;
    } rows[] = {
        { "GET", "/a b" }, { "GET", "/ HTTP/1.1" }, { "GET", "" },       { "", "/" },
        { "GE T", "/" },   { "GET:", "/" },         { "CONNECT", "/x" }, { "CONNECT", "a b:1" },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct owner o;
        struct weir_head head = request_head(rows[i].method, rows[i].target, WEIR_BODY_NONE, 0);
        open_request(&o);
        assert_int_equal(send_head(&o, &head, true), -EPROTO);
        owner_deinit(&o);
    }
}

static void odd_heads_are_refused(void **state) {
    struct owner o;
    struct weir_field fields[] = { FIELD("", "b") };
    struct weir_head head = response_head(200, WEIR_BODY_NONE, UINT64_MAX);
    with_fields(&head, fields, 1);
    serve(&o, GET(""));
    assert_int_equal(send_head(&o, &head, true), -EPROTO);
    head = response_head(1000, WEIR_BODY_NONE, UINT64_MAX);
    assert_int_equal(send_head(&o, &head, true), -EPROTO);
    head = response_head(99, WEIR_BODY_NONE, UINT64_MAX);
    assert_int_equal(send_head(&o, &head, true), -EPROTO);
    owner_deinit(&o);
}

static void control_bytes_in_trailers_are_refused(void **state) {
    for (size_t i = 0; i < N_FORBIDDEN; i++) {
        struct owner o;
        struct weir_field fields[] = { FIELD("A", "b") };
        struct weir_head trailers;
        struct weir_head head = request_head("POST", "/", WEIR_BODY_STREAM, UINT64_MAX);
        weir_head_init(&trailers, NULL);
        with_fields(&trailers, fields, 1);
        fields[0].value = weir_slice_make(forbidden + i, 1);
        open_request(&o);
        assert_int_equal(send_head(&o, &head, false), 0);
        assert_int_equal(send_bytes(&o, "a", 1), 0);
        assert_int_equal(o.codec->ops->send_end(o.codec, o.cs, &trailers), -EPROTO);
        owner_deinit(&o);
    }
}

static void tabs_and_bytes_above_ascii_are_text(void **state) {
    struct owner o;
    struct weir_field fields[] = { FIELD("A", "b\tc"), FIELD("D", "\x80\xff caf\xc3\xa9") };
    struct weir_head head = request_head("GET", "/", WEIR_BODY_NONE, UINT64_MAX);
    with_fields(&head, fields, 2);
    open_request(&o);
    assert_int_equal(send_head(&o, &head, true), 0);
    sent_is(&o, "GET / HTTP/1.1\r\nHost: up.test\r\nA: b\tc\r\nD: \x80\xff caf\xc3\xa9\r\n\r\n");
    owner_deinit(&o);
}

static void a_head_larger_than_a_chunk_is_written_and_checked_too(void **state) {
    char value[40000];
    memset(value, 'v', sizeof(value));
    for (int evil = 0; evil < 2; evil++) {
        struct owner o;
        struct weir_field fields[] = { FIELD("Big", ""), FIELD("A", "b") };
        struct weir_head head = response_head(200, WEIR_BODY_NONE, UINT64_MAX);
        with_fields(&head, fields, 2);
        value[39999] = evil ? '\n' : 'v';
        fields[0].value = weir_slice_make(value, sizeof(value));
        serve(&o, GET(""));
        assert_int_equal(send_head(&o, &head, true), evil ? -EPROTO : 0);
        assert_int_equal(owner_pull(&o), 0);
        assert_int_equal(o.sent.len, evil ? 0 : 17 + 5 + 40000 + 2 + 6 + 19 + 2);
        owner_deinit(&o);
    }
}

static void heads_that_fill_a_chunk_go_on_in_the_next(void **state) {
    struct owner o;
    char value[9000];
    memset(value, 'v', sizeof(value));
    struct weir_field fields[] = { FIELD("Link", "") };
    struct weir_head early = response_head(103, WEIR_BODY_NONE, UINT64_MAX);
    struct weir_head head = response_head(200, WEIR_BODY_NONE, UINT64_MAX);
    with_fields(&early, fields, 1);
    fields[0].value = weir_slice_make(value, sizeof(value));
    serve(&o, GET(""));
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_head(&o, &early, false), 0);
    assert_int_equal(send_head(&o, &head, true), 0);
    assert_int_equal(owner_pull(&o), 0);
    assert_int_equal(o.sent.len, 5 * (26 + 6 + 9000 + 4) + 17 + 19 + 2);
    owner_deinit(&o);
}

/* ---- written, then read ---- */

static uint32_t seed;

static uint32_t random_below(uint32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static struct weir_slice random_text(struct weir_arena *arena, const char *set, size_t min,
                                     size_t max) {
    size_t n = min + random_below((uint32_t)(max - min + 1)), chars = strlen(set);
    char *text = weir_arena_alloc(arena, n + 1);
    for (size_t i = 0; i < n; i++)
        text[i] = set[random_below((uint32_t)chars)];
    return weir_slice_make(text, n);
}

#define TOKENS "!#$%&'*+-.^_`|~0123456789ABCDEFabcdef"
#define VALUES "abc \t\"(),/:;<=>?@[\\]{}~!\xa0\xff"

static void random_fields(struct weir_head *head) {
    unsigned n = random_below(30);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(weir_head_add(head, random_text(head->arena, TOKENS, 1, 30),
                                       weir_slice_trim(random_text(head->arena, VALUES, 0, 60))),
                         0);
}

static void same_fields(const struct weir_head *want, const struct weir_head *got) {
    unsigned k = 0;
    for (unsigned i = 0; i < want->n_fields; i++, k++) {
        while (k < got->n_fields && (got->fields[k].id == WEIR_FIELD_CONTENT_LENGTH ||
                                     got->fields[k].id == WEIR_FIELD_TRANSFER_ENCODING))
            k++;
        assert_true(k < got->n_fields);
        assert_true(weir_slice_eq(want->fields[i].name, got->fields[k].name));
        assert_true(weir_slice_eq(want->fields[i].value, got->fields[k].value));
    }
}

/* Sends the content in random pieces and leaves all bytes in o->sent. */
static void send_content(struct owner *o, struct weir_slice content) {
    while (content.len > 0) {
        size_t n = 1 + random_below((uint32_t)content.len);
        assert_int_equal(send_bytes(o, content.ptr, n), 0);
        content = weir_slice_make(content.ptr + n, content.len - n);
        if (random_below(2))
            assert_int_equal(owner_pull(o), 0);
    }
    assert_int_equal(o->codec->ops->send_end(o->codec, o->cs, NULL), 0);
    assert_int_equal(owner_pull(o), 0);
}

static void feed_pieces(struct owner *o, const char *bytes, size_t n) {
    while (n > 0) {
        size_t piece = 1 + random_below(n < 500 ? (uint32_t)n : 500u), used;
        assert_int_equal(owner_feed(o, bytes, piece, &used), 0);
        assert_int_equal(used, piece);
        bytes += piece;
        n -= piece;
    }
}

static void what_is_written_is_read_back_as_the_same_request(void **state) {
    static const char *const methods[] = { "GET", "POST", "PUT", "DELETE", "PROPFIND", "HEAD" };
    seed = 1;
    for (unsigned round = 0; round < 400; round++) {
        struct owner from, to;
        enum weir_body body = random_below(2) ? WEIR_BODY_LENGTH : WEIR_BODY_STREAM;
        open_request(&from);
        struct weir_slice content = random_text(&from.arena, VALUES "\r\n", 0, 3000);
        struct weir_head head = request_head(methods[random_below(6)], "/", body,
                                             body == WEIR_BODY_LENGTH ? content.len : UINT64_MAX);
        head.arena = &from.arena;
        struct weir_slice path = random_text(&from.arena, "abc/.?&=%20~", 1, 60);
        ((char *)(uintptr_t)path.ptr)[0] = '/';
        head.target = path;
        random_fields(&head);
        assert_int_equal(send_head(&from, &head, false), 0);
        send_content(&from, content);

        owner_init(&to, WEIR_ROLE_SERVER);
        feed_pieces(&to, from.sent.text, from.sent.len);
        assert_true(to.ended);
        assert_true(weir_slice_eq(head.target, to.head.target));
        assert_true(weir_slice_eq(head.method_name, to.head.method_name));
        assert_true(weir_slice_eq(head.authority, to.head.authority));
        assert_int_equal(to.head.body, body);
        same_fields(&head, &to.head);
        assert_int_equal(to.content.len, content.len);
        assert_true(content.len == 0 || memcmp(to.content.text, content.ptr, content.len) == 0);
        owner_deinit(&to);
        owner_deinit(&from);
    }
}

static void what_is_written_is_read_back_as_the_same_response(void **state) {
    seed = 2;
    for (unsigned round = 0; round < 400; round++) {
        struct owner from, to;
        enum weir_body body = random_below(2) ? WEIR_BODY_LENGTH : WEIR_BODY_STREAM;
        serve(&from, GET(""));
        struct weir_slice content = random_text(&from.arena, VALUES "\r\n", 1, 3000);
        struct weir_head head = response_head(200 + random_below(100), body,
                                              body == WEIR_BODY_LENGTH ? content.len : UINT64_MAX);
        if (head.status == 204)
            head.status = 200;
        head.arena = &from.arena;
        head.reason = random_text(&from.arena, VALUES, 1, 20);
        random_fields(&head);
        assert_int_equal(send_head(&from, &head, false), 0);
        /* The request's exchange ends with the last pull and takes its arena along: keep what is compared. */
        struct weir_arena kept = from.arena;
        weir_arena_init(&from.arena, 2048);
        send_content(&from, content);

        struct weir_head ask = request_head("GET", "/", WEIR_BODY_NONE, UINT64_MAX);
        open_request(&to);
        assert_int_equal(send_head(&to, &ask, true), 0);
        assert_int_equal(owner_pull(&to), 0);
        feed_pieces(&to, from.sent.text, from.sent.len - 1);
        assert_int_equal(to.head.status, head.status);
        same_fields(&head, &to.head);
        feed_pieces(&to, from.sent.text + from.sent.len - 1, 1);
        assert_int_equal(to.n_closed, 1);
        assert_false(to.codec->must_close);
        assert_int_equal(to.content.len, content.len);
        assert_memory_equal(to.content.text, content.ptr, content.len);
        owner_deinit(&to);
        weir_arena_deinit(&kept);
        owner_deinit(&from);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_keeps_spelling_and_order_and_begins_with_host),
        cmocka_unit_test(the_framing_of_a_request_follows_its_content),
        cmocka_unit_test(the_framing_of_a_response_follows_content_method_and_version),
        cmocka_unit_test(content_for_head_and_204_is_dropped),
        cmocka_unit_test(a_status_without_a_reason_gets_the_usual_one),
        cmocka_unit_test(chunks_are_framed_around_what_one_call_brings),
        cmocka_unit_test(content_is_passed_on_by_reference),
        cmocka_unit_test(trailers_go_to_those_who_asked),
        cmocka_unit_test(line_ends_and_control_bytes_are_refused_from_every_source),
        cmocka_unit_test(a_whole_injected_head_is_refused),
        cmocka_unit_test(a_request_line_has_three_parts),
        cmocka_unit_test(odd_heads_are_refused),
        cmocka_unit_test(control_bytes_in_trailers_are_refused),
        cmocka_unit_test(tabs_and_bytes_above_ascii_are_text),
        cmocka_unit_test(a_head_larger_than_a_chunk_is_written_and_checked_too),
        cmocka_unit_test(heads_that_fill_a_chunk_go_on_in_the_next),
        cmocka_unit_test(what_is_written_is_read_back_as_the_same_request),
        cmocka_unit_test(what_is_written_is_read_back_as_the_same_response),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
