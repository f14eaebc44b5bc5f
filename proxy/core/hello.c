/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hello.h"

#include "core/admit.h"
#include "core/txn.h"
#include "http/client_hello.h"

/* RFC 8446 6 */
enum { ALERT_DECODE_ERROR = 50, ALERT_UNRECOGNIZED_NAME = 112 };

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

static void hello_came(struct weir_conn *c, const struct weir_client_hello *hello) {
    struct weir_port *port = weir_runtime_port(c->worker->epoch->rt, c->port);
    struct weir_parent *p = port ? weir_port_listener(port, hello->sni) : NULL;

    if (!p) {
        weir_count(&c->worker->metrics, WEIR_C_TLS_UNKNOWN_NAME, 1);
        refuse(c, ALERT_UNRECOGNIZED_NAME);
        return;
    }
    (void)weir_down_parent(c); /* of this epoch; from here on it is the one meant */
    c->parent = p;
    if (weir_handshake_start(c, p->tls) < 0)
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
