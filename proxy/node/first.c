/* SPDX-License-Identifier: Apache-2.0 */
/* weir_first as weir status shows it. The kernel half writes the map; what is too old counts for nobody and is left out. */
#include "node/first.h"

#include <stdlib.h>
#include <string.h>

#include "node/state.h"
#include "sys/clock.h"

#define SHOWN_MAX 100

struct port {
    struct weir_first_key key;
    struct weir_first_value value;
    uint64_t at_ns; /* of the last report that counts */
};

struct listing {
    uint64_t now_ns;
    uint32_t n[1 << WEIR_FIRST_SIDES]; /* by weir_first_sides() */
    struct port shown[SHOWN_MAX];      /* the latest, in no order */
    uint32_t n_shown;
};

static uint64_t last_report(const struct weir_first_value *v) {
    return v->at_ns[0] > v->at_ns[1] ? v->at_ns[0] : v->at_ns[1];
}

/* The place of the one heard of longest ago when there is no free one; NULL = it is older itself. */
static struct port *place_for(struct listing *l, uint64_t at_ns) {
    struct port *oldest = &l->shown[0];

    if (l->n_shown < SHOWN_MAX)
        return &l->shown[l->n_shown++];
    for (uint32_t i = 1; i < SHOWN_MAX; i++)
        if (l->shown[i].at_ns < oldest->at_ns)
            oldest = &l->shown[i];
    return oldest->at_ns < at_ns ? oldest : NULL;
}

static int note(void *arg, const void *key, const void *value) {
    struct listing *l = arg;
    struct port p = { .at_ns = last_report(value) };
    struct port *to;

    memcpy(&p.key, key, sizeof(p.key));
    memcpy(&p.value, value, sizeof(p.value));
    l->n[weir_first_sides(&p.value, l->now_ns)]++;
    if (weir_first_sides(&p.value, l->now_ns) == 0)
        return 0;
    to = place_for(l, p.at_ns);
    if (to)
        *to = p;
    return 0;
}

static int latest_first(const void *a, const void *b) {
    const struct port *p = a, *q = b;

    return p->at_ns < q->at_ns ? 1 : p->at_ns > q->at_ns ? -1 : 0;
}

static const char *first_of(uint8_t sides) {
    return sides == 1u << WEIR_FIRST_SERVER   ? "server"
           : sides == 1u << WEIR_FIRST_CLIENT ? "client"
                                              : "both";
}

static void put_port(const struct weir_agent *a, const struct port *p, uint64_t now_ns,
                     struct weir_textbuf *out) {
    static const char *const protocols[WEIR_SPOKE_COUNT_] = { "",      "",      "bytes",
                                                              "http1", "http2", "tls" };
    const struct weir_first_value *v = &p->value;
    uint8_t sides = weir_first_sides(v, now_ns);
    struct weir_ip ip;
    char buf[64];

    weir_textbuf_add(out, "{", 1);
    if (p->key.identity) {
        weir_textbuf_member(out, "identity",
                            weir_plan_name(a->installed, WEIR_NAME_IDENTITY, p->key.identity));
    } else {
        memcpy(&ip, &p->key.addr, sizeof(ip));
        weir_textbuf_member(out, "address", weir_ip_format(&ip, buf, sizeof(buf)));
        if (v->service)
            weir_textbuf_member(out, "service",
                                weir_plan_name(a->installed, WEIR_NAME_SERVICE, v->service));
    }
    weir_textbuf_number(out, "port", p->key.port);
    weir_textbuf_member(out, "first", first_of(sides));
    if ((sides & 1u << WEIR_FIRST_CLIENT) && v->speaks < WEIR_SPOKE_COUNT_)
        weir_textbuf_member(out, "client_speaks", protocols[v->speaks]);
    for (unsigned i = 0; i < WEIR_FIRST_SIDES; i++)
        if (sides & 1u << i)
            weir_textbuf_member(
                out, i == WEIR_FIRST_SERVER ? "server_reported_by" : "client_reported_by",
                weir_plan_name(a->installed, WEIR_NAME_POD, v->pod[i]));
    weir_textbuf_number(out, "seconds_ago",
                        now_ns > p->at_ns ? (now_ns - p->at_ns) / 1000000000u : 0);
    weir_textbuf_add(out, "}", 1);
}

void weir_agent_first_status(struct weir_agent *a, struct weir_textbuf *out) {
    struct listing l = { .now_ns = weir_clock_mono_us() * 1000u };
    int r = weir_kern_each(a->kern, WEIR_MAP_FIRST, note, &l);

    weir_textbuf_name(out, "first_speakers");
    weir_textbuf_add(out, "{", 1);
    if (r)
        weir_textbuf_member(out, "error", strerror(-r));
    weir_textbuf_number(out, "server", l.n[1u << WEIR_FIRST_SERVER]);
    weir_textbuf_number(out, "client", l.n[1u << WEIR_FIRST_CLIENT]);
    weir_textbuf_number(out, "both", l.n[1u << WEIR_FIRST_SERVER | 1u << WEIR_FIRST_CLIENT]);
    weir_textbuf_name(out, "ports");
    weir_textbuf_add(out, "[", 1);
    qsort(l.shown, l.n_shown, sizeof(l.shown[0]), latest_first);
    for (uint32_t i = 0; i < l.n_shown; i++) {
        if (i > 0)
            weir_textbuf_add(out, ",", 1);
        put_port(a, &l.shown[i], l.now_ns, out);
    }
    weir_textbuf_add(out, "]", 1);
    weir_textbuf_add(out, "}", 1);
}
