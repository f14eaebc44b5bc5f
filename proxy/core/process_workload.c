/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, one call (SPIFFE_Workload_API.md 4 to 6): each message of its answer is the whole of what this workload is. What is held
 * serves until it expires, whatever comes of the call; a call that ends, or says what is of no use, is made again, each time
 * later and never at the same moment as the neighbours'. Keys are wiped from every buffer of ours they passed.
 */
#include "core/process_workload.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "core/process_internal.h"
#include "http/codec.h"
#include "sys/backoff.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "tls/csr.h"
#include "tls/workload.h"

#define SECOND_US    1000000u
#define DIAL_US      (2u * SECOND_US)
#define ANSWER_US    (30u * SECOND_US) /* for the first message */
#define RETRY_US     (SECOND_US / 4)
#define RETRY_MAX_US (30u * SECOND_US)
#define GRPC_HEADER  5u /* compressed?, length: 4 bytes, big endian */

/* A connection outlives its use until the stream is closed. */
struct call {
    struct weir_workload *workload; /* NULL = given up */
    struct weir_stream *stream;
    struct weir_codec *codec;
    struct weir_cstream *cs; /* NULL = not begun, or over */
    struct weir_arena arena;
    struct weir_head head; /* of the answer */
    struct weir_bufq out;
    unsigned char header[GRPC_HEADER];
    unsigned n_header;
    char *message; /* being received; NULL = none */
    size_t len, got;
    uint64_t since_us;
    bool told; /* a message has come */
};

struct weir_workload {
    struct weir_process *process;
    const char *path;
    struct call *call; /* NULL = none */
    struct weir_event *on_retry, *on_second;
    struct weir_backoff retry;
    bool closed;
};

static uint64_t now(const struct weir_workload *w) {
    struct weir_net *net = weir_loop_net(w->process->loop);

    return net->ops->now(net);
}

/* ---- being without it ---- */

static void dial(void *arg);

static void try_again(struct weir_workload *w) {
    if (w->closed || w->on_retry)
        return;
    if (weir_event_every(w->process->loop, weir_backoff_next(&w->retry), dial, w, &w->on_retry) < 0)
        weir_log(WEIR_LOG_ERROR, "workload_api", "error=\"no timer: it is not asked any more\"");
}

static void fail(struct weir_workload *w, const char *why) {
    char text[200];

    snprintf(text, sizeof(text), "%s: %s", w->path, why);
    weir_svid_refused(w->process->identity.svid, weir_clock_wall_us(), weir_slice_from_str(text));
    try_again(w);
}

static void forget_message(struct call *c) {
    if (c->message)
        explicit_bzero(c->message, c->len);
    c->message = weir_free(c->message);
    c->n_header = 0;
    c->len = c->got = 0;
}

static void let_go(struct call *c) {
    if (c->workload)
        c->workload->call = NULL;
    c->workload = NULL;
    forget_message(c);
    weir_stream_close(c->stream, false);
}

static void lose(struct call *c, const char *why) {
    struct weir_workload *w = c->workload;

    if (!w)
        return;
    let_go(c);
    fail(w, why);
}

/* ---- what it says ---- */

/* NULL = it is held; else what is wrong with it (static). */
static const char *take_svid(struct weir_workload *w, const struct weir_workload_svid *svid) {
    struct weir_svid_given given = { .id = svid->id };
    char *chain = NULL, *bundle = NULL;
    const char *why = NULL;

    if (weir_workload_pem(svid->chain, &chain) < 0)
        why = "its SVID's certificates are not X.509 in DER";
    else if (weir_workload_pem(svid->bundle, &bundle) < 0)
        why = "its trust bundle is not X.509 in DER";
    else if (weir_tls_key_from_der(svid->key, &given.key) < 0)
        why = "its SVID's key is not PKCS#8 in DER";
    if (!why) {
        given.chain = weir_slice_from_str(chain);
        given.bundle = weir_slice_from_str(bundle);
        why = weir_svid_given(w->process->identity.svid, weir_clock_wall_us(), &given);
    }
    weir_free(chain);
    weir_free(bundle);
    return why;
}

static void on_message(struct call *c) {
    struct weir_workload *w = c->workload;
    struct weir_workload_svid svid;
    const char *why = "";
    int r = weir_workload_read(weir_slice_make(c->message, c->len), &svid, &why);

    if (r == 0) {
        why = take_svid(w, &svid);
        r = why ? WEIR_WORKLOAD_BAD : 0;
    }
    forget_message(c);
    if (r) {
        lose(c, why);
        return;
    }
    if (!c->told)
        weir_log(WEIR_LOG_INFO, "workload_api_connected", "at=%s others=%u", w->path, svid.others);
    c->told = true;
    w->retry.us = 0;
}

/* The header of a message is whole. NULL = its content may come. */
static const char *begin_message(struct call *c) {
    c->len = (size_t)c->header[1] << 24 | (size_t)c->header[2] << 16 | (size_t)c->header[3] << 8 |
             c->header[4];
    c->got = 0;
    if (c->header[0])
        return "its message is compressed, which was not offered";
    if (c->len > WEIR_WORKLOAD_MESSAGE_MAX)
        return "its message is larger than 4 MiB";
    c->message = weir_malloc(c->len + 1);
    return c->message ? NULL : "no memory for its message";
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct call *c = arg;
    size_t all = bytes.len, n;

    while (c->workload && (bytes.len > 0 || (c->message && c->got == c->len))) {
        if (c->n_header < GRPC_HEADER) {
            const char *why;

            c->header[c->n_header++] = (unsigned char)bytes.ptr[0];
            bytes = weir_slice_make(bytes.ptr + 1, bytes.len - 1);
            why = c->n_header == GRPC_HEADER ? begin_message(c) : NULL;
            if (why)
                lose(c, why);
            continue;
        }
        n = c->len - c->got < bytes.len ? c->len - c->got : bytes.len;
        if (n > 0)
            memcpy(c->message + c->got, bytes.ptr, n);
        c->got += n;
        bytes = weir_slice_make(bytes.ptr + n, bytes.len - n);
        if (c->got == c->len)
            on_message(c);
    }
    if (c->workload)
        c->codec->ops->consumed(c->codec, cs, all);
}

/* ---- the codec ---- */

static int on_begin(void *arg, struct weir_cstream *cs) {
    return -1; /* a server's */
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct call *c = arg;
    char why[64];

    if (c->head.status < 200)
        return;
    snprintf(why, sizeof(why), "it answers with HTTP status %u, not with gRPC", c->head.status);
    if (c->head.status != 200 || !weir_head_is_grpc(&c->head))
        lose(c, why);
}

static struct weir_slice said(const struct weir_head *head, struct weir_slice name) {
    const struct weir_field *field = head ? weir_head_find(head, name) : NULL;

    return field ? field->value : weir_slice_make("", 0);
}

/* With trailers or, without a message before, in the head itself. */
static void on_end(void *arg, struct weir_cstream *cs) {
    struct call *c = arg;
    const struct weir_head *from = cs->trailers ? cs->trailers : &c->head;
    struct weir_slice status = said(from, WEIR_SLICE("grpc-status"));
    struct weir_slice text = said(from, WEIR_SLICE("grpc-message"));
    char why[160];

    if (status.len == 0)
        snprintf(why, sizeof(why), "its answer ended without a grpc-status");
    else if (weir_slice_eq(status, WEIR_SLICE("0")))
        snprintf(why, sizeof(why), "it ended its answer");
    else
        snprintf(why, sizeof(why), "grpc-status %.*s%s: %.*s",
                 (int)(status.len < 8 ? status.len : 8), status.ptr,
                 weir_slice_eq(status, WEIR_SLICE("7")) ? " (PERMISSION_DENIED)" : "",
                 (int)(text.len < 100 ? text.len : 100), text.ptr);
    lose(c, why);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    struct call *c = arg;

    c->cs = NULL;
    lose(c, "its answer was cut short, or is not HTTP/2");
}

static void on_over(void *arg, struct weir_cstream *cs) {
    struct call *c = arg;

    c->cs = NULL;
}

static void on_draining(void *arg) {
}

static const struct weir_codec_events codec_events = {
    .begin = on_begin,
    .head = on_head,
    .data = on_data,
    .end = on_end,
    .reset = on_reset,
    .closed = on_over,
    .draining = on_draining,
};

/* ---- asking ---- */

static int request_head(struct weir_head *head, struct weir_arena *arena) {
    int r;

    weir_head_init(head, arena);
    head->version = WEIR_HTTP_2;
    head->method_name = WEIR_SLICE("POST");
    head->method = WEIR_METHOD_POST;
    head->scheme = WEIR_SLICE("http");
    head->authority = WEIR_SLICE("localhost");
    head->target = WEIR_SLICE("/SpiffeWorkloadAPI/FetchX509SVID");
    head->body = WEIR_BODY_STREAM;
    head->content_length = UINT64_MAX;
    head->te_trailers = true;
    r = weir_head_add(head, WEIR_SLICE("content-type"), WEIR_SLICE("application/grpc"));
    if (r == 0)
        r = weir_head_add(head, WEIR_SLICE("user-agent"), WEIR_SLICE("weir"));
    return r ? r : weir_head_add(head, WEIR_SLICE("workload.spiffe.io"), WEIR_SLICE("true"));
}

/* What the codec has to say: the request, credit, acknowledgements. */
static void flush(struct call *c) {
    int r = 0;

    while (r == 0 && c->workload && c->codec->want_pull) {
        r = c->codec->ops->pull(c->codec, &c->out);
        if (r == 0)
            r = weir_stream_write(c->stream, &c->out);
    }
    if (r)
        lose(c, "no memory to ask it");
}

static void on_open(void *arg) {
    static const char nothing[GRPC_HEADER]; /* X509SVIDRequest has no fields */
    struct call *c = arg;
    struct weir_head head;
    struct weir_bufq body;
    int r;

    if (!c->workload)
        return;
    weir_bufq_init(&body, weir_loop_net(c->workload->process->loop)->pool, 0);
    weir_head_init(&c->head, &c->arena);
    r = request_head(&head, &c->arena);
    if (r == 0)
        r = c->codec->ops->open(c->codec, c, &c->head, &c->cs);
    if (r == 0)
        r = c->codec->ops->send_head(c->codec, c->cs, &head, false);
    if (r == 0)
        r = weir_bufq_append(&body, weir_slice_make(nothing, sizeof(nothing)));
    if (r == 0)
        r = c->codec->ops->send_data(c->codec, c->cs, &body);
    if (r == 0)
        r = c->codec->ops->send_end(c->codec, c->cs, NULL);
    weir_bufq_deinit(&body);
    if (r) {
        lose(c, strerror(-r));
        return;
    }
    weir_stream_read_start(c->stream);
    flush(c);
}

/* ---- the stream ---- */

static void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct call *c = arg;
    size_t used = 0;
    int r;

    if (!c->workload)
        return;
    c->codec->now = now(c->workload);
    r = c->codec->ops->feed(c->codec, chunk, bytes, &used);
    explicit_bzero((char *)(uintptr_t)bytes.ptr, bytes.len); /* nobody keeps a reference */
    if (r || (c->workload && used < bytes.len))
        lose(c, r == -ENOMEM ? "no memory to hear it" : "what it says is not HTTP/2");
    flush(c);
}

static void on_eof(void *arg) {
    lose(arg, "it closed the connection");
}

static void on_error(void *arg, struct weir_fault fault) {
    lose(arg,
         fault.kind == WEIR_FAULT_RESET ? "it reset the connection" : "the connection was lost");
}

static void on_nothing(void *arg) {
}

static void call_free(struct call *c) {
    forget_message(c);
    c->codec->ops->free(c->codec);
    weir_bufq_deinit(&c->out);
    weir_arena_deinit(&c->arena);
    weir_free(c);
}

static void on_closed(void *arg) {
    struct call *c = arg;

    if (c->workload)
        c->workload->call = NULL;
    call_free(c);
}

static const struct weir_stream_events stream_events = {
    .open = on_open,
    .read = on_read,
    .eof = on_eof,
    .drain = on_nothing,
    .error = on_error,
    .closed = on_closed,
};

static struct call *call_new(struct weir_workload *w) {
    struct call *c = weir_calloc(1, sizeof(*c));
    struct weir_codec_params params = { .role = WEIR_ROLE_CLIENT,
                                        .events = &codec_events,
                                        .arg = c,
                                        .pool = weir_loop_net(w->process->loop)->pool,
                                        .limits = &weir_codec_limits_default };

    if (!c)
        return NULL;
    c->workload = w;
    c->since_us = now(w);
    weir_arena_init(&c->arena, 2048);
    weir_bufq_init(&c->out, params.pool, 0);
    return weir_h2_new(&params, &c->codec) < 0 ? weir_free(c) : c;
}

static void dial(void *arg) {
    struct weir_workload *w = arg;
    struct weir_dial to = { .path = w->path, .timeout_us = DIAL_US };
    struct weir_net *net = weir_loop_net(w->process->loop);
    struct call *c;
    int r;

    w->on_retry = weir_event_free(w->on_retry);
    if (w->closed)
        return;
    c = call_new(w);
    r = c ? net->ops->dial(net, &to, &c->stream) : -ENOMEM;
    if (r == 0) {
        c->stream->events = &stream_events;
        c->stream->arg = c;
        w->call = c;
        return;
    }
    if (c)
        call_free(c);
    fail(w, strerror(-r));
}

/* It is slow with its first message; or another trust domain is wanted since the last one. */
static void on_second(void *arg) {
    struct weir_workload *w = arg;
    struct call *c = w->call;

    if (c && !c->told && now(w) - c->since_us > ANSWER_US)
        lose(c, "it does not answer in time");
    else if (c && c->told && weir_svid_view(w->process->identity.svid).state == WEIR_SVID_NONE)
        lose(c, "it is asked again, for another trust domain");
}

/* ---- the process ---- */

int weir_workload_new(struct weir_process *p, const char *path,
                      struct weir_workload **ret_workload) {
    struct weir_workload *w = weir_calloc(1, sizeof(*w));
    int r = w ? weir_process_svid_new(p, NULL, NULL) : -ENOMEM;

    if (r == 0) {
        w->process = p;
        w->retry = (struct weir_backoff){ .least_us = RETRY_US, .most_us = RETRY_MAX_US };
        w->path = path;
        r = weir_event_every(p->loop, SECOND_US, on_second, w, &w->on_second);
    }
    if (r) {
        weir_free(w);
        return r;
    }
    *ret_workload = w;
    return 0;
}

int weir_workload_ask(struct weir_workload *w) {
    if (w->call || w->on_retry || w->closed)
        return 0;
    return weir_event_every(w->process->loop, 1000, dial, w, &w->on_retry);
}

void weir_workload_close(struct weir_workload *w) {
    if (!w)
        return;
    w->closed = true;
    w->on_retry = weir_event_free(w->on_retry);
    w->on_second = weir_event_free(w->on_second);
    if (w->call)
        let_go(w->call);
}

struct weir_workload *weir_workload_free(struct weir_workload *w) {
    return weir_free(w);
}
