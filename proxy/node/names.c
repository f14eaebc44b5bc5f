/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in egress rules, the agent's part: which servers this node asks, what has run out and may go, and what is
 * bound now, for people.
 */
#include "node/names.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kern/names.h"
#include "node/state.h"
#include "sys/clock.h"
#include "sys/files.h"
#include "sys/log.h"

#define RESOLV_CONF     "/etc/resolv.conf"
#define RESOLV_MAX      65536
#define NODE_SERVERS    16
#define SWEEP_TICKS     10                    /* a third of WEIR_DNS_KEEP_NS */
#define LOOK_AHEAD_US   (2 * 10 * 1000000ULL) /* what runs out before the next sweep but one */
#define NAMES_SHOWN_MAX 10000

/* --- the node's own servers --- */

static bool may_serve(const struct weir_ip *ip) {
    struct weir_addr addr;

    memcpy(&addr, ip, sizeof(addr));
    return !weir_addr_is_loopback(&addr) && !weir_addr_is_any(&addr);
}

int weir_agent_node_dns(struct weir_ip **ret_ips, uint32_t *ret_n) {
    struct weir_ip *ips = weir_calloc(NODE_SERVERS, sizeof(*ips));
    char *text = NULL, *save = NULL, word[64];
    size_t len;

    *ret_ips = ips;
    *ret_n = 0;
    if (!ips)
        return -ENOMEM;
    if (weir_file_read(RESOLV_CONF, RESOLV_MAX, &text, &len))
        return 0;
    for (char *line = strtok_r(text, "\n", &save); line && *ret_n < NODE_SERVERS;
         line = strtok_r(NULL, "\n", &save))
        if (sscanf(line, " nameserver %63s", word) == 1 && weir_parse_ip(word, &ips[*ret_n]) == 0 &&
            may_serve(&ips[*ret_n]))
            ++*ret_n;
    weir_free(text);
    return 0;
}

/* --- the sweep --- */

struct due {
    uint64_t at_us;
    uint32_t pods[WEIR_AGENT_PODS_DUE];
    uint32_t n;
    bool more; /* too many to name: all are walked */
};

static int note_due(void *arg, const void *key, const void *value) {
    const struct weir_dns_bound_key *k = key;
    struct due *due = arg;

    if (!weir_bound_ran_out(value, due->at_us))
        return 0;
    for (uint32_t i = 0; i < due->n; i++)
        if (due->pods[i] == k->pod)
            return 0;
    if (due->n == WEIR_AGENT_PODS_DUE)
        due->more = true;
    else
        due->pods[due->n++] = k->pod;
    return 0;
}

static bool has_names(void *arg, uint32_t pod) {
    const struct weir_agent *a = arg;
    const struct weir_pod_value *value = weir_mapset_get(a->installed, WEIR_MAP_POD, &pod);

    return value && (value->flags & WEIR_POD_NAMES);
}

static void sweep(struct weir_agent *a) {
    uint64_t now_us = weir_clock_mono_us();
    struct due due = { .at_us = now_us + LOOK_AHEAD_US };
    struct weir_names_swept swept;
    int r = weir_kern_each(a->kern, WEIR_MAP_DNS_BOUND, note_due, &due);

    /* Sockets say first what is kept; where they cannot be asked, nothing goes. */
    if (r == 0 && due.n && !weir_agent_walk(a, due.more ? NULL : due.pods, due.n))
        return;
    if (r == 0)
        r = weir_kern_names_sweep(a->kern, has_names, a, now_us, &swept);
    if (r) {
        weir_log(WEIR_LOG_ERROR, "names_not_swept", "error=\"%s\"", strerror(-r));
        return;
    }
    a->names.addresses = swept.addresses;
    a->names.kept = swept.kept;
    a->names.expired += swept.expired;
}

void weir_agent_names_tick(struct weir_agent *a) {
    if (a->stale || ++a->names.ticks < SWEEP_TICKS)
        return;
    a->names.ticks = 0;
    sweep(a);
}

/* --- for people --- */

struct listing {
    const struct weir_agent *a;
    struct weir_textbuf *out;
    uint32_t pod; /* 0 = all */
    uint64_t now_us;
    uint32_t n;
};

void weir_agent_put_names(const struct weir_agent *a, const struct weir_dns_bound_value *v,
                          struct weir_textbuf *out) {
    uint64_t now_us = weir_clock_mono_us();
    bool first = true;

    weir_textbuf_member(out, "asked", v->asked);
    weir_textbuf_name(out, "names");
    weir_textbuf_add(out, "[", 1);
    for (unsigned i = 0; i < WEIR_DNS_SLOTS; i++) {
        const struct weir_dns_slot *slot = &v->slots[i];
        uint64_t until_us = slot->until_s * 1000000ULL;

        if (slot->pattern == 0)
            continue;
        weir_textbuf_add(out, first ? "{" : ",{", first ? 1 : 2);
        first = false;
        weir_textbuf_member(out, "name",
                            weir_plan_name(a->installed, WEIR_NAME_DNS, slot->pattern));
        weir_textbuf_number(out, "seconds", until_us > now_us ? (until_us - now_us) / 1000000 : 0);
        weir_textbuf_add(out, "}", 1);
    }
    weir_textbuf_add(out, "]", 1);
    weir_textbuf_member(out, "state",
                        !weir_bound_ran_out(v, now_us) ? "in_time"
                        : weir_bound_holds(v, now_us)  ? "kept_by_sockets"
                                                       : "ran_out");
}

static int put_bound(void *arg, const void *key, const void *value) {
    const struct weir_dns_bound_key *k = key;
    struct listing *l = arg;
    struct weir_ip ip;
    char buf[64];

    if ((l->pod && k->pod != l->pod) || l->n++ >= NAMES_SHOWN_MAX)
        return 0;
    if (l->n > 1)
        weir_textbuf_add(l->out, ",", 1);
    memcpy(&ip, &k->addr, sizeof(ip));
    weir_textbuf_add(l->out, "{", 1);
    weir_textbuf_member(l->out, "pod", weir_plan_name(l->a->installed, WEIR_NAME_POD, k->pod));
    weir_textbuf_member(l->out, "ip", weir_ip_format(&ip, buf, sizeof(buf)));
    weir_agent_put_names(l->a, value, l->out);
    weir_textbuf_add(l->out, "}", 1);
    return 0;
}

void weir_agent_names(struct weir_agent *a, const char *pod, struct weir_textbuf *out) {
    struct listing l = { .a = a, .out = out, .now_us = weir_clock_mono_us() };
    int r = 0;

    weir_textbuf_add(out, "{", 1);
    if (pod[0])
        l.pod = weir_plan_id(a->installed, WEIR_NAME_POD, pod);
    if (pod[0] && l.pod == 0) {
        weir_textbuf_member(out, "error", "no such pod on this node: NAMESPACE/POD");
    } else {
        weir_textbuf_name(out, "addresses");
        weir_textbuf_add(out, "[", 1);
        r = weir_kern_each(a->kern, WEIR_MAP_DNS_BOUND, put_bound, &l);
        weir_textbuf_add(out, "]", 1);
        if (r)
            weir_textbuf_member(out, "error", strerror(-r));
        if (l.n > NAMES_SHOWN_MAX)
            weir_textbuf_number(out, "not_shown", l.n - NAMES_SHOWN_MAX);
    }
    weir_textbuf_add(out, "}\n", 2);
}

/* --- for explain --- */

struct search {
    const char *name;
    uint32_t pod;
    bool v4;
    uint64_t now_us;
    struct weir_addr *ret_addr;
};

static int find_name(void *arg, const void *key, const void *value) {
    const struct weir_dns_bound_key *k = key;
    const struct weir_dns_bound_value *v = value;
    struct search *s = arg;

    if (k->pod != s->pod || strcmp(v->asked, s->name) != 0 || !weir_bound_holds(v, s->now_us))
        return 0;
    if (s->v4 && !weir_addr_is_v4(&k->addr))
        return 0;
    *s->ret_addr = k->addr;
    return 1;
}

bool weir_agent_name_address(struct weir_agent *a, uint32_t pod, const char *name,
                             struct weir_addr *ret_addr) {
    struct search s = { name, pod, true, weir_clock_mono_us(), ret_addr };

    if (weir_kern_each(a->kern, WEIR_MAP_DNS_BOUND, find_name, &s) == 1)
        return true;
    s.v4 = false;
    return weir_kern_each(a->kern, WEIR_MAP_DNS_BOUND, find_name, &s) == 1;
}
