/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sweep over weir_dns_bound. An answer may come while it runs: what was deleted is looked at once more, and put
 * back if it had just been made to last.
 */
#include "kern/names.h"

#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kern/patterns.h"
#include "kern/priv.h"

struct sweep {
    struct weir_kern *k;
    bool (*wanted)(void *arg, uint32_t pod);
    void *arg;
    uint64_t now_us;
    struct weir_names_swept *swept;
    uint32_t *pods; /* of every address that is left */
    uint32_t n, cap;
};

bool weir_bound_holds(const struct weir_dns_bound_value *bound, uint64_t now_us) {
    for (unsigned i = 0; i < WEIR_DNS_SLOTS; i++)
        if (weir_dns_slot_holds(bound, &bound->slots[i], 0, now_us * 1000))
            return true;
    return false;
}

bool weir_bound_ran_out(const struct weir_dns_bound_value *bound, uint64_t now_us) {
    for (unsigned i = 0; i < WEIR_DNS_SLOTS; i++)
        if (bound->slots[i].pattern && bound->slots[i].until_s * 1000000ULL >= now_us)
            return false;
    return true;
}

static int note_left(struct sweep *s, uint32_t pod, const struct weir_dns_bound_value *v) {
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 64;
        uint32_t *pods = weir_reallocarray(s->pods, cap, sizeof(*pods));

        if (!pods)
            return -ENOMEM;
        s->pods = pods;
        s->cap = cap;
    }
    s->pods[s->n++] = pod;
    s->swept->addresses++;
    s->swept->kept += weir_bound_ran_out(v, s->now_us);
    return 0;
}

static int look_at(void *arg, const void *key, const void *value) {
    const struct weir_dns_bound_key *k = key;
    struct weir_dns_bound_value v;
    struct sweep *s = arg;
    int fd = s->k->map_fds[WEIR_MAP_DNS_BOUND], r;
    bool wanted = s->wanted(s->arg, k->pod);

    if (wanted && weir_bound_holds(value, s->now_us))
        return note_left(s, k->pod, value);
    r = bpf_map_lookup_and_delete_elem(fd, k, &v);
    if (r == 0 && wanted && weir_bound_holds(&v, s->now_us)) {
        r = bpf_map_update_elem(fd, k, &v, BPF_NOEXIST);
        return r && r != -EEXIST ? r : note_left(s, k->pod, &v);
    }
    s->swept->expired += r == 0;
    return r == -ENOENT ? 0 : r;
}

static int compare(const void *pa, const void *pb) {
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

    return (a > b) - (a < b);
}

static int forget_used(void *arg, const void *key, const void *value) {
    const struct sweep *s = arg;

    (void)value;
    if (s->n && bsearch(key, s->pods, s->n, sizeof(*s->pods), compare))
        return 0;
    return weir_kern_delete(s->k, WEIR_MAP_DNS_USED, key);
}

/* What the kernel enters meanwhile is counted by the next sweep. */
static int count_used(struct sweep *s) {
    uint32_t end;

    if (s->n > 1)
        qsort(s->pods, s->n, sizeof(*s->pods), compare);
    for (uint32_t i = 0; i < s->n; i = end) {
        uint32_t used;
        int r;

        for (end = i + 1; end < s->n && s->pods[end] == s->pods[i]; end++)
            ;
        used = end - i;
        r = weir_kern_put(s->k, WEIR_MAP_DNS_USED, &s->pods[i], &used);
        if (r)
            return r;
    }
    return weir_kern_each(s->k, WEIR_MAP_DNS_USED, forget_used, s);
}

int weir_kern_names_sweep(struct weir_kern *k, bool (*wanted)(void *arg, uint32_t pod), void *arg,
                          uint64_t now_us, struct weir_names_swept *ret_swept) {
    struct weir_names_swept swept = { 0 };
    struct sweep s = { k, wanted, arg, now_us, &swept, NULL, 0, 0 };
    int r = weir_kern_each(k, WEIR_MAP_DNS_BOUND, look_at, &s);

    if (r == 0)
        r = count_used(&s);
    weir_free(s.pods);
    if (r == 0)
        *ret_swept = swept;
    return r;
}

struct carry {
    struct weir_kern *k;
    const struct weir_mapset *installed, *desired;
};

static int carry_one(void *arg, const void *key, const void *value) {
    const struct weir_dns_bound_key *k = key;
    struct weir_dns_bound_value v;
    struct carry *c = arg;
    int r;

    memcpy(&v, value, sizeof(v));
    if (!weir_bound_carry(&v, k->pod, c->installed, c->desired))
        return 0;
    r = bpf_map_update_elem(c->k->map_fds[WEIR_MAP_DNS_BOUND], k, &v, BPF_EXIST);
    return r == -ENOENT ? 0 : r;
}

int weir_kern_names_carry(struct weir_kern *k, const struct weir_mapset *installed,
                          const struct weir_mapset *desired) {
    struct carry c = { k, installed, desired };

    if (!weir_patterns_differ(installed, desired))
        return 0;
    return weir_kern_each(k, WEIR_MAP_DNS_BOUND, carry_one, &c);
}
