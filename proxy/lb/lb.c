/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power of two choices. Two endpoints are drawn, each in proportion to its weight (Walker's alias
 * table: O(1); not used while all weights are equal), and the one with fewer outstanding requests
 * per weight gets the request. On a tie the first drawn wins, so an idle set is served in
 * proportion to its weights. Draws are among the endpoints that are near, which stand first in the set.
 *
 * When both draws are ejected or were tried already, one scan finds the best that is left: first
 * among the healthy, far ones too, then among the ejected, and last among those tried, because a set that is not
 * empty always gives an answer.
 *
 * Endpoints live in a hash table by address for as long as they are in the set or somebody uses
 * them; `set` lists those of the current set. The file knows no clock: ejection is compared with
 * the caller's time.
 */
#include "lb/lb.h"

#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "conf/distance.h"

#define KEY_SIZE          18
#define FAILURES_TO_EJECT 3
#define EJECT_FIRST_US    1000000ULL
#define EJECT_MAX_US      30000000ULL

struct entry {
    struct weir_lb_endpoint e; /* first */
    char key[KEY_SIZE];
    bool staged; /* in the set that an update is building */
};

struct alias {
    uint32_t keep; /* of 2^32: the share of this column that stays with its own entry */
    uint32_t other;
};

struct set {
    struct entry **entries;
    struct alias *aliases; /* of the near ones; NULL = equal weights */
    uint32_t n;
    uint32_t near; /* entries 0..near-1 come first; n = no difference */
};

struct weir_lb {
    struct weir_htab table;
    uint64_t random;
    enum weir_balancer balancer;
    struct set set;
    struct {
        struct set set; /* entries NULL = nothing is staged */
        uint32_t *weights;
        const struct weir_endpoint *endpoints;
        uint32_t n;
    } next;
};

/* Weyl sequence through a 128-bit multiply: passes the usual batteries, and costs one
 * multiplication. */
static uint64_t draw(struct weir_lb *lb) {
    unsigned __int128 m;

    lb->random += 0x60bee2bee120fc15ULL;
    m = (unsigned __int128)lb->random * 0xa3b195354a39b70dULL;
    m = (unsigned __int128)((uint64_t)(m >> 64) ^ (uint64_t)m) * 0x1b03738712fad5c9ULL;
    return (uint64_t)(m >> 64) ^ (uint64_t)m;
}

static uint32_t below(uint32_t random, uint32_t n) {
    return (uint32_t)(((uint64_t)random * n) >> 32);
}

int weir_lb_new(const uint64_t seed[2], struct weir_lb **ret_lb) {
    struct weir_lb *lb = weir_calloc(1, sizeof(*lb));

    if (!lb)
        return -ENOMEM;
    weir_htab_init(&lb->table, seed);
    lb->random = seed[0] ^ (seed[1] << 32 | seed[1] >> 32);
    *ret_lb = lb;
    return 0;
}

static void set_deinit(struct set *set) {
    weir_free(set->entries);
    weir_free(set->aliases);
    *set = (struct set){ 0 };
}

static void free_entry(struct weir_hnode *n, void *arg) {
    weir_free(WEIR_CONTAINER_OF(n, struct entry, e.node));
}

struct weir_lb *weir_lb_free(struct weir_lb *lb) {
    if (!lb)
        return NULL;
    weir_htab_foreach(&lb->table, free_entry, NULL);
    weir_htab_deinit(&lb->table);
    set_deinit(&lb->set);
    return weir_free(lb);
}

static void forget(struct weir_lb *lb, struct weir_lb_endpoint *e) {
    weir_htab_remove(&lb->table, &e->node);
    weir_free(WEIR_CONTAINER_OF(e, struct entry, e));
}

static void key_make(const struct weir_endpoint *conf, char key[KEY_SIZE]) {
    memcpy(key, conf->ip.b, 16);
    key[16] = (char)(conf->port >> 8);
    key[17] = (char)(conf->port & 0xff);
}

static int entry_get(struct weir_lb *lb, const struct weir_endpoint *conf,
                     struct entry **ret_entry) {
    char key[KEY_SIZE];
    struct weir_hnode *n;
    struct entry *entry;
    int r;

    key_make(conf, key);
    n = weir_htab_find(&lb->table, weir_slice_make(key, KEY_SIZE));
    if (n) {
        *ret_entry = WEIR_CONTAINER_OF(n, struct entry, e.node);
        return 0;
    }
    entry = weir_calloc(1, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    memcpy(entry->key, key, KEY_SIZE);
    entry->e.node.key = weir_slice_make(entry->key, KEY_SIZE);
    entry->e.ip = conf->ip;
    entry->e.port = conf->port;
    r = weir_htab_add(&lb->table, &entry->e.node);
    if (r) {
        weir_free(entry);
        return r;
    }
    *ret_entry = entry;
    return 0;
}

/* Walker's method with integers: column i keeps keep/2^32 of its draws, the others go to `other`.
 */
static int aliases_make(struct set *set, const uint32_t *weights) {
    uint64_t total = 0, *scaled = NULL;
    uint32_t *work = NULL, n_small = 0, n_large = 0;
    int r = -ENOMEM;

    set->aliases = weir_calloc(set->near, sizeof(*set->aliases));
    scaled = weir_calloc(set->near, sizeof(*scaled));
    work = weir_calloc(set->near, sizeof(*work));
    if (!set->aliases || !scaled || !work)
        goto out;
    for (uint32_t i = 0; i < set->near; i++)
        total += weights[i];
    for (uint32_t i = 0; i < set->near; i++) {
        scaled[i] = (uint64_t)weights[i] * set->near;
        if (scaled[i] < total)
            work[n_small++] = i;
        else
            work[set->near - ++n_large] = i;
    }
    while (n_small > 0 && n_large > 0) {
        uint32_t s = work[--n_small], l = work[set->near - n_large];

        set->aliases[s] =
            (struct alias){ (uint32_t)(((unsigned __int128)scaled[s] << 32) / total), l };
        scaled[l] -= total - scaled[s];
        if (scaled[l] < total) {
            n_large--;
            work[n_small++] = l;
        }
    }
    for (; n_large > 0; n_large--) {
        uint32_t l = work[set->near - n_large];

        set->aliases[l] = (struct alias){ UINT32_MAX, l };
    }
    r = 0;
out:
    weir_free(scaled);
    weir_free(work);
    return r;
}

static int set_add(struct weir_lb *lb, struct set *set, uint32_t *weights,
                   const struct weir_endpoint *conf) {
    struct entry *entry;
    int r = entry_get(lb, conf, &entry);

    if (r || entry->staged) /* the same address twice: one endpoint */
        return r;
    entry->staged = true;
    weights[set->n] = conf->weight;
    set->entries[set->n++] = entry;
    return 0;
}

/* The near ones first. */
static int set_fill(struct weir_lb *lb, struct set *set, uint32_t *weights,
                    const struct weir_endpoint *endpoints, uint32_t n) {
    bool terminating = true, equal = true;
    int r = 0;

    for (uint32_t i = 0; i < n; i++)
        if (weir_endpoint_takes_part(&endpoints[i], false))
            terminating = false;
    for (int far = 0; far < 2; far++) {
        for (uint32_t i = 0; i < n && r == 0; i++)
            if (weir_endpoint_takes_part(&endpoints[i], terminating) && endpoints[i].far == far)
                r = set_add(lb, set, weights, &endpoints[i]);
        if (!far)
            set->near = set->n;
    }
    if (r)
        return r;
    if (set->near == 0)
        set->near = set->n;
    for (uint32_t i = 1; i < set->near; i++)
        equal = equal && weights[i] == weights[0];
    return equal ? 0 : aliases_make(set, weights);
}

static void forget_conf(struct weir_hnode *n, void *arg) {
    WEIR_CONTAINER_OF(n, struct entry, e.node)->e.conf = NULL;
}

/* From here on nothing can fail. */
static void set_commit(struct weir_lb *lb, struct set *set, const uint32_t *weights,
                       const struct weir_endpoint *endpoints, uint32_t n) {
    struct set old = lb->set;

    lb->set = *set;
    weir_htab_foreach(&lb->table, forget_conf, NULL);
    for (uint32_t i = 0; i < set->n; i++) {
        set->entries[i]->e.weight = weights[i];
        set->entries[i]->e.present = true;
    }
    for (uint32_t i = 0; i < n; i++) {
        char key[KEY_SIZE];
        struct weir_hnode *node;

        key_make(&endpoints[i], key);
        node = weir_htab_find(&lb->table, weir_slice_make(key, KEY_SIZE));
        if (node)
            WEIR_CONTAINER_OF(node, struct entry, e.node)->e.conf = &endpoints[i];
    }
    for (uint32_t i = 0; i < old.n; i++) {
        struct entry *entry = old.entries[i];

        if (entry->staged)
            continue;
        entry->e.present = false;
        if (entry->e.users == 0)
            forget(lb, &entry->e);
    }
    for (uint32_t i = 0; i < set->n; i++)
        set->entries[i]->staged = false;
    set_deinit(&old);
}

void weir_lb_unstage(struct weir_lb *lb) {
    struct set *set = &lb->next.set;

    for (uint32_t i = 0; i < set->n; i++) {
        set->entries[i]->staged = false;
        if (!set->entries[i]->e.present && set->entries[i]->e.users == 0)
            forget(lb, &set->entries[i]->e);
    }
    set_deinit(set);
    lb->next.weights = weir_free(lb->next.weights);
}

int weir_lb_stage(struct weir_lb *lb, const struct weir_endpoint *endpoints, uint32_t n) {
    int r = -ENOMEM;

    lb->next.endpoints = endpoints;
    lb->next.n = n;
    lb->next.weights = weir_calloc(n + 1UL, sizeof(*lb->next.weights));
    lb->next.set.entries = weir_calloc(n + 1UL, sizeof(*lb->next.set.entries));
    if (lb->next.weights && lb->next.set.entries)
        r = set_fill(lb, &lb->next.set, lb->next.weights, endpoints, n);
    if (r < 0)
        weir_lb_unstage(lb);
    return r;
}

void weir_lb_commit(struct weir_lb *lb) {
    set_commit(lb, &lb->next.set, lb->next.weights, lb->next.endpoints, lb->next.n);
    lb->next.set = (struct set){ 0 };
    lb->next.weights = weir_free(lb->next.weights);
}

int weir_lb_update(struct weir_lb *lb, const struct weir_endpoint *endpoints, uint32_t n) {
    int r = weir_lb_stage(lb, endpoints, n);

    if (r == 0)
        weir_lb_commit(lb);
    return r;
}

static bool is_tried(const struct weir_lb_endpoint *e, struct weir_lb_endpoint *const *tried,
                     uint32_t n_tried) {
    for (uint32_t i = 0; i < n_tried; i++)
        if (tried[i] == e)
            return true;
    return false;
}

static double load_of(const struct weir_lb_endpoint *e) {
    return (e->outstanding + 1.0) * e->latency_us / e->weight;
}

/* Is a less loaded than b, per weight? */
static bool lighter(const struct weir_lb *lb, const struct weir_lb_endpoint *a,
                    const struct weir_lb_endpoint *b) {
    if (lb->balancer == WEIR_BALANCER_RANDOM)
        return false;
    if (lb->balancer == WEIR_BALANCER_LATENCY)
        return load_of(a) < load_of(b);
    return (uint64_t)a->outstanding * b->weight < (uint64_t)b->outstanding * a->weight;
}

/* 0 = welcome; else 1 for far, 2 for ejected, 4 for tried. */
static int rank(const struct weir_lb *lb, uint32_t at, uint64_t now_us,
                struct weir_lb_endpoint *const *tried, uint32_t n_tried) {
    const struct weir_lb_endpoint *e = &lb->set.entries[at]->e;
    int far = at >= lb->set.near;

    if (is_tried(e, tried, n_tried))
        return 4 + far;
    return (e->ejected_until > now_us ? 2 : 0) + far;
}

static uint32_t draw_entry(const struct set *set, uint64_t random) {
    uint32_t i = below((uint32_t)(random >> 32), set->near);

    if (set->aliases && (uint32_t)random >= set->aliases[i].keep)
        i = set->aliases[i].other;
    return i;
}

/* From a random start, so that equals share. */
static struct weir_lb_endpoint *scan(struct weir_lb *lb, uint64_t now_us,
                                     struct weir_lb_endpoint *const *tried, uint32_t n_tried) {
    uint32_t start = below((uint32_t)draw(lb), lb->set.n);
    struct weir_lb_endpoint *best = NULL;
    int best_rank = INT_MAX;

    for (uint32_t i = 0; i < lb->set.n; i++) {
        uint32_t at = start + i < lb->set.n ? start + i : start + i - lb->set.n;
        struct weir_lb_endpoint *e = &lb->set.entries[at]->e;
        int r = rank(lb, at, now_us, tried, n_tried);

        if (r < best_rank || (r == best_rank && lighter(lb, e, best))) {
            best = e;
            best_rank = r;
        }
    }
    return best;
}

struct weir_lb_endpoint *weir_lb_pick(struct weir_lb *lb, uint64_t now_us,
                                      struct weir_lb_endpoint *const *tried, uint32_t n_tried) {
    const struct set *set = &lb->set;
    struct weir_lb_endpoint *a, *b;
    uint32_t i, k;
    int ra, rb;

    if (set->n <= 1)
        return set->n ? &set->entries[0]->e : NULL;
    i = k = draw_entry(set, draw(lb));
    if (set->aliases) {
        k = draw_entry(set, draw(lb));
    } else if (set->near > 1) {
        k = below((uint32_t)draw(lb), set->near - 1);
        k += k >= i;
    }
    a = &set->entries[i]->e;
    b = &set->entries[k]->e;
    ra = rank(lb, i, now_us, tried, n_tried);
    rb = rank(lb, k, now_us, tried, n_tried);
    if (ra != 0 && rb != 0)
        return scan(lb, now_us, tried, n_tried);
    if (ra != 0 || rb != 0)
        return ra == 0 ? a : b;
    return lighter(lb, b, a) ? b : a;
}

struct weir_lb_endpoint *weir_lb_find(struct weir_lb *lb, const struct weir_ip *ip, uint16_t port,
                                      uint64_t now_us) {
    const struct weir_endpoint conf = { .ip = *ip, .port = port };
    struct weir_lb_endpoint *e;
    struct weir_hnode *n;
    char key[KEY_SIZE];

    key_make(&conf, key);
    n = weir_htab_find(&lb->table, weir_slice_make(key, KEY_SIZE));
    if (!n)
        return NULL;
    e = WEIR_CONTAINER_OF(n, struct weir_lb_endpoint, node);
    return e->present && e->ejected_until <= now_us ? e : NULL;
}

void weir_lb_balance(struct weir_lb *lb, enum weir_balancer balancer) {
    lb->balancer = balancer;
}

/* An eighth of the new, seven of what was. */
void weir_lb_observe(struct weir_lb_endpoint *e, uint64_t latency_us) {
    uint32_t us = latency_us < UINT32_MAX ? (uint32_t)latency_us : UINT32_MAX;

    e->latency_us = e->latency_us ? e->latency_us - e->latency_us / 8 + us / 8 : us;
}

void weir_lb_use(struct weir_lb *lb, struct weir_lb_endpoint *e) {
    e->users++;
}

void weir_lb_unuse(struct weir_lb *lb, struct weir_lb_endpoint *e) {
    if (--e->users == 0 && !e->present)
        forget(lb, e);
}

void weir_lb_report(struct weir_lb *lb, struct weir_lb_endpoint *e, bool ok, uint64_t now_us) {
    uint32_t doublings;
    uint64_t length;

    if (ok) {
        e->failures = 0;
        e->ejected_until = 0;
        return;
    }
    /* Attempts begun before the ejection say nothing new. */
    if (e->ejected_until > now_us)
        return;
    e->failures++;
    if (e->failures < FAILURES_TO_EJECT)
        return;
    doublings = e->failures - FAILURES_TO_EJECT;
    length = doublings < 5 ? EJECT_FIRST_US << doublings : EJECT_MAX_US;
    e->ejected_until = now_us + length;
}

struct visit {
    void (*fn)(struct weir_lb_endpoint *e, void *arg);
    void *arg;
};

static void visit_node(struct weir_hnode *n, void *arg) {
    struct visit *v = arg;

    v->fn(WEIR_CONTAINER_OF(n, struct weir_lb_endpoint, node), v->arg);
}

void weir_lb_foreach(struct weir_lb *lb, void (*fn)(struct weir_lb_endpoint *e, void *arg),
                     void *arg) {
    struct visit v = { fn, arg };

    weir_htab_foreach(&lb->table, visit_node, &v);
}
