/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/client.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/codec.h"
#include "io/dns.h"
#include "tls/tls.h"
#include "weir_config.h"

#define CONNECT_US  (5u * 1000 * 1000)
#define KEEPALIVE_S 15u /* uv asks three times, a second apart, before it gives up */

/* A connection outlives its client until the stream is closed. */
struct conn {
    struct weir_kube_client *client; /* NULL = given up */
    struct weir_stream *stream;
    struct weir_codec *codec;
    struct weir_arena arena;
    struct weir_head head; /* of the answer */
    struct weir_cstream *cs;
    struct weir_bufq out;
    bool open, closing;
    bool feeding; /* within the codec: the next question waits until it is out */
};

/* A name that is being asked for outlives it as well. */
struct lookup {
    struct weir_kube_client *client;
};

struct weir_kube_client {
    struct weir_loop *loop;
    struct weir_dns *dns;
    struct weir_kube_access *access;
    const struct weir_kube_answer *answer;
    void *arg;
    struct conn *conn;
    struct lookup *lookup;
    unsigned tried; /* which of a name's addresses */
    /* the question under way, in one block; method and type are words of the caller's code */
    char *text;
    const char *method, *path, *type;
    struct weir_slice content;
    bool asking;
};

/* ---- ends ---- */

static void let_go(struct conn *c) {
    if (c->closing)
        return;
    c->closing = true;
    if (c->client)
        c->client->conn = NULL;
    c->client = NULL;
    weir_stream_close(c->stream, false);
}

static void finish(struct weir_kube_client *k, const char *broken) {
    if (!k->asking)
        return;
    k->asking = false;
    if (k->text)
        explicit_bzero(k->text, strlen(k->text));
    k->text = weir_free(k->text);
    k->answer->end(k->arg, broken);
}

/* The connection is of no more use; what was asked on it is broken. */
static void lose(struct conn *c, const char *why) {
    struct weir_kube_client *k = c->client;

    let_go(c);
    if (k)
        finish(k, why);
}

/* ---- the codec ---- */

static int on_begin(void *arg, struct weir_cstream *cs) {
    return -1; /* a server's */
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct conn *c = arg;
    const struct weir_field *field;
    uint64_t seconds = 0;

    if (c->head.status < 200 || !c->client)
        return;
    field = weir_head_find(&c->head, WEIR_SLICE("retry-after"));
    if (field)
        (void)weir_slice_to_u64(field->value, &seconds); /* a date counts as none */
    c->client->answer->head(c->client->arg, c->head.status,
                            seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX);
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct conn *c = arg;

    if (c->client && c->client->answer->body(c->client->arg, bytes) != 0)
        lose(c, "an answer that makes no sense");
}

static void on_end(void *arg, struct weir_cstream *cs) {
}

static void on_over(void *arg, struct weir_cstream *cs) {
    struct conn *c = arg;
    struct weir_kube_client *k = c->client;

    c->cs = NULL;
    if (!k)
        return;
    if (c->codec->must_close)
        let_go(c);
    finish(k, NULL);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    struct conn *c = arg;

    c->cs = NULL;
    lose(c, "an answer that was cut short");
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

/* ---- sending ---- */

static int add(struct weir_head *head, const char *name, const char *value) {
    return weir_head_add(head, weir_slice_from_str(name), weir_slice_from_str(value));
}

static int request_head(struct conn *c, struct weir_head *head) {
    const struct weir_kube_client *k = c->client;
    const struct weir_kube_access *a = k->access;
    bool v6 = strchr(a->host, ':') != NULL;
    const char *authority = weir_arena_printf(&c->arena, "%s%s%s:%u", v6 ? "[" : "", a->host,
                                              v6 ? "]" : "", (unsigned)a->port);
    const char *token = a->token ? weir_arena_printf(&c->arena, "Bearer %s", a->token) : NULL;
    int r;

    weir_head_init(head, &c->arena);
    head->version = WEIR_HTTP_11;
    head->method_name = weir_slice_from_str(k->method);
    head->method = (uint8_t)weir_method_id(head->method_name);
    head->scheme = a->tls ? WEIR_SLICE("https") : WEIR_SLICE("http");
    head->authority = weir_slice_from_str(authority);
    head->target = weir_slice_from_str(k->path);
    head->body = k->type ? WEIR_BODY_LENGTH : WEIR_BODY_NONE;
    head->content_length = k->type ? k->content.len : UINT64_MAX;
    head->keep_alive = true;
    if (!authority || (a->token && !token))
        return -ENOMEM;
    r = add(head, "accept", "application/json");
    if (r == 0)
        r = add(head, "user-agent", "weir/" WEIR_VERSION);
    if (r == 0 && token)
        r = add(head, "authorization", token);
    return r || !k->type ? r : add(head, "content-type", k->type);
}

static void send(struct conn *c) {
    struct weir_kube_client *k = c->client;
    struct weir_head head;
    struct weir_bufq body;
    int r;

    weir_arena_reset(&c->arena);
    weir_head_init(&c->head, &c->arena);
    weir_bufq_init(&body, weir_loop_net(k->loop)->pool, 0);
    r = request_head(c, &head);
    if (r == 0)
        r = c->codec->ops->open(c->codec, c, &c->head, &c->cs);
    if (r == 0)
        r = c->codec->ops->send_head(c->codec, c->cs, &head, !k->type);
    if (r == 0 && k->type) {
        r = weir_bufq_append(&body, k->content);
        if (r == 0 && body.len > 0)
            r = c->codec->ops->send_data(c->codec, c->cs, &body);
        if (r == 0)
            r = c->codec->ops->send_end(c->codec, c->cs, NULL);
    }
    weir_bufq_deinit(&body);
    while (r == 0 && c->codec->want_pull) {
        r = c->codec->ops->pull(c->codec, &c->out);
        if (r == 0)
            r = weir_stream_write(c->stream, &c->out);
    }
    if (r)
        lose(c, r == -EPROTO ? "a request that cannot be written" : "no memory for a request");
}

/* ---- the stream ---- */

static void on_open(void *arg) {
    struct conn *c = arg;

    c->open = true;
    weir_stream_read_start(c->stream);
    if (c->client && c->client->asking)
        send(c);
}

/* Bytes between answers: a server that speaks unasked. */
static void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct conn *c = arg;
    size_t used = 0;
    int r;

    if (c->closing)
        return;
    c->feeding = true;
    r = c->cs ? c->codec->ops->feed(c->codec, chunk, bytes, &used) : WEIR_CODEC_FAULT;
    c->feeding = false;
    if (c->closing)
        return;
    if (r || used < bytes.len)
        lose(c, "an answer that is not HTTP");
    else if (!c->cs && c->client && c->client->asking)
        send(c);
}

static void on_eof(void *arg) {
    struct conn *c = arg;

    if (c->cs && !c->closing && c->codec->ops->eof(c->codec) == 0 && !c->cs)
        return;
    lose(c, "the connection was closed");
}

static void on_error(void *arg, struct weir_fault fault) {
    struct conn *c = arg;
    struct weir_stream_info info;
    const char *why = fault.kind == WEIR_FAULT_CONNECT_FAILED    ? "nobody answers there"
                      : fault.kind == WEIR_FAULT_TIMEOUT_CONNECT ? "nobody answers there in time"
                      : fault.kind == WEIR_FAULT_TLS             ? "TLS fails"
                                                                 : "the connection was lost";

    if (fault.kind == WEIR_FAULT_TLS) {
        weir_stream_info(c->stream, &info);
        if (info.fault_reason && strstr(info.fault_reason, "certificate"))
            why = "TLS fails: the API server's certificate is not the one to expect";
    }
    lose(c, why);
}

static void on_nothing(void *arg) {
}

static void on_closed(void *arg) {
    struct conn *c = arg;

    lose(c, "the loop ends");
    c->codec->ops->free(c->codec);
    weir_bufq_deinit(&c->out);
    weir_arena_deinit(&c->arena);
    weir_free(c);
}

static const struct weir_stream_events stream_events = {
    .open = on_open,
    .read = on_read,
    .eof = on_eof,
    .drain = on_nothing,
    .error = on_error,
    .closed = on_closed,
};

/* ---- dialling ---- */

static struct conn *conn_new(struct weir_kube_client *k) {
    struct conn *c = weir_calloc(1, sizeof(*c));
    struct weir_codec_params params = {
        .role = WEIR_ROLE_CLIENT,
        .events = &codec_events,
        .arg = c,
        .pool = weir_loop_net(k->loop)->pool,
        .limits = &weir_codec_limits_default,
    };

    if (!c)
        return NULL;
    c->client = k;
    weir_arena_init(&c->arena, 2048);
    weir_bufq_init(&c->out, params.pool, 0);
    if (weir_h1_new(&params, &c->codec) < 0)
        return weir_free(c);
    return c;
}

static void conn_free(struct conn *c) {
    c->codec->ops->free(c->codec);
    weir_free(c);
}

/* TLS over what was dialled; on failure the dialled stream is closed with the connection. */
static int secure(struct conn *c) {
    struct weir_kube_client *k = c->client;
    struct weir_tls_stream_params params = { .lower = c->stream,
                                             .pool = weir_loop_net(k->loop)->pool,
                                             .ctx = k->access->ctx,
                                             .sni = k->access->sni };
    struct weir_stream *s;
    int r = weir_tls_stream_new(&params, &s);

    if (r)
        return r;
    s->events = &stream_events;
    s->arg = c;
    c->stream = s;
    weir_stream_read_start(s);
    return 0;
}

static void dial(struct weir_kube_client *k, const struct weir_ip *ip) {
    struct weir_dial d = {
        .ip = *ip, .port = k->access->port, .timeout_us = CONNECT_US, .keepalive_s = KEEPALIVE_S
    };
    struct weir_net *net = weir_loop_net(k->loop);
    struct conn *c = conn_new(k);

    if (!c) {
        finish(k, "no memory for a connection");
        return;
    }
    if (net->ops->dial(net, &d, &c->stream) < 0) {
        conn_free(c);
        finish(k, "a connection cannot be made here");
        return;
    }
    c->stream->events = &stream_events;
    c->stream->arg = c;
    k->conn = c;
    if (k->access->tls && secure(c) < 0)
        lose(c, "TLS cannot be begun");
}

static void on_addresses(void *arg, const struct weir_dns_answer *answer) {
    struct lookup *lookup = arg;
    struct weir_kube_client *k = lookup->client;

    weir_free(lookup);
    if (!k)
        return;
    k->lookup = NULL;
    if (answer->r != 0 || answer->n == 0)
        finish(k, "its name cannot be resolved");
    else
        dial(k, &answer->ips[k->tried++ % answer->n]);
}

static void reach(struct weir_kube_client *k) {
    if (k->access->literal) {
        dial(k, &k->access->ip);
        return;
    }
    k->lookup = weir_calloc(1, sizeof(*k->lookup));
    if (!k->lookup || !k->dns) {
        k->lookup = weir_free(k->lookup);
        finish(k, "its name cannot be asked for");
        return;
    }
    k->lookup->client = k;
    weir_dns_ask(k->dns, k->access->host, on_addresses, k->lookup);
}

/* ---- the client ---- */

struct weir_kube_client *weir_kube_client_new(struct weir_loop *loop, struct weir_dns *dns,
                                              struct weir_kube_access *access,
                                              const struct weir_kube_answer *answer, void *arg) {
    struct weir_kube_client *k = weir_calloc(1, sizeof(*k));

    if (k)
        *k = (struct weir_kube_client){
            .loop = loop, .dns = dns, .access = access, .answer = answer, .arg = arg
        };
    return k;
}

/* Method, path, type and content, copied into one block. */
static int keep(struct weir_kube_client *k, const struct weir_kube_question *q) {
    size_t path = strlen(q->path) + 1, n = path + q->content.len + 1;

    k->text = weir_malloc(n);
    if (!k->text)
        return -ENOMEM;
    memcpy(k->text, q->path, path);
    if (q->content.len > 0)
        memcpy(k->text + path, q->content.ptr, q->content.len);
    k->text[n - 1] = '\0';
    k->method = q->method; /* words of the caller's code */
    k->type = q->type;
    k->path = k->text;
    k->content = weir_slice_make(k->text + path, q->content.len);
    return 0;
}

int weir_kube_client_ask(struct weir_kube_client *k, const struct weir_kube_question *question) {
    int r;

    if (k->asking)
        return -EBUSY;
    r = keep(k, question);
    if (r)
        return r;
    k->asking = true;
    if (k->conn && k->conn->open && !k->conn->feeding)
        send(k->conn);
    else if (!k->conn && !k->lookup)
        reach(k);
    return 0;
}

void weir_kube_client_cut(struct weir_kube_client *k, const char *why) {
    if (k->lookup)
        k->lookup->client = NULL;
    k->lookup = NULL;
    if (k->conn)
        let_go(k->conn);
    finish(k, why);
}

struct weir_kube_client *weir_kube_client_free(struct weir_kube_client *k) {
    if (!k)
        return NULL;
    k->asking = false;
    weir_kube_client_cut(k, NULL);
    if (k->text)
        explicit_bzero(k->text, strlen(k->text));
    weir_free(k->text);
    return weir_free(k);
}
