/* SPDX-License-Identifier: Apache-2.0 */
#include "node/l7.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "obs/expo.h"
#include "weir/abi/maps.h"

#define METHODS 10
#define CLASSES 6
#define BUCKETS 12

static const char *const methods[METHODS] = { "GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                              "CONNECT", "OPTIONS", "TRACE", "PATCH", "other" };
static const char *const classes[CLASSES] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };
static const char *const sides[2] = { [WEIR_INGRESS] = "server", [WEIR_EGRESS] = "client" };
static const char *const sources[2] = { "packets", "tls" };
/* The last one is everything. */
static const uint64_t bounds_us[BUCKETS - 1] = { 500,   1000,   2500,   5000,    10000,  25000,
                                                 50000, 100000, 250000, 1000000, 5000000 };

/* Of one service, seen from one side in one way. */
struct series {
    uint64_t requests[METHODS][CLASSES];
    uint64_t buckets[BUCKETS];
    uint64_t sum_us, n;
};

struct row {
    char service[320];
    struct series series[2][2]; /* [direction][source] */
};

struct weir_l7 {
    struct row *rows[WEIR_L7_SERVICES + 1]; /* the last one: "other" */
    uint32_t n;
};

struct weir_l7 *weir_l7_new(void) {
    return weir_calloc(1, sizeof(struct weir_l7));
}

struct weir_l7 *weir_l7_free(struct weir_l7 *l7) {
    for (uint32_t i = 0; l7 && i <= WEIR_L7_SERVICES; i++)
        weir_free(l7->rows[i]);
    return weir_free(l7);
}

static struct row *row_make(struct row **at, const char *service) {
    if (!*at)
        *at = weir_calloc(1, sizeof(**at));
    if (*at)
        snprintf((*at)->service, sizeof((*at)->service), "%s", service);
    return *at;
}

/* NULL: no memory. */
static struct row *row_of(struct weir_l7 *l7, const char *service) {
    struct row *r;

    for (uint32_t i = 0; i < l7->n; i++)
        if (strcmp(l7->rows[i]->service, service) == 0)
            return l7->rows[i];
    if (service[0] == '\0' || l7->n == WEIR_L7_SERVICES)
        return row_make(&l7->rows[WEIR_L7_SERVICES], "other");
    r = row_make(&l7->rows[l7->n], service);
    l7->n += r != NULL;
    return r;
}

static unsigned method_of(const struct weir_http_exchange *x) {
    unsigned i = 0;

    while (i < METHODS - 1 &&
           (strlen(methods[i]) != x->n_method || memcmp(methods[i], x->method, x->n_method) != 0))
        i++;
    return i;
}

void weir_l7_count(struct weir_l7 *l7, const char *service, const struct weir_http_event *event) {
    const struct weir_http_exchange *x = &event->exchange;
    uint64_t us = (x->answered_ns - x->began_ns) / 1000;
    struct row *row = row_of(l7, service);
    unsigned class = x->status / 100u, bucket = 0;
    struct series *s;

    if (!row)
        return;
    s = &row->series[event->flow.direction == WEIR_EGRESS][(x->flags & WEIR_HTTP_IS_TLS) != 0];
    s->requests[method_of(x)][class < CLASSES ? class : CLASSES - 1]++;
    if (x->status == 0) /* its time is that of the end, not of an answer */
        return;
    while (bucket < BUCKETS - 1 && us > bounds_us[bucket])
        bucket++;
    s->buckets[bucket]++;
    s->sum_us += us;
    s->n++;
}

static void sample(struct weir_pen *pen, const char *name, const char *labels, const char *more) {
    weir_pen_str(pen, name);
    weir_pen_lit(pen, "{");
    weir_pen_str(pen, labels);
    weir_pen_str(pen, more);
    weir_pen_lit(pen, "} ");
}

static void end(struct weir_pen *pen, uint64_t n) {
    weir_pen_u64(pen, n);
    weir_pen_lit(pen, "\n");
}

static void requests(struct weir_pen *pen, const struct series *s, const char *labels) {
    char more[64];

    for (unsigned m = 0; m < METHODS; m++) {
        for (unsigned c = 0; c < CLASSES; c++) {
            if (s->requests[m][c] == 0)
                continue;
            snprintf(more, sizeof(more), ",method=\"%s\",status=\"%s\"", methods[m], classes[c]);
            sample(pen, "weir_http_telemetry_requests_total", labels, more);
            end(pen, s->requests[m][c]);
        }
    }
}

static void latency(struct weir_pen *pen, const struct series *s, const char *labels) {
    uint64_t below = 0;
    char le[32];

    if (s->n == 0)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        below += s->buckets[i];
        if (i < BUCKETS - 1)
            snprintf(le, sizeof(le), ",le=\"%g\"", (double)bounds_us[i] / 1e6);
        sample(pen, "weir_http_telemetry_latency_seconds_bucket", labels,
               i < BUCKETS - 1 ? le : ",le=\"+Inf\"");
        end(pen, below);
    }
    sample(pen, "weir_http_telemetry_latency_seconds_sum", labels, "");
    weir_pen_seconds(pen, s->sum_us);
    weir_pen_lit(pen, "\n");
    sample(pen, "weir_http_telemetry_latency_seconds_count", labels, "");
    end(pen, s->n);
}

static void each(const struct weir_l7 *l7, struct weir_pen *pen,
                 void (*fn)(struct weir_pen *pen, const struct series *s, const char *labels)) {
    char labels[400];

    for (uint32_t i = 0; i <= WEIR_L7_SERVICES; i++) {
        for (unsigned k = 0; l7->rows[i] && k < 4; k++) {
            snprintf(labels, sizeof(labels), "service=\"%s\",side=\"%s\",source=\"%s\"",
                     l7->rows[i]->service, sides[k / 2], sources[k % 2]);
            fn(pen, &l7->rows[i]->series[k / 2][k % 2], labels);
        }
    }
}

void weir_l7_expose(const struct weir_l7 *l7, struct weir_pen *pen) {
    weir_expo_head(pen, &WEIR_FAMILY("weir_http_telemetry_requests_total", "counter",
                                     "HTTP/1 exchanges told without a proxy."));
    each(l7, pen, requests);
    weir_expo_head(pen, &WEIR_FAMILY("weir_http_telemetry_latency_seconds", "histogram",
                                     "First byte of a request to first byte of its answer."));
    each(l7, pen, latency);
}
