/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/patterns.h"

#include <stdio.h>
#include <string.h>

#include "conf/netpol.h"
#include "kern/plan.h"

/* "api.example.com" whole with its end; of "*.example.com" what every name of it ends in. */
struct weir_dns_pattern_key weir_pattern_key(uint32_t pod, const char *text) {
    const char *from = text[0] == '*' ? text + 1 : text;
    size_t len = strlen(from), end = from == text;
    struct weir_dns_pattern_key key = { .prefix = 32 + 8 * (uint32_t)(len + end), .pod = pod };

    for (size_t i = 0; i < len && i < sizeof(key.name); i++)
        key.name[i] = from[len - 1 - i];
    return key;
}

static uint32_t number_of(const struct weir_mapset *set, uint32_t pod, const char *text) {
    const struct weir_dns_pattern_key key = weir_pattern_key(pod, text);
    const uint32_t *id = weir_mapset_get(set, WEIR_MAP_DNS_PATTERN, &key);

    return id ? *id : 0;
}

uint32_t weir_pattern_of(const struct weir_mapset *set, uint32_t pod, const char *name) {
    uint32_t id = number_of(set, pod, name);
    char star[WEIR_DNS_NAME_BYTES + 2];

    for (const char *dot = strchr(name, '.'); id == 0 && dot; dot = strchr(dot + 1, '.')) {
        snprintf(star, sizeof(star), "*%s", dot);
        id = number_of(set, pod, star);
    }
    return id;
}

static int is_other(void *arg, const void *key, const void *value) {
    const uint32_t *there = weir_mapset_get(arg, WEIR_MAP_DNS_PATTERN, key);

    return !there || memcmp(there, value, sizeof(*there)) != 0;
}

bool weir_patterns_differ(const struct weir_mapset *installed, const struct weir_mapset *desired) {
    return weir_mapset_count(installed, WEIR_MAP_DNS_PATTERN) !=
               weir_mapset_count(desired, WEIR_MAP_DNS_PATTERN) ||
           weir_mapset_each(desired, WEIR_MAP_DNS_PATTERN, is_other, (void *)installed) != 0;
}

/* Until when it is bound for that name, by the patterns that mean it; 0 = not at all. */
static uint32_t bound_until(const struct weir_dns_bound_value *v,
                            const struct weir_mapset *installed) {
    uint32_t until_s = 0;

    for (unsigned i = 0; i < WEIR_DNS_SLOTS; i++) {
        const struct weir_dns_slot *slot = &v->slots[i];

        if (slot->pattern && slot->until_s > until_s &&
            weir_egress_name_covers(weir_plan_name(installed, WEIR_NAME_DNS, slot->pattern),
                                    v->asked))
            until_s = slot->until_s;
    }
    return until_s;
}

/* An id that no pattern has any more may be given to another one by the change that comes: nothing may be bound to it then. */
static bool forget_gone(struct weir_dns_bound_value *v, const struct weir_mapset *installed) {
    bool changed = false;

    for (unsigned i = 0; i < WEIR_DNS_SLOTS; i++) {
        struct weir_dns_slot *slot = &v->slots[i];

        if (slot->pattern && !weir_plan_name(installed, WEIR_NAME_DNS, slot->pattern)[0]) {
            *slot = (struct weir_dns_slot){ 0 };
            changed = true;
        }
    }
    return changed;
}

bool weir_bound_carry(struct weir_dns_bound_value *v, uint32_t pod,
                      const struct weir_mapset *installed, const struct weir_mapset *desired) {
    bool changed = forget_gone(v, installed);
    uint32_t pattern = weir_pattern_of(desired, pod, v->asked);
    uint32_t until_s = pattern ? bound_until(v, installed) : 0;
    struct weir_dns_slot *free_slot = NULL;

    for (unsigned i = 0; i < WEIR_DNS_SLOTS; i++) {
        if (v->slots[i].pattern == pattern)
            return changed;
        if (v->slots[i].pattern == 0 && !free_slot)
            free_slot = &v->slots[i];
    }
    if (until_s == 0 || !free_slot)
        return changed;
    *free_slot = (struct weir_dns_slot){ pattern, until_s };
    return true;
}
