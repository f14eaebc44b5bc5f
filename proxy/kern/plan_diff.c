/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The difference of two mapsets as a sequence of map operations. enum weir_map is in the order in
 * which a whole change is written; deletion goes the other way round. Rule blocks and sets never
 * change under their id, so between two operations a reader sees either the old arrangement of a
 * pod or service or the new one. A reader may also stand still between two of its own lookups for as long
 * as nobody settles (its virtual processor may be away for milliseconds): so new identities are
 * everywhere, and nobody holds an old one, before rules are in force that only know the new.
 */
#include "kern/plan.h"

#include <string.h>

#include "base/mem.h"
#include "kern/plan_bridge.h"

/* From here on in enum weir_map entries point at others; before it they are pointed at. */
#define FIRST_POINTER WEIR_MAP_IP

struct walk {
    const struct weir_mapset *other;
    const struct weir_plan_sink *sink;
    struct weir_plan_change *change;
    enum weir_map map;
};

static int put_if_new(void *arg, const void *key, const void *value) {
    struct walk *w = arg;
    const void *old = weir_mapset_get(w->other, w->map, key);

    if (old && memcmp(old, value, weir_map_value_size(w->map)) == 0)
        return 0;
    w->change->puts++;
    return w->sink->put(w->sink->arg, w->map, key, value);
}

static int delete_if_gone(void *arg, const void *key, const void *value) {
    struct walk *w = arg;

    if (weir_mapset_get(w->other, w->map, key))
        return 0;
    w->change->deletes++;
    return w->sink->delete_(w->sink->arg, w->map, key);
}

static int delete_down_to(struct walk *w, const struct weir_mapset *installed, int from, int to) {
    for (int m = from; m >= to; m--) {
        int r;

        w->map = (enum weir_map)m;
        r = weir_mapset_each(installed, w->map, delete_if_gone, w);
        if (r)
            return r;
    }
    return 0;
}

/* The members that stand in while identities change, after those of the desired sets. */
static int bridge_put(struct walk *w, const struct weir_plan_bridge *bridge) {
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < bridge->n; i++) {
        w->change->puts++;
        r = w->sink->put(w->sink->arg, WEIR_MAP_IDSET, &bridge->items[i].key,
                         &bridge->items[i].policy);
    }
    return r;
}

static int bridge_delete(struct walk *w, const struct weir_plan_bridge *bridge) {
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < bridge->n; i++) {
        w->change->deletes++;
        r = w->sink->delete_(w->sink->arg, WEIR_MAP_IDSET, &bridge->items[i].key);
    }
    return r;
}

/* The entry in force of a pod that is still the same, under its new identity. */
static int put_identity(void *arg, const void *key, const void *value) {
    struct walk *w = arg;
    const struct weir_pod_value *desired = value;
    const struct weir_pod_value *old = weir_mapset_get(w->other, WEIR_MAP_POD, key);
    struct weir_pod_value moved;

    if (!old || old->identity == desired->identity || old->generation != desired->generation)
        return 0;
    moved = *old;
    moved.identity = desired->identity;
    w->change->puts++;
    return w->sink->put(w->sink->arg, WEIR_MAP_POD, key, &moved);
}

static int put_all(struct walk *w, const struct weir_mapset *desired,
                   const struct weir_plan_bridge *bridge) {
    int r = 0;

    for (int m = 0; r == 0 && m < WEIR_MAP_META; m++) {
        w->map = (enum weir_map)m;
        r = weir_mapset_each(desired, w->map, put_if_new, w);
        if (r == 0 && m == WEIR_MAP_IDSET)
            r = bridge_put(w, bridge);
        if (r == 0 && m == WEIR_MAP_IP && bridge->moves)
            r = weir_mapset_each(desired, WEIR_MAP_POD, put_identity, w);
        if (r == 0 && m == WEIR_MAP_IP && bridge->moves)
            r = w->sink->settle(w->sink->arg);
    }
    return r;
}

int weir_plan_diff(const struct weir_mapset *installed, const struct weir_mapset *desired,
                   const struct weir_plan_sink *sink, struct weir_plan_change *ret_change) {
    struct weir_plan_bridge bridge = { 0 };
    struct weir_plan_change change = { 0 };
    struct walk w = { .other = installed, .sink = sink, .change = &change };
    int r = weir_plan_bridge(installed, desired, &bridge);

    if (r == 0)
        r = put_all(&w, desired, &bridge);
    w.other = desired;
    if (r == 0)
        r = delete_down_to(&w, installed, WEIR_MAP_META - 1, FIRST_POINTER);
    if (r == 0 && change.puts + change.deletes > 0)
        r = sink->settle(sink->arg);
    if (r == 0)
        r = bridge_delete(&w, &bridge);
    if (r == 0)
        r = delete_down_to(&w, installed, FIRST_POINTER - 1, 0);
    weir_free(bridge.items);
    if (r == 0)
        *ret_change = change;
    return r;
}

static int kern_put(void *arg, enum weir_map map, const void *key, const void *value) {
    return weir_kern_put(arg, map, key, value);
}

static int kern_delete(void *arg, enum weir_map map, const void *key) {
    return weir_kern_delete(arg, map, key);
}

static int kern_settle(void *arg) {
    return weir_kern_settle(arg);
}

int weir_plan_apply(struct weir_kern *k, const struct weir_mapset *installed,
                    const struct weir_mapset *desired, struct weir_plan_change *ret_change) {
    const struct weir_plan_sink sink = { kern_put, kern_delete, kern_settle, k };
    struct weir_plan_change change;
    uint64_t epoch;
    int r = weir_plan_diff(installed, desired, &sink, &change);

    if (r == 0 && change.puts + change.deletes > 0)
        r = weir_kern_epoch_next(k, &epoch);
    if (r == 0)
        *ret_change = change;
    return r;
}

struct reading {
    struct weir_mapset *set;
    enum weir_map map;
};

static int read_entry(void *arg, const void *key, const void *value) {
    const struct reading *r = arg;

    return weir_mapset_put(r->set, r->map, key, value);
}

int weir_plan_read(struct weir_kern *k, struct weir_mapset **ret_installed) {
    struct reading reading = { 0 };
    int r = weir_mapset_new(&reading.set);

    for (int m = 0; r == 0 && m < WEIR_MAP_META; m++) {
        reading.map = (enum weir_map)m;
        r = weir_kern_each(k, reading.map, read_entry, &reading);
    }
    if (r) {
        weir_mapset_free(reading.set);
        return r;
    }
    *ret_installed = reading.set;
    return 0;
}
