/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hello.h"

#include "base/mem.h"
#include "core/admit.h"
#include "core/gateway.h"
#include "core/relay.h"
#include "core/txn.h"
#include "http/client_hello.h"

/* RFC 8446 6 */
enum {
    ALERT_DECODE_ERROR = 50,
    ALERT_ACCESS_DENIED = 49,
    ALERT_INTERNAL = 80,
    ALERT_UNRECOGNIZED_NAME = 112,
};

/* Says why in TLS's own words and ends the connection. */
static void refuse(struct weir_conn *c, char alert) {
    const char record[] = { 21, 3, 3, 0, 2, 2, alert };
    struct weir_metrics *m = &c->worker->metrics;
    struct weir_bufq q;

    weir_count(m, WEIR_C_TLS_FAILED, 1);
    weir_count_fault(m, WEIR_FAULT(DOWNSTREAM, TLS));
    weir_bufq_init(&q, c->worker->pool, 0);
    if (weir_bufq_append(&q, weir_slice_make(record, sizeof(record))) == 0)
        (void)weir_stream_write(c->stream, &q);
    weir_bufq_deinit(&q);
    weir_conn_linger(c);
}

static void refuse_name(struct weir_conn *c) {
    weir_count(&c->worker->metrics, WEIR_C_TLS_UNKNOWN_NAME, 1);
    refuse(c, ALERT_UNRECOGNIZED_NAME);
}

static const struct weir_tls_choice *choice_of(const struct weir_parent *p, struct weir_slice sni) {
    return weir_hosts_find(&p->names, sni);
}

/* One backend of the route by weight; NULL = none that there is. */
static struct weir_cluster *pick(struct weir_conn *c, const struct weir_tls_choice *choice) {
    const struct weir_backend_ref *ref =
        weir_route_backend(&choice->route->rules[0], weir_worker_random(c->worker));

    return ref && ref->service_port ? weir_runtime_cluster(c->worker->epoch->rt, ref->service_port)
                                    : NULL;
}

/* The server is to get everything from the ClientHello on. */
static void pass(struct weir_conn *c, const struct weir_tls_choice *choice,
                 const struct weir_client_hello *hello) {
    struct weir_cluster *cluster = pick(c, choice);
    const char *policy = "";

    c->own_tls = true;
    c->name = weir_strndup(hello->sni.ptr, hello->sni.len);
    c->info.sni = c->name;
    if (c->name && !weir_judge_relay(c, &policy)) {
        weir_relay_log(c, WEIR_FAULT(DOWNSTREAM, DENIED), policy);
        refuse(c, ALERT_ACCESS_DENIED);
    } else if (!c->name || !cluster) {
        weir_count_fault(&c->worker->metrics, WEIR_FAULT(LOCAL, NO_BACKEND));
        refuse(c, ALERT_INTERNAL);
    } else {
        weir_relay_start(c, weir_worker_target(c->worker, cluster));
    }
}

void weir_hello_opened(struct weir_conn *c) {
    struct weir_parent *p = weir_down_parent(c);
    const struct weir_tls_choice *choice =
        p ? choice_of(p, weir_slice_from_str(c->info.sni)) : NULL;
    struct weir_cluster *cluster = choice ? pick(c, choice) : NULL;
    const char *policy = "";

    if (!choice) {
        weir_conn_fail(c, WEIR_FAULT(LOCAL, NO_ROUTE));
    } else if (!weir_judge_relay(c, &policy)) {
        weir_relay_log(c, WEIR_FAULT(DOWNSTREAM, DENIED), policy);
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, DENIED));
    } else if (!cluster) {
        weir_conn_fail(c, WEIR_FAULT(LOCAL, NO_BACKEND));
    } else {
        weir_relay_start(c, weir_worker_target(c->worker, cluster));
    }
}

static void hello_came(struct weir_conn *c, const struct weir_client_hello *hello) {
    struct weir_port *port = weir_runtime_port(c->worker->epoch->rt, c->port);
    struct weir_parent *p = port ? weir_port_listener(port, hello->sni) : NULL;

    const struct weir_tls_choice *choice = p && p->opaque ? choice_of(p, hello->sni) : NULL;

    if (!p || (p->opaque && !choice)) {
        refuse_name(c);
        return;
    }
    (void)weir_down_parent(c); /* of this epoch; from here on it is the one meant */
    c->parent = p;
    if (p->passthrough)
        pass(c, choice, hello);
    else if (weir_handshake_start(c, p->tls) < 0)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
}

static void look(struct weir_conn *c) {
    char join[WEIR_CLIENT_HELLO_MAX];
    struct weir_slice bytes = weir_down_held(c);
    struct weir_client_hello hello;
    int r = bytes.ptr ? weir_client_hello_parse(bytes, join, &hello) : -EINVAL;

    if (r == 0)
        hello_came(c, &hello);
    else if (r == -EAGAIN && bytes.len < WEIR_CLIENT_HELLO_MAX)
        weir_conn_update_reading(c);
    else if (bytes.ptr && bytes.ptr[0] != 0x16)
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, TLS)); /* an alert would mean nothing to it */
    else
        refuse(c, ALERT_DECODE_ERROR);
}

void weir_hello_begin(struct weir_conn *c) {
    c->state = WEIR_CONN_HELLO;
    weir_worker_deadline(c->worker, &c->deadline,
                         c->since + weir_worker_limits(c->worker)->handshake_timeout_us);
    if (c->held)
        look(c);
    else
        weir_conn_update_reading(c);
}

void weir_hello_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes) {
    if (weir_conn_hold(c, chunk, bytes) < 0)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
    else
        look(c);
}
