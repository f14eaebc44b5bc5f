/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"
#include "tlspeer.h"

static struct weir_snapshot *snapshot(const char *yaml) {
    struct weir_source source = { "test.yaml", yaml, strlen(yaml) };
    struct weir_problems problems = { 0 };
    struct weir_snapshot *s = NULL;
    int r = weir_snapshot_build(&source, 1, &s, &problems);

    for (uint32_t i = 0; i < problems.n && r != 0; i++)
        print_error("test.yaml:%u:%u: %s: %s\n", problems.items[i].place.line,
                    problems.items[i].place.col, problems.items[i].field,
                    problems.items[i].message);
    weir_problems_deinit(&problems);
    assert_int_equal(r, 0);
    return s;
}

static struct weir_tls_ctx *ref(struct weir_tls_ctx *ctx) {
    return ctx ? weir_tls_ctx_ref(ctx) : NULL;
}

static struct weir_seal *sessions(void) {
    struct weir_seal *seal = NULL;
    const char *why;

    assert_int_equal(weir_seal_new(WEIR_SLICE("a secret of 32 characters or more"), &seal, &why),
                     0);
    return seal;
}

static void set_servers(struct flow *f, struct weir_proxy_spec *spec) {
    unsigned n = f->options.n_to ? f->options.n_to : 1;

    for (unsigned i = 0; i < n; i++) {
        snprintf(f->hosts[i], sizeof(f->hosts[i]), "10.0.0.%u", i + 1);
        f->to[i] = (struct weir_to){ .scheme = f->options.scheme,
                                     .host = f->options.host ? f->options.host : f->hosts[i],
                                     .port = 80 };
    }
    spec->to = f->to;
    spec->n_to = n;
}

/* The names of a flow are known by what the test says of them. */
static const struct weir_ip *lookup(void *arg, const char *host, uint32_t *ret_n) {
    const struct flow *f = arg;

    if (!f->options.host || strcmp(host, f->options.host) != 0)
        return NULL;
    *ret_n = f->n_addresses;
    return f->addresses;
}

void flow_address(struct flow *f, const char *text) {
    assert_true(f->n_addresses < WEIR_ARRAY_LEN(f->addresses));
    assert_int_equal(weir_parse_ip(text, &f->addresses[f->n_addresses++]), 0);
}

struct weir_runtime *flow_runtime(struct flow *f, const char *yaml) {
    struct weir_snapshot *s = snapshot(yaml);
    struct weir_runtime_params params = {
        .snapshot = s,
        .tls = { .server = ref(f->tls.server),
                 .to = ref(f->tls.to),
                 .mesh_server = ref(f->tls.mesh_server),
                 .mesh_client = ref(f->tls.mesh_client),
                 .mesh_client_tcp = ref(f->tls.mesh_client_tcp),
                 .sessions = sessions() },
        .names = { lookup, f },
    };
    struct weir_runtime *rt = NULL;
    char *why = NULL;

    s->generation = ++f->generation;
    s->proxy.access_log = WEIR_LOG_TEXT;
    if (f->options.dir == WEIR_DIR_REVERSE) {
        s->proxy.listen = ":80";
        s->proxy.to_sni = f->options.sni ? f->options.sni : f->options.host ? "" : "server";
        set_servers(f, &s->proxy);
    }
    assert_int_equal(weir_runtime_new(&params, &rt, &why), 0);
    weir_snapshot_unref(s);
    return rt;
}

static void sink(void *arg, struct weir_bufq *lines) {
    struct flow *f = arg;

    (void)weir_bufq_move(&f->lines, lines, lines->len);
}

void flow_open(struct flow *f, const struct flow_options *options) {
    static const uint64_t seed[2] = { 1, 2 };

    memset(f, 0, sizeof(*f));
    f->options = *options;
    if (options->tls)
        f->tls = *options->tls;
    f->net = mem_net_new();
    f->listener.dir = options->dir;
    weir_quota_init(&f->quota, seed, 0);
    assert_int_equal(weir_worker_init(&f->worker, mem_net(f->net), &f->quota, seed, 0), 0);
    f->worker.access_sink = sink;
    f->worker.access_arg = f;
    weir_bufq_init(&f->lines, mem_net(f->net)->pool, 0);
    weir_worker_offer(&f->worker, flow_runtime(f, options->yaml));
    assert_int_equal(weir_worker_take(&f->worker), 0);
}

void flow_reverse(struct flow *f, const char *yaml) {
    flow_open(f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE, .yaml = yaml });
}

void flow_start(struct flow *f, enum weir_direction dir, const char *yaml) {
    flow_start_tls(f, dir, yaml, NULL);
}

void flow_start_tls(struct flow *f, enum weir_direction dir, const char *yaml,
                    const struct weir_tls_set *tls) {
    flow_open(f, &(struct flow_options){ .dir = dir, .yaml = yaml, .tls = tls });
}

void flow_reload(struct flow *f, const char *yaml) {
    weir_worker_offer(&f->worker, flow_runtime(f, yaml));
    mem_post(f->net);
    flow_run(f);
}

void flow_end(struct flow *f) {
    mem_stop(f->net);
    h2_free_all(f);
    tls_free_all(f);
    assert_int_equal(mem_n_streams(f->net), 0);
    assert_int_equal(flow_count(f, WEIR_C_REQUESTS_ACTIVE), 0);
    assert_int_equal(flow_count(f, WEIR_C_DOWN_ACTIVE), 0);
    assert_int_equal(flow_count(f, WEIR_C_UP_ACTIVE), 0);
    assert_int_equal(flow_count(f, WEIR_C_UP_IDLE), 0);
    assert_int_equal(f->quota.connections, 0);
    assert_int_equal(f->quota.handshakes, 0);
    assert_int_equal(f->worker.wheel.linked, !weir_list_empty(&f->worker.drain_deadline.node));
    weir_bufq_deinit(&f->lines);
    weir_worker_deinit(&f->worker);
    weir_quota_deinit(&f->quota);
    mem_net_free(f->net);
    weir_tls_set_deinit(&f->tls);
}

void flow_run(struct flow *f) {
    bool moved;

    do {
        mem_run(f->net);
        moved = h2_pump_all(f);
        moved = tls_pump_all(f) || moved;
    } while (moved);
}

void flow_wait(struct flow *f, uint64_t us) {
    flow_run(f);
    for (; us > WEIR_TICK_US; us -= WEIR_TICK_US) {
        mem_advance(f->net, WEIR_TICK_US);
        flow_run(f);
    }
    mem_advance(f->net, us);
    flow_run(f);
}

struct mem_conn *flow_client(struct flow *f) {
    struct mem_conn *c = mem_client_connect(f->net, &f->listener);

    weir_parse_ip("192.0.2.7", &mem_info(c)->remote);
    mem_info(c)->remote_port = 4711;
    return c;
}

struct mem_conn *flow_server(struct flow *f) {
    struct mem_conn *s;

    flow_run(f);
    s = mem_next_dial(f->net);
    assert_non_null(s);
    mem_dial_accept(s);
    flow_run(f);
    return s;
}

void flow_send(struct flow *f, struct mem_conn *c, const char *text) {
    mem_send(c, text);
    flow_run(f);
}

uint64_t flow_count(struct flow *f, enum weir_counter c) {
    return atomic_load(&f->worker.metrics.counters[c]);
}

uint64_t flow_faults(struct flow *f, struct weir_fault fault) {
    return atomic_load(&f->worker.metrics.faults[fault.side][fault.kind]);
}

const char *flow_lines(struct flow *f) {
    static char text[65536];
    struct iovec iov[64];
    int n = weir_bufq_peek(&f->lines, iov, 64);
    size_t len = 0;

    for (int i = 0; i < n && len + iov[i].iov_len < sizeof(text); i++) {
        memcpy(text + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    text[len] = '\0';
    return text;
}

void flow_expect_starts(struct mem_conn *c, const char *text) {
    const char *got = mem_received(c);

    if (strncmp(got, text, strlen(text)) != 0)
        fail_msg("expected to start with:\n%s\ngot:\n%s", text, got);
}

void flow_expect_text(const char *got, const char *holds) {
    if (!got || !strstr(got, holds))
        fail_msg("expected to hold:\n%s\ngot:\n%s", holds, got ? got : "(nothing)");
}

void flow_expect_holds(struct mem_conn *c, const char *text) {
    flow_expect_text(mem_received(c), text);
}

void flow_expect_lacks(struct mem_conn *c, const char *text) {
    const char *got = mem_received(c);

    if (strstr(got, text))
        fail_msg("expected not to hold:\n%s\ngot:\n%s", text, got);
}
