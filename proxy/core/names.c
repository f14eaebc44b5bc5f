/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name is asked again when its answer's TTL is over, within the configured bounds. A server that says that there is no such
 * name is believed: its addresses are dropped. When nobody can say (time-out, SERVFAIL, garbage) what was known is kept, loudly,
 * for as long as it takes.
 */
#include "core/names.h"

#include <string.h>

#include "base/htab.h"
#include "base/list.h"
#include "base/mem.h"
#include "io/dns.h"
#include "io/events.h"
#include "sys/log.h"

#define TRIES   2u
#define ASKING  128u           /* questions under way at most: name servers are small */
#define TICK_US (250u * 1000u) /* how late a name is asked again at most */

struct name {
    struct weir_list node;
    struct weir_hnode by_host;
    struct weir_names *names; /* NULL = no longer wanted; freed with its answer */
    char *host;
    struct weir_ip *ips;
    uint32_t n;
    uint64_t due; /* us: ask again */
    bool asking, answered;
    bool failing; /* the last question had no answer */
    bool wanted;  /* within weir_names_want */
};

struct weir_names {
    struct weir_loop *loop;
    struct weir_dns *dns;
    struct weir_dns_spec spec; /* servers is a copy */
    struct weir_list list;
    struct weir_htab by_host;
    unsigned n_asking;
    struct weir_event *tick;
    struct weir_names_stats stats;
    void (*changed)(void *arg);
    void *arg;
    bool unsettled, news;
};

static uint64_t now_us(const struct weir_names *names) {
    struct weir_net *net = weir_loop_net(names->loop);

    return net->ops->now(net);
}

static void name_free(struct name *n) {
    weir_list_unlink(&n->node);
    weir_free(n->host);
    weir_free(n->ips);
    weir_free(n);
}

bool weir_names_settled(const struct weir_names *names) {
    WEIR_LIST_FOREACH (it, &names->list)
        if (!WEIR_CONTAINER_OF(it, struct name, node)->answered)
            return false;
    return true;
}

/* ---- answers ---- */

static bool holds(const struct weir_ip *ips, uint32_t n, const struct weir_ip *ip) {
    for (uint32_t i = 0; i < n; i++)
        if (memcmp(&ips[i], ip, sizeof(*ip)) == 0)
            return true;
    return false;
}

/* The order of an answer means nothing: servers turn it with each. */
static bool same_set(const struct name *n, const struct weir_dns_answer *a) {
    if (n->n != a->n)
        return false;
    for (uint32_t i = 0; i < n->n; i++)
        if (!holds(a->ips, a->n, &n->ips[i]))
            return false;
    return true;
}

static uint64_t clamp(uint64_t us, uint64_t min, uint64_t max) {
    return us < min ? min : us > max ? max : us;
}

static void take(struct name *n, const struct weir_dns_answer *a) {
    struct weir_names *names = n->names;
    struct weir_ip *ips = NULL;

    if (!same_set(n, a)) {
        ips = weir_calloc(a->n + 1, sizeof(*ips));
        if (!ips)
            return; /* what was known stays until the next answer */
        if (a->n > 0)
            memcpy(ips, a->ips, a->n * sizeof(*ips));
        weir_free(n->ips);
        n->ips = ips;
        n->n = a->n;
        names->news = true;
        weir_log(a->n > 0 ? WEIR_LOG_INFO : WEIR_LOG_ERROR, "dns",
                 "name=%s addresses=%u ttl_s=%llu%s%s", n->host, a->n,
                 (unsigned long long)(a->ttl_us / 1000000),
                 a->n > 0 ? "" : " error=", a->n > 0 ? "" : "\"no such name, or no address\"");
    } else if (a->n == 0 && !n->answered) {
        weir_log(WEIR_LOG_ERROR, "dns", "name=%s error=\"no such name, or no address\"", n->host);
    }
    if (n->failing)
        weir_log(WEIR_LOG_INFO, "dns", "name=%s result=answered_again", n->host);
    n->failing = false;
}

static void fail(struct name *n, const struct weir_dns_answer *a) {
    n->names->stats.failures++;
    if (!n->failing)
        weir_log(WEIR_LOG_ERROR, "dns", "name=%s error=\"%s\" %s", n->host, a->why,
                 n->n > 0 ? "result=stale_kept" : "result=unknown");
    n->failing = true;
}

static void on_answer(void *arg, const struct weir_dns_answer *a) {
    struct name *n = arg;
    struct weir_names *names = n->names;
    const struct weir_dns_spec *spec;
    uint64_t wait;

    n->asking = false;
    if (!names) {
        name_free(n);
        return;
    }
    names->n_asking--;
    if (a->r == -ECANCELED)
        return; /* asked again of other servers */
    spec = &names->spec;
    wait = a->r == 0 ? clamp(a->ttl_us, spec->min_ttl_us, spec->max_ttl_us) : spec->negative_us;
    if (a->r == 0 || a->r == -ENOENT)
        take(n, a);
    else
        fail(n, a);
    names->stats.answers += a->r == 0;
    names->stats.negative += a->r == -ENOENT;
    n->answered = true;
    n->due = now_us(names) + wait;
}

/* All whose time has come, a few at once. */
static void ask(struct weir_names *names) {
    uint64_t now = now_us(names);

    WEIR_LIST_FOREACH_SAFE (it, next, &names->list) {
        struct name *n = WEIR_CONTAINER_OF(it, struct name, node);

        if (names->n_asking >= ASKING)
            return;
        if (n->asking || now < n->due)
            continue;
        n->asking = true;
        names->n_asking++;
        weir_dns_ask(names->dns, n->host, on_answer, n);
    }
}

static void on_tick(void *arg) {
    struct weir_names *names = arg;

    ask(names);
    if (!(names->unsettled || names->news) || !weir_names_settled(names))
        return;
    names->unsettled = names->news = false;
    names->changed(names->arg);
}

/* ---- which names ---- */

int weir_names_new(struct weir_loop *loop, void (*changed)(void *arg), void *arg,
                   struct weir_names **ret_names) {
    static const uint64_t seed[2] = { 1, 2 }; /* names come from the operator, not from peers */
    struct weir_names *names = weir_calloc(1, sizeof(*names));

    if (!names)
        return -ENOMEM;
    weir_list_init(&names->list);
    weir_htab_init(&names->by_host, seed);
    names->loop = loop;
    names->changed = changed;
    names->arg = arg;
    names->spec.servers = weir_strndup("", 0);
    if (!names->spec.servers) {
        weir_free(names);
        return -ENOMEM;
    }
    *ret_names = names;
    return 0;
}

/* One that is being asked for goes with its answer. */
static void forget(struct name *n) {
    weir_list_unlink(&n->node);
    weir_htab_remove(&n->names->by_host, &n->by_host);
    n->names->n_asking -= n->asking;
    n->names = NULL;
    if (!n->asking)
        name_free(n);
}

struct weir_names *weir_names_free(struct weir_names *names) {
    if (!names)
        return NULL;
    WEIR_LIST_FOREACH_SAFE (it, next, &names->list)
        forget(WEIR_CONTAINER_OF(it, struct name, node));
    weir_dns_free(names->dns);
    weir_event_free(names->tick);
    weir_htab_deinit(&names->by_host);
    weir_free((char *)names->spec.servers);
    return weir_free(names);
}

static struct name *find(const struct weir_names *names, const char *host) {
    struct weir_hnode *n = weir_htab_find(&names->by_host, weir_slice_from_str(host));

    return n ? WEIR_CONTAINER_OF(n, struct name, by_host) : NULL;
}

static int add(struct weir_names *names, const char *host) {
    struct name *n = weir_calloc(1, sizeof(*n));

    if (!n)
        return -ENOMEM;
    weir_list_init(&n->node);
    n->names = names;
    n->host = weir_strndup(host, strlen(host));
    n->by_host.key = weir_slice_from_str(n->host ? n->host : "");
    if (!n->host || weir_htab_add(&names->by_host, &n->by_host) < 0) {
        weir_free(n->host);
        weir_free(n);
        return -ENOMEM;
    }
    n->wanted = true;
    weir_list_push_back(&names->list, &n->node);
    return 0;
}

/* Other servers, or other times to wait for them: what is under way is asked again. */
static int use_servers(struct weir_names *names, const struct weir_dns_spec *spec) {
    struct weir_dns_params params = { .servers = spec->servers,
                                      .timeout_us = spec->timeout_us,
                                      .tries = TRIES };
    bool same = names->dns && strcmp(names->spec.servers, spec->servers) == 0 &&
                names->spec.timeout_us == spec->timeout_us;
    struct weir_dns *dns = NULL;
    char *servers;
    int r;

    if (!same) {
        servers = weir_strndup(spec->servers, strlen(spec->servers));
        r = servers ? weir_dns_new(names->loop, &params, &dns) : -ENOMEM;
        if (r < 0) {
            weir_free(servers);
            return r;
        }
        weir_dns_free(names->dns);
        names->dns = dns;
        weir_free((char *)names->spec.servers);
        names->spec.servers = servers;
    }
    params.servers = names->spec.servers;
    names->spec = *spec;
    names->spec.servers = params.servers;
    return 0;
}

int weir_names_want(struct weir_names *names, const struct weir_dns_spec *spec,
                    const char *const *hosts, uint32_t n) {
    int r = n > 0 ? use_servers(names, spec) : 0;

    if (r == 0 && n > 0 && !names->tick)
        r = weir_event_every(names->loop, TICK_US, on_tick, names, &names->tick);
    if (r < 0)
        return r;
    WEIR_LIST_FOREACH (it, &names->list)
        WEIR_CONTAINER_OF(it, struct name, node)->wanted = false;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        struct name *known = find(names, hosts[i]);

        if (known)
            known->wanted = true;
        else
            r = add(names, hosts[i]);
    }
    WEIR_LIST_FOREACH_SAFE (it, next, &names->list) {
        struct name *one = WEIR_CONTAINER_OF(it, struct name, node);

        if (!one->wanted && r == 0)
            forget(one);
    }
    if (names->dns)
        ask(names);
    names->unsettled = !weir_names_settled(names);
    if (n == 0)
        names->tick = weir_event_free(names->tick);
    return r;
}

static const struct weir_ip *lookup(void *arg, const char *host, uint32_t *ret_n) {
    const struct name *n = find(arg, host);

    if (!n || n->n == 0)
        return NULL;
    *ret_n = n->n;
    return n->ips;
}

struct weir_lookup weir_names_lookup(struct weir_names *names) {
    return (struct weir_lookup){ lookup, names };
}

void weir_names_stats_get(const struct weir_names *names, struct weir_names_stats *ret_stats) {
    *ret_stats = names->stats;
    WEIR_LIST_FOREACH (it, &names->list) {
        const struct name *n = WEIR_CONTAINER_OF(it, struct name, node);

        ret_stats->known += n->n > 0;
        ret_stats->stale += n->failing && n->n > 0;
    }
}
