/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod whose labels change gets another identity, and for a moment its address and its entry say the
 * new one while the rules in force still speak of the old. So that nobody is refused whom both
 * arrangements allow, the new identity joins every set in force that has the old one until the change is
 * complete: till then the pod is treated as it was. Not where another pod is in force under the new
 * identity (it would be let in by what is not its own), nor where the address went to another Pod
 * object. Address and entry are both looked at, for a change that was cut short leaves them apart.
 */
#include "kern/plan_bridge.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct move {
    uint32_t from, to;
};

struct search {
    const struct weir_mapset *installed, *desired;
    struct move *moves; /* sorted */
    uint32_t n_moves, cap_moves;
    uint32_t *in_force; /* identities, sorted */
    uint32_t n_in_force;
    struct weir_plan_bridge *bridge;
    uint32_t cap_items;
};

/* Room for one more of `size` bytes. 0 or -ENOMEM. */
static int grow(void *items, uint32_t n, uint32_t *cap, size_t size) {
    void **at = items;
    uint32_t more = *cap ? *cap * 2 : 16;
    void *moved;

    if (n < *cap)
        return 0;
    moved = weir_reallocarray(*at, more, size);
    if (!moved)
        return -ENOMEM;
    *at = moved;
    *cap = more;
    return 0;
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b; /* a move begins with `from` */

    return (x > y) - (x < y);
}

static int note_move(struct search *s, uint32_t from, uint32_t to) {
    if (from == to || from == 0 || to == 0)
        return 0;
    if (grow(&s->moves, s->n_moves, &s->cap_moves, sizeof(*s->moves)))
        return -ENOMEM;
    s->moves[s->n_moves++] = (struct move){ from, to };
    return 0;
}

static int note_address(void *arg, const void *key, const void *value) {
    struct search *s = arg;
    const struct weir_ip_value *now = value;
    const struct weir_ip_value *old = weir_mapset_get(s->installed, WEIR_MAP_IP, key);

    return old && old->generation == now->generation ? note_move(s, old->identity, now->identity)
                                                     : 0;
}

static int note_pod(void *arg, const void *key, const void *value) {
    struct search *s = arg;
    const struct weir_pod_value *now = value;
    const struct weir_pod_value *old = weir_mapset_get(s->installed, WEIR_MAP_POD, key);

    return old && old->generation == now->generation ? note_move(s, old->identity, now->identity)
                                                     : 0;
}

static int note_in_force(void *arg, const void *key, const void *value) {
    struct search *s = arg;

    s->in_force[s->n_in_force++] = ((const struct weir_ip_value *)value)->identity;
    return 0;
}

static bool is_taken(const struct search *s, uint32_t identity) {
    return bsearch(&identity, s->in_force, s->n_in_force, sizeof(identity), by_number) != NULL;
}

static int add(struct search *s, struct weir_idset_key key, uint32_t policy) {

    if (weir_mapset_get(s->installed, WEIR_MAP_IDSET, &key) ||
        weir_mapset_get(s->desired, WEIR_MAP_IDSET, &key))
        return 0;
    if (grow(&s->bridge->items, s->bridge->n, &s->cap_items, sizeof(*s->bridge->items)))
        return -ENOMEM;
    s->bridge->items[s->bridge->n++] = (struct weir_plan_bridge_item){ key, policy };
    return 0;
}

static int bridge_member(void *arg, const void *key, const void *value) {
    struct search *s = arg;
    const struct weir_idset_key *member = key;
    const uint32_t *policy = value;
    const struct move *m =
        bsearch(&member->identity, s->moves, s->n_moves, sizeof(*s->moves), by_number);
    int r = 0;

    if (!m)
        return 0;
    while (m > s->moves && m[-1].from == member->identity)
        m--;
    for (; r == 0 && m < s->moves + s->n_moves && m->from == member->identity; m++)
        if (!is_taken(s, m->to))
            r = add(s, (struct weir_idset_key){ member->set, m->to }, *policy);
    return r;
}

int weir_plan_bridge(const struct weir_mapset *installed, const struct weir_mapset *desired,
                     struct weir_plan_bridge *ret_bridge) {
    struct weir_plan_bridge bridge = { 0 };
    struct search s = { .installed = installed, .desired = desired, .bridge = &bridge };
    int r = weir_mapset_each(desired, WEIR_MAP_IP, note_address, &s);

    if (r == 0)
        r = weir_mapset_each(desired, WEIR_MAP_POD, note_pod, &s);
    if (r == 0 && s.n_moves > 0) {
        s.in_force =
            weir_calloc(weir_mapset_count(installed, WEIR_MAP_IP) + 1, sizeof(*s.in_force));
        r = s.in_force ? weir_mapset_each(installed, WEIR_MAP_IP, note_in_force, &s) : -ENOMEM;
    }
    if (r == 0 && s.n_moves > 0) {
        qsort(s.in_force, s.n_in_force, sizeof(*s.in_force), by_number);
        qsort(s.moves, s.n_moves, sizeof(*s.moves), by_number);
        r = weir_mapset_each(installed, WEIR_MAP_IDSET, bridge_member, &s);
    }
    bridge.moves = s.n_moves > 0;
    weir_free(s.moves);
    weir_free(s.in_force);
    if (r)
        weir_free(bridge.items);
    else
        *ret_bridge = bridge;
    return r;
}
