/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted and how it is shown: the table of metrics and the Prometheus text format (0.0.4).
 * A worker writes its own cells, the scrape reads all workers' cells with relaxed loads and adds
 * them up; nothing is locked and a scrape may see one request half counted. It decides nothing from
 * the numbers.
 */
#include "obs/metrics.h"

#include "obs/expo.h"

#define LOAD(cell) atomic_load_explicit(&(cell), memory_order_relaxed)

/* Upper bounds, inclusive; the last bucket is +Inf. */
static const uint64_t bounds_us[WEIR_BUCKETS - 1] = {
    5000,   10000,  25000,   50000,   75000,   100000,  250000,
    500000, 750000, 1000000, 2500000, 5000000, 7500000, 10000000,
};

static const struct weir_family counter_table[WEIR_COUNTERS] = {
    [WEIR_C_DOWN_CONNECTIONS] = { "weir_downstream_connections_total", "counter",
                                  "Connections accepted." },
    [WEIR_C_DOWN_ACTIVE] = { "weir_downstream_connections_active", "gauge",
                             "Accepted connections open now." },
    [WEIR_C_DOWN_BYTES_IN] = { "weir_downstream_received_bytes_total", "counter",
                               "Bytes read from clients." },
    [WEIR_C_DOWN_BYTES_OUT] = { "weir_downstream_sent_bytes_total", "counter",
                                "Bytes written to clients." },
    [WEIR_C_UP_CONNECTIONS] = { "weir_upstream_connections_total", "counter",
                                "Connections dialled to endpoints." },
    [WEIR_C_UP_ACTIVE] = { "weir_upstream_connections_active", "gauge",
                           "Dialled connections open now." },
    [WEIR_C_UP_IDLE] = { "weir_upstream_connections_idle", "gauge",
                         "Dialled connections waiting in a pool." },
    [WEIR_C_UP_WAITING] = { "weir_upstream_waiting", "gauge",
                            "Requests that wait for a connection to an endpoint that has as many "
                            "as it may." },
    [WEIR_C_UP_WORN_OUT] = { "weir_upstream_connections_worn_out_total", "counter",
                             "Dialled connections retired for their lifetime or number of "
                             "requests." },
    [WEIR_C_UP_CONNECT_FAILED] = { "weir_upstream_connect_failures_total", "counter",
                                   "Dials that did not become a usable connection." },
    [WEIR_C_UP_BYTES_IN] = { "weir_upstream_received_bytes_total", "counter",
                             "Bytes read from endpoints." },
    [WEIR_C_UP_BYTES_OUT] = { "weir_upstream_sent_bytes_total", "counter",
                              "Bytes written to endpoints." },
    [WEIR_C_REQUESTS] = { "weir_requests_total", "counter", "Requests begun." },
    [WEIR_C_REQUESTS_ACTIVE] = { "weir_requests_active", "gauge", "Requests being served now." },
    [WEIR_C_RETRIES] = { "weir_retries_total", "counter",
                         "Attempts after the first of a request." },
    [WEIR_C_RETRIES_DENIED] = { "weir_retries_denied_total", "counter",
                                "Retries a route asked for and the retry budget did not allow." },
    [WEIR_C_RELAYS] = { "weir_relays_total", "counter", "Connections relayed as opaque bytes." },
    [WEIR_C_DETECT_WAITS] = { "weir_detect_waits_total", "counter",
                              "Connections whose client did not speak within detectTimeout." },
    [WEIR_C_DETECT_KNOWN] = { "weir_detect_server_first_total", "counter",
                              "Connections to ports where the server is known to speak first." },
    [WEIR_C_DETECT_CONTRARY] = { "weir_detect_contrary_total", "counter",
                                 "Clients that spoke first where the server was expected to." },
    [WEIR_C_DETECT_TOLD] = { "weir_detect_told_total", "counter",
                             "Connections to ports of which the node knew who speaks first." },
    [WEIR_C_TLS_HANDSHAKES] = { "weir_tls_handshakes_total", "counter",
                                "TLS handshakes completed." },
    [WEIR_C_TLS_FAILED] = { "weir_tls_handshake_failures_total", "counter",
                            "TLS handshakes that failed." },
    [WEIR_C_TLS_RESUMED] = { "weir_tls_resumptions_total", "counter",
                             "TLS handshakes of clients that resumed a session by ticket." },
    [WEIR_C_TLS_UNKNOWN_NAME] = { "weir_tls_unknown_name_total", "counter",
                                  "TLS clients that asked for a name no listener has." },
    [WEIR_C_LISTEN_FAILED] = { "weir_listen_failures_total", "counter",
                               "Addresses that a new configuration asked for and no worker could "
                               "listen on." },
    [WEIR_C_IDENTITY_REFUSED] = { "weir_identity_refused_total", "counter",
                                  "Peers whose certificate was valid but not acceptable." },
    [WEIR_C_AUTHZ_DENIED] = { "weir_authorization_denied_total", "counter",
                              "Requests and relays that an AuthorizationPolicy denied." },
    [WEIR_C_AUTHZ_WOULD_DENY] = { "weir_authorization_would_deny_total", "counter",
                                  "Those that one in audit mode would have denied." },
    [WEIR_C_AUTHZ_AUDITED] = { "weir_authorization_audited_total", "counter",
                               "Those that one with action AUDIT matched." },
    [WEIR_C_MIRRORS] = { "weir_mirrors_total", "counter", "Copies of requests begun." },
    [WEIR_C_MIRRORS_LOST] = { "weir_mirrors_lost_total", "counter",
                              "Copies of requests that were not answered in full." },
    [WEIR_C_DOWN_SHED] = { "weir_downstream_connections_shed_total", "counter",
                           "Idle or silent connections closed to make room for others." },
    [WEIR_C_DOWN_IDLE_CLOSED] = { "weir_downstream_idle_closed_total", "counter",
                                  "Connections closed because nothing ran on them for "
                                  "idleTimeout." },
    [WEIR_C_HANDSHAKES_WAITED] = { "weir_tls_handshakes_waited_total", "counter",
                                   "TLS handshakes that waited because as many as are allowed were "
                                   "in progress." },
    [WEIR_C_PIPELINES_HELD] = { "weir_pipelines_held_total", "counter",
                                "Times reading stopped because more requests were sent than "
                                "answered." },
    [WEIR_C_PIPES_FULL] = { "weir_pipes_full_total", "counter",
                            "Times a sender was held back at pipeBytes of one exchange." },
    [WEIR_C_CONNS_FULL] = { "weir_connection_buffers_full_total", "counter",
                            "Times a sender was held back at connectionBytes of one connection." },
    [WEIR_C_FLOOD_RESETS] = { "weir_floods_resets_total", "counter",
                              "HTTP/2 connections ended for resets." },
    [WEIR_C_FLOOD_PINGS] = { "weir_floods_pings_total", "counter",
                             "HTTP/2 connections ended for PING frames." },
    [WEIR_C_FLOOD_SETTINGS] = { "weir_floods_settings_total", "counter",
                                "HTTP/2 connections ended for SETTINGS frames." },
    [WEIR_C_FLOOD_EMPTY] = { "weir_floods_empty_total", "counter",
                             "HTTP/2 connections ended for frames without content." },
    [WEIR_C_FLOOD_CONTINUATIONS] = { "weir_floods_continuations_total", "counter",
                                     "HTTP/2 connections ended for CONTINUATION frames." },
    [WEIR_C_FLOOD_OTHER] = { "weir_floods_other_total", "counter",
                             "HTTP/2 connections ended for other frames without progress." },
    [WEIR_C_ACCESS_LOST] = { "weir_access_log_lost_total", "counter",
                             "Access lines dropped because standard output was slow." },
};

static const struct weir_family histogram_table[WEIR_HISTOGRAMS] = {
    [WEIR_H_REQUEST_US] = { "weir_request_duration_seconds", "histogram",
                            "First byte of a request to last byte of its response." },
    [WEIR_H_UPSTREAM_US] = { "weir_upstream_duration_seconds", "histogram",
                             "Request sent to an endpoint to head of its response." },
    [WEIR_H_CONNECT_US] = { "weir_upstream_connect_seconds", "histogram",
                            "Dial to a usable connection, TLS included." },
};

static const char *const class_names[6] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };

static const char *const side_names[3] = {
    [WEIR_SIDE_LOCAL] = "local",
    [WEIR_SIDE_DOWNSTREAM] = "downstream",
    [WEIR_SIDE_UPSTREAM] = "upstream",
};

static const char *const kind_names[WEIR_FAULT_KINDS] = {
    [WEIR_FAULT_NONE] = "none",
    [WEIR_FAULT_BAD_REQUEST_LINE] = "bad_request_line",
    [WEIR_FAULT_BAD_FIELD] = "bad_field",
    [WEIR_FAULT_BAD_FRAMING] = "bad_framing",
    [WEIR_FAULT_BAD_AUTHORITY] = "bad_authority",
    [WEIR_FAULT_BAD_TARGET] = "bad_target",
    [WEIR_FAULT_BAD_VERSION] = "bad_version",
    [WEIR_FAULT_BAD_PSEUDO] = "bad_pseudo",
    [WEIR_FAULT_BAD_RESPONSE] = "bad_response",
    [WEIR_FAULT_METHOD_UNKNOWN] = "method_unknown",
    [WEIR_FAULT_EXPECTATION] = "expectation",
    [WEIR_FAULT_CONNECT_REFUSED] = "connect_refused",
    [WEIR_FAULT_MISDIRECTED] = "misdirected",
    [WEIR_FAULT_NO_UPGRADE] = "no_upgrade",
    [WEIR_FAULT_TARGET_TOO_LONG] = "target_too_long",
    [WEIR_FAULT_HEAD_TOO_LARGE] = "head_too_large",
    [WEIR_FAULT_TOO_MANY_FIELDS] = "too_many_fields",
    [WEIR_FAULT_BODY_TOO_LARGE] = "body_too_large",
    [WEIR_FAULT_TOO_MANY_INFORMATIONAL] = "too_many_informational",
    [WEIR_FAULT_FLOOD] = "flood",
    [WEIR_FAULT_LIMIT_CONNECTIONS] = "limit_connections",
    [WEIR_FAULT_LIMIT_SOURCE] = "limit_source",
    [WEIR_FAULT_LIMIT_STREAMS] = "limit_streams",
    [WEIR_FAULT_LIMIT_MEMORY] = "limit_memory",
    [WEIR_FAULT_TIMEOUT_HEAD] = "timeout_head",
    [WEIR_FAULT_TIMEOUT_IDLE] = "timeout_idle",
    [WEIR_FAULT_TIMEOUT_BODY] = "timeout_body",
    [WEIR_FAULT_TIMEOUT_CONNECT] = "timeout_connect",
    [WEIR_FAULT_TIMEOUT_HANDSHAKE] = "timeout_handshake",
    [WEIR_FAULT_TIMEOUT_REQUEST] = "timeout_request",
    [WEIR_FAULT_TIMEOUT_BACKEND] = "timeout_backend",
    [WEIR_FAULT_CONNECT_FAILED] = "connect_failed",
    [WEIR_FAULT_RESET] = "reset",
    [WEIR_FAULT_EOF] = "eof",
    [WEIR_FAULT_GOAWAY] = "goaway",
    [WEIR_FAULT_PROTOCOL] = "protocol",
    [WEIR_FAULT_TLS] = "tls",
    [WEIR_FAULT_IDENTITY] = "identity",
    [WEIR_FAULT_DENIED] = "denied",
    [WEIR_FAULT_NO_ROUTE] = "no_route",
    [WEIR_FAULT_NO_BACKEND] = "no_backend",
    [WEIR_FAULT_NO_ENDPOINT] = "no_endpoint",
    [WEIR_FAULT_LOOP] = "loop",
    [WEIR_FAULT_DRAINING] = "draining",
    [WEIR_FAULT_INTERNAL] = "internal",
};

/* The worker is the only writer: no read-modify-write instruction is needed. */
static void bump(atomic_uint_fast64_t *cell, uint64_t n) {
    uint64_t was = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, was + n, memory_order_relaxed);
}

void weir_count_response(struct weir_metrics *m, unsigned status) {
    unsigned class = status / 100;
    bump(&m->responses[class > 5 ? 5 : class], 1); /* beyond 599: RFC 9110 15 says treat as 5xx */
}

void weir_observe(struct weir_metrics *m, enum weir_histogram_id h, uint64_t us) {
    unsigned i = 0;
    while (i < WEIR_BUCKETS - 1 && us > bounds_us[i])
        i++;
    bump(&m->histograms[h].buckets[i], 1);
    bump(&m->histograms[h].sum_us, us);
}

/* What one scrape reads. */
struct scrape {
    struct weir_pen pen;
    struct weir_metrics *const *workers;
    unsigned n_workers;
};

/* The sum of one cell over all workers; gauges may be below zero in one of them, so it wraps around
 * on purpose. */
#define SUM(s, ret_sum, cell)                                                                      \
    do {                                                                                           \
        *(ret_sum) = 0;                                                                            \
        for (unsigned w_ = 0; w_ < (s)->n_workers; w_++)                                           \
            *(ret_sum) += LOAD((s)->workers[w_]->cell);                                            \
    } while (0)

static void expose_counters(struct scrape *s) {
    for (unsigned c = 0; c < WEIR_COUNTERS; c++) {
        uint64_t sum;
        SUM(s, &sum, counters[c]);
        weir_expo_head(&s->pen, &counter_table[c]);
        weir_pen_str(&s->pen, counter_table[c].name);
        weir_pen_lit(&s->pen, " ");
        weir_pen_i64(&s->pen, (int64_t)sum);
        weir_pen_lit(&s->pen, "\n");
    }
}

static void expose_responses(struct scrape *s) {
    weir_expo_head(&s->pen, &(struct weir_family){
                                "weir_responses_total", "counter",
                                "Finished requests by class of the status sent to the client." });
    for (unsigned class = 0; class < 6; class ++) {
        uint64_t sum;
        SUM(s, &sum, responses[class]);
        weir_pen_lit(&s->pen, "weir_responses_total{class=\"");
        weir_pen_str(&s->pen, class_names[class]);
        weir_pen_lit(&s->pen, "\"} ");
        weir_pen_u64(&s->pen, sum);
        weir_pen_lit(&s->pen, "\n");
    }
}

/* On which sides a limit of docs/limits.md shows as a fault of that kind. */
#define LOCAL      (1u << WEIR_SIDE_LOCAL)
#define DOWNSTREAM (1u << WEIR_SIDE_DOWNSTREAM)
#define UPSTREAM   (1u << WEIR_SIDE_UPSTREAM)
static const uint8_t limits[WEIR_FAULT_KINDS] = {
    [WEIR_FAULT_BAD_FRAMING] = DOWNSTREAM | UPSTREAM,
    [WEIR_FAULT_TARGET_TOO_LONG] = DOWNSTREAM,
    [WEIR_FAULT_HEAD_TOO_LARGE] = DOWNSTREAM | UPSTREAM,
    [WEIR_FAULT_TOO_MANY_FIELDS] = DOWNSTREAM | UPSTREAM,
    [WEIR_FAULT_BODY_TOO_LARGE] = DOWNSTREAM,
    [WEIR_FAULT_TOO_MANY_INFORMATIONAL] = UPSTREAM,
    [WEIR_FAULT_FLOOD] = DOWNSTREAM | UPSTREAM,
    [WEIR_FAULT_LIMIT_CONNECTIONS] = LOCAL,
    [WEIR_FAULT_LIMIT_SOURCE] = LOCAL,
    [WEIR_FAULT_LIMIT_STREAMS] = DOWNSTREAM,
    [WEIR_FAULT_LIMIT_MEMORY] = LOCAL,
    [WEIR_FAULT_TIMEOUT_HEAD] = DOWNSTREAM | UPSTREAM,
    [WEIR_FAULT_TIMEOUT_IDLE] = LOCAL,
    [WEIR_FAULT_TIMEOUT_BODY] = DOWNSTREAM | UPSTREAM,
    [WEIR_FAULT_TIMEOUT_CONNECT] = UPSTREAM,
    [WEIR_FAULT_TIMEOUT_HANDSHAKE] = DOWNSTREAM,
    [WEIR_FAULT_TIMEOUT_REQUEST] = LOCAL,
    [WEIR_FAULT_TIMEOUT_BACKEND] = LOCAL,
};

static void expose_fault(struct scrape *s, unsigned side, unsigned kind) {
    uint64_t sum;
    SUM(s, &sum, faults[side][kind]);
    /* Sides times kinds would be a hundred idle series from every pod; what a limit does is always told. */
    if (sum == 0 && !(limits[kind] & 1u << side))
        return;
    weir_pen_lit(&s->pen, "weir_faults_total{side=\"");
    weir_pen_str(&s->pen, side_names[side]);
    weir_pen_lit(&s->pen, "\",kind=\"");
    weir_pen_str(&s->pen, kind_names[kind]);
    weir_pen_lit(&s->pen, "\"} ");
    weir_pen_u64(&s->pen, sum);
    weir_pen_lit(&s->pen, "\n");
}

static void expose_faults(struct scrape *s) {
    weir_expo_head(
        &s->pen,
        &(struct weir_family){ "weir_faults_total", "counter",
                               "What ended or changed a request or connection, by whose doing it "
                               "was; those of limits always, another pair with its first fault." });
    for (unsigned side = 0; side < 3; side++) {
        for (unsigned kind = WEIR_FAULT_NONE + 1; kind < WEIR_FAULT_KINDS; kind++)
            expose_fault(s, side, kind);
    }
}

static void expose_bucket(struct weir_pen *pen, const char *name, unsigned i, uint64_t below) {
    weir_pen_str(pen, name);
    weir_pen_lit(pen, "_bucket{le=\"");
    if (i < WEIR_BUCKETS - 1)
        weir_pen_seconds(pen, bounds_us[i]);
    else
        weir_pen_lit(pen, "+Inf");
    weir_pen_lit(pen, "\"} ");
    weir_pen_u64(pen, below);
    weir_pen_lit(pen, "\n");
}

static void expose_histogram(struct scrape *s, unsigned h) {
    const char *name = histogram_table[h].name;
    uint64_t below = 0, sum;
    weir_expo_head(&s->pen, &histogram_table[h]);
    for (unsigned i = 0; i < WEIR_BUCKETS; i++) {
        SUM(s, &sum, histograms[h].buckets[i]);
        below += sum;
        expose_bucket(&s->pen, name, i, below);
    }
    SUM(s, &sum, histograms[h].sum_us);
    weir_pen_str(&s->pen, name);
    weir_pen_lit(&s->pen, "_sum ");
    weir_pen_seconds(&s->pen, sum);
    weir_pen_lit(&s->pen, "\n");
    weir_pen_str(&s->pen, name);
    /* The buckets were read one after the other: their own sum keeps count and +Inf equal. */
    weir_expo_sample(&s->pen, "_count", "", below);
}

static void expose_results(struct weir_pen *pen, struct weir_family m, uint64_t done,
                           uint64_t failed) {
    weir_expo_head(pen, &m);
    weir_expo_sample(pen, m.name, "{result=\"success\"}", done);
    weir_expo_sample(pen, m.name, "{result=\"failure\"}", failed);
}

static void expose_svid(struct weir_pen *pen, const struct weir_process_metrics *p) {
    if (!p->has_svid)
        return;
    weir_expo_one(pen,
                  WEIR_FAMILY("weir_svid_held", "gauge",
                              "1 while an X.509-SVID that is valid is held; 0: mTLS fails."),
                  p->svid_held);
    expose_results(pen,
                   WEIR_FAMILY("weir_svid_requests_total", "counter",
                               "Requests for an X.509-SVID that were answered, or were not."),
                   p->svid_arrived, p->svid_failed);
}

static void expose_config(struct weir_pen *pen, const struct weir_process_metrics *p) {
    weir_expo_one(
        pen, WEIR_FAMILY("weir_config_generation", "gauge", "Generation of the snapshot in force."),
        p->generation);
    expose_results(pen,
                   WEIR_FAMILY("weir_config_reloads_total", "counter", "Configuration reloads."),
                   p->reloads, p->reload_failures);
    if (p->cert_not_after_s) {
        weir_expo_head(
            pen,
            &WEIR_FAMILY("weir_certificate_expiry_timestamp_seconds", "gauge",
                         "When the certificate in use that ends first does so, since the epoch."));
        weir_pen_lit(pen, "weir_certificate_expiry_timestamp_seconds ");
        weir_pen_i64(pen, p->cert_not_after_s);
        weir_pen_lit(pen, "\n");
    }
    expose_results(
        pen,
        WEIR_FAMILY("weir_certificate_reloads_total", "counter",
                    "Reloads, each of which reads certificates again; failure: refused because of "
                    "one."),
        p->cert_reloads, p->cert_reload_failures);
    expose_svid(pen, p);
    weir_expo_one(pen,
                  WEIR_FAMILY("weir_tls_ticket_rotations_total", "counter",
                              "New keys for TLS session tickets since the start."),
                  p->ticket_rotations);
    weir_expo_one(pen, WEIR_FAMILY("weir_draining", "gauge", "1 while shutting down."),
                  p->draining);
    weir_expo_one(
        pen,
        WEIR_FAMILY("weir_original_destination_unknown_total", "counter",
                    "Connections refused because their original destination was unknown."),
        p->unknown_original);
}

static void expose_dns(struct weir_pen *pen, const struct weir_process_metrics *p) {
    struct weir_family answers = WEIR_FAMILY(
        "weir_dns_answers_total", "counter",
        "Answers about names of endpoints: ok = addresses, none = no such name or no address, "
        "failed = nobody could say.");

    weir_expo_head(pen, &answers);
    weir_expo_sample(pen, answers.name, "{result=\"ok\"}", p->dns_ok);
    weir_expo_sample(pen, answers.name, "{result=\"none\"}", p->dns_none);
    weir_expo_sample(pen, answers.name, "{result=\"failed\"}", p->dns_failed);
    weir_expo_one(pen, WEIR_FAMILY("weir_dns_names", "gauge", "Names of endpoints with addresses."),
                  p->dns_names);
    weir_expo_one(
        pen,
        WEIR_FAMILY("weir_dns_names_stale", "gauge",
                    "Names whose addresses are those of before the last question failed."),
        p->dns_stale);
}

static void expose_agent(struct weir_pen *pen, const struct weir_process_metrics *p) {
    weir_expo_one(
        pen,
        WEIR_FAMILY("weir_agent_up", "gauge",
                    "1 while the node's agent is connected; 0: what it said stays in force."),
        p->agent_up);
    weir_expo_one(pen,
                  WEIR_FAMILY("weir_agent_connects_total", "counter", "Connections to the agent."),
                  p->agent_connects);
    weir_expo_one(pen,
                  WEIR_FAMILY("weir_agent_failures_total", "counter",
                              "Connections to the agent that failed or were lost."),
                  p->agent_failures);
    weir_expo_one(pen,
                  WEIR_FAMILY("weir_agent_snapshots_total", "counter",
                              "Snapshots and changes received whole."),
                  p->agent_snapshots);
    weir_expo_one(pen,
                  WEIR_FAMILY("weir_agent_snapshots_refused_total", "counter",
                              "Snapshots received that could not be put in force."),
                  p->agent_snapshots_refused);
    weir_expo_one(
        pen,
        WEIR_FAMILY("weir_agent_received_bytes_total", "counter", "Bytes received from the agent."),
        p->agent_bytes);
}

static void expose_limits(struct weir_pen *pen, const struct weir_process_metrics *p) {
    weir_expo_one(pen,
                  WEIR_FAMILY("weir_accept_no_descriptor_total", "counter",
                              "Clients sent away because no file descriptor was left."),
                  p->no_descriptor);
    weir_expo_one(
        pen,
        WEIR_FAMILY("weir_tls_handshakes_active", "gauge", "TLS handshakes of clients under way."),
        p->handshakes);
    weir_expo_one(pen, WEIR_FAMILY("weir_memory_bytes", "gauge", "Heap memory in use."),
                  p->memory_used);
    weir_expo_one(pen, WEIR_FAMILY("weir_memory_limit_bytes", "gauge", "Its limit; 0: none."),
                  p->memory_limit);
    weir_expo_one(pen,
                  WEIR_FAMILY("weir_memory_refused_total", "counter",
                              "Allocations that failed at the memory limit."),
                  p->memory_refused);
}

void weir_metrics_expose_process(struct weir_pen *pen, const struct weir_process_metrics *p) {
    weir_expo_head(
        pen, &WEIR_FAMILY("process_cpu_seconds_total", "counter", "User and system time spent."));
    weir_pen_lit(pen, "process_cpu_seconds_total ");
    weir_pen_seconds(pen, p->cpu_us);
    weir_pen_lit(pen, "\n");
    weir_expo_one(pen, WEIR_FAMILY("process_open_fds", "gauge", "Open file descriptors."),
                  p->open_fds);
    weir_expo_one(pen, WEIR_FAMILY("process_max_fds", "gauge", "Limit of open file descriptors."),
                  p->max_fds);
    weir_expo_one(pen, WEIR_FAMILY("process_resident_memory_bytes", "gauge", "Resident memory."),
                  p->resident_bytes);
    weir_expo_one(
        pen,
        WEIR_FAMILY("process_start_time_seconds", "gauge", "Start of the process since the epoch."),
        p->start_time_s);
}

int weir_metrics_expose(struct weir_metrics *const *workers, unsigned n_workers,
                        const struct weir_process_metrics *process, struct weir_bufq *out) {
    struct scrape s = { .workers = workers, .n_workers = n_workers };
    weir_pen_begin(&s.pen, out);
    expose_counters(&s);
    expose_responses(&s);
    expose_faults(&s);
    for (unsigned h = 0; h < WEIR_HISTOGRAMS; h++)
        expose_histogram(&s, h);
    weir_expo_one(&s.pen, WEIR_FAMILY("weir_workers", "gauge", "Worker threads."), n_workers);
    expose_config(&s.pen, process);
    expose_dns(&s.pen, process);
    expose_limits(&s.pen, process);
    if (process->has_agent)
        expose_agent(&s.pen, process);
    weir_metrics_expose_process(&s.pen, process);
    return weir_pen_end(&s.pen);
}
