/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader that looks between any two operations of a change has to find every pointer's target, and a decision that
 * is either the old or the new one.
 */
#include "kern/plan_bridge.h"
#include "random.h"

/* The maps as the kernel would hold them, rebuilt after each deletion because a mapset only grows. */
struct kernel {
    struct weir_mapset *maps;
    const struct weir_snapshot *snapshot;
    const struct weir_mapset *before, *after;
    enum weir_map last;
    bool settled; /* since a pointer was put or deleted */
    bool deleting;
    unsigned n_operations;
};

struct copy {
    struct weir_mapset *to;
    enum weir_map map, without_map;
    const void *without;
};

static int copy_one(void *arg, const void *key, const void *value) {
    struct copy *c = arg;

    if (c->without && c->map == c->without_map &&
        memcmp(key, c->without, weir_map_key_size(c->map)) == 0)
        return 0;
    return weir_mapset_put(c->to, c->map, key, value);
}

static struct weir_mapset *copy_of(const struct weir_mapset *set, enum weir_map map,
                                   const void *without) {
    struct copy c = { .without_map = map, .without = without };

    assert_int_equal(weir_mapset_new(&c.to), 0);
    for (int m = 0; m < WEIR_MAP_META; m++) {
        c.map = (enum weir_map)m;
        assert_int_equal(weir_mapset_each(set, c.map, copy_one, &c), 0);
    }
    return c.to;
}

static int check_service(void *arg, const void *key, const void *value) {
    const struct weir_svc_value *service = value;

    for (uint32_t i = 0; i < service->count; i++) {
        struct weir_ep_key ep = { service->set, i };

        assert_non_null(weir_mapset_get(arg, WEIR_MAP_EP, &ep));
    }
    return 0;
}

static void check_flows(const struct kernel *k) {
    for (uint32_t i = 0; i < k->snapshot->n_pods; i++) {
        const struct weir_pod *pod = &k->snapshot->pods[i];
        uint32_t id = pod_id(k->before, pod);

        if (!weir_mapset_get(k->maps, WEIR_MAP_POD, &id))
            continue;
        for (uint32_t p = 0; p < k->snapshot->n_pods; p++) {
            for (int d = 0; d < 2; d++) {
                const struct weir_ip *peer = &k->snapshot->pods[p].ips[0];
                uint32_t now = answer_of(k->maps, id, d, peer, 6, 80).verdict;
                uint32_t old = answer_of(k->before, id, d, peer, 6, 80).verdict;

                if (now != old)
                    assert_int_equal(now, answer_of(k->after, id, d, peer, 6, 80).verdict);
            }
        }
    }
}

static void look(struct kernel *k) {
    k->n_operations++;
    assert_int_equal(weir_mapset_each(k->maps, WEIR_MAP_SVC, check_service, k->maps), 0);
    check_flows(k);
}

static int sink_put(void *arg, enum weir_map map, const void *key, const void *value) {
    struct kernel *k = arg;

    assert_false(k->deleting);
    /* But for identities, that are everywhere before the first settle. */
    assert_true(map >= k->last || (map == WEIR_MAP_POD && k->last == WEIR_MAP_IP));
    k->last = map;
    k->settled = k->settled && map < WEIR_MAP_IP;
    /* What is pointed at is never changed under its id. */
    if (map == WEIR_MAP_RULE || map == WEIR_MAP_IDSET || map == WEIR_MAP_CIDR || map == WEIR_MAP_EP)
        assert_null(weir_mapset_get(k->before, map, key));
    assert_int_equal(weir_mapset_put(k->maps, map, key, value), 0);
    look(k);
    return 0;
}

static int sink_delete(void *arg, enum weir_map map, const void *key) {
    struct kernel *k = arg;
    struct weir_mapset *maps = copy_of(k->maps, map, key);

    k->deleting = true;
    assert_true(k->settled || map >= WEIR_MAP_IP);
    weir_mapset_free(k->maps);
    k->maps = maps;
    look(k);
    return 0;
}

static int sink_settle(void *arg) {
    struct kernel *k = arg;

    k->settled = true;
    if (k->last == WEIR_MAP_POD)
        k->last = WEIR_MAP_IP;
    return 0;
}

static void change(const struct weir_snapshot *s, const struct weir_mapset *before,
                   const struct weir_mapset *after, struct weir_plan_change *ret_change) {
    struct kernel k = { .maps = copy_of(before, WEIR_MAP_NAME, NULL),
                        .snapshot = s,
                        .before = before,
                        .after = after };
    const struct weir_plan_sink sink = { sink_put, sink_delete, sink_settle, &k };
    struct weir_plan_change nothing;

    assert_int_equal(weir_plan_diff(before, after, &sink, ret_change), 0);
    assert_int_equal(k.n_operations, ret_change->puts + ret_change->deletes);
    /* It is the desired state now: nothing is left to do. */
    k.settled = k.deleting = false;
    assert_int_equal(weir_plan_diff(k.maps, after, &sink, &nothing), 0);
    assert_int_equal(nothing.puts + nothing.deletes, 0);
    assert_false(k.settled);
    weir_mapset_free(k.maps);
}

static void put_service(struct text *t, uint64_t *seed) {
    put(t, "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: ns0}\n"
           "spec: {clusterIP: 10.96.0.1, ports: [{name: p, port: 80}]}\n---\n"
           "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
           "metadata: {name: s-1, namespace: ns0, labels: {kubernetes.io/service-name: s}}\n"
           "addressType: IPv4\nports: [{name: p, port: 8080}]\nendpoints: [");
    for (uint32_t i = rnd_below(seed, 5); i > 0; i--)
        put(t, "{addresses: [10.0.0.%u]}, ", i + rnd_below(seed, 2) * 10);
    put(t, "]\n---\n");
}

static void between_any_two_operations_a_reader_finds_old_or_new(void **state) {
    unsigned changed = 0;

    for (uint64_t round = 1; round <= 40; round++) {
        struct text *t = calloc(1, sizeof(*t));
        struct weir_snapshot *s[2];
        struct weir_mapset *set[2] = { NULL, NULL };
        struct weir_plan_change c;

        for (int i = 0; i < 2; i++) {
            uint64_t pods = round, rest = round * 2 + (uint64_t)i;

            t->len = 0;
            put_pods(t, &pods, 6);
            put_policies(t, &rest, 1 + rnd_below(&rest, 4));
            put_service(t, &rest);
            s[i] = snapshot_of(t->bytes);
            set[i] = plan_of(s[i], i ? set[0] : NULL, NULL);
        }
        change(s[0], set[0], set[1], &c);
        changed += c.puts > 0 && c.deletes > 0;
        for (int i = 0; i < 2; i++) {
            weir_mapset_free(set[i]);
            weir_snapshot_unref(s[i]);
        }
        free(t);
    }
    assert_in_range(changed, 20, 40);
}

/* Pod p0 with that label and address, which the policy of `store` lets in; p1 with another name. */
static struct weir_mapset *plan_with(const char *pod, const char *label, const char *also,
                                     const struct weir_mapset *before,
                                     struct weir_snapshot **ret_snapshot) {
    struct text *t = calloc(1, sizeof(*t));
    struct weir_mapset *set;

    put(t,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: n, labels: {app: a, x: '%s'}, "
        "annotations: {weir.dev/cgroup: /x/p}}\n"
        "status: {podIP: 10.0.0.1}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: store, namespace: n, labels: {app: store}, "
        "annotations: {weir.dev/cgroup: /x/store}}\n"
        "status: {podIP: 10.0.0.2}\n---\n"
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: n}\n"
        "spec: {podSelector: {matchLabels: {app: store}}, ingress: [{from: "
        "[{podSelector: {matchLabels: {%s}}}]}]}\n---\n",
        pod, label, also);
    *ret_snapshot = snapshot_of(t->bytes);
    set = plan_of(*ret_snapshot, before, NULL);
    free(t);
    return set;
}

/*
 * What readers find for p0 -> store after each operation; before and after are the same. A reader may have read p0's
 * identity, at its address or in its entry, at any time since it was last settled.
 */
#define HELD 16
static struct watched {
    struct weir_mapset *maps;
    uint32_t store, p0, allowed, denied;
    uint32_t held[HELD]; /* identities that a reader may have read; 0: unidentified */
    unsigned n_held;
    unsigned n_operations, cut_at; /* the agent is killed before that operation; 0 = never */
} watched;

static void hold(uint32_t identity) {
    for (unsigned i = 0; i < watched.n_held; i++)
        if (watched.held[i] == identity)
            return;
    assert_in_range(watched.n_held, 0, HELD - 1);
    watched.held[watched.n_held++] = identity;
}

static void hold_current(void) {
    const struct weir_ip from = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1 } };
    struct weir_addr addr = addr_of(&from);
    const struct weir_ip_value *ip = weir_mapset_get(watched.maps, WEIR_MAP_IP, &addr);
    const struct weir_pod_value *pod = weir_mapset_get(watched.maps, WEIR_MAP_POD, &watched.p0);

    hold(ip ? ip->identity : 0);
    if (pod)
        hold(pod->identity);
}

static void watch(void) {
    const struct weir_pod_value *store =
        weir_mapset_get(watched.maps, WEIR_MAP_POD, &watched.store);
    struct weir_policy_query q = { .proto = 6, .port = 80 };
    struct weir_policy_answer answer;

    watched.n_operations++;
    hold_current();
    for (unsigned i = 0; i < watched.n_held; i++) {
        q.peer_identity = watched.held[i];
        weir_policy_decide(watched.maps, &store->policy[WEIR_INGRESS], &q, &answer);
        if (answer.verdict == WEIR_VERDICT_ALLOW)
            watched.allowed++;
        else
            watched.denied++;
    }
}

static int watched_put(void *arg, enum weir_map map, const void *key, const void *value) {
    if (watched.n_operations + 1 == watched.cut_at)
        return -EINTR;
    assert_int_equal(weir_mapset_put(watched.maps, map, key, value), 0);
    watch();
    return 0;
}

static int watched_delete(void *arg, enum weir_map map, const void *key) {
    struct weir_mapset *maps;

    if (watched.n_operations + 1 == watched.cut_at)
        return -EINTR;
    maps = copy_of(watched.maps, map, key);
    weir_mapset_free(watched.maps);
    watched.maps = maps;
    watch();
    return 0;
}

static int watched_settle(void *arg) {
    watched.n_held = 0;
    hold_current();
    return 0;
}

static const struct weir_plan_sink watched_sink = { watched_put, watched_delete, watched_settle,
                                                    NULL };

static void watch_change(const char *const from[3], const char *const to[3]) {
    const struct weir_plan_sink sink = watched_sink;
    struct weir_snapshot *s[2];
    struct weir_mapset *set[2];
    struct weir_plan_change c, nothing;

    set[0] = plan_with(from[0], from[1], from[2], NULL, &s[0]);
    set[1] = plan_with(to[0], to[1], to[2], set[0], &s[1]);
    watched = (struct watched){ .maps = copy_of(set[0], WEIR_MAP_NAME, NULL),
                                .store = weir_plan_id(set[0], WEIR_NAME_POD, "n/store"),
                                .p0 = weir_plan_id(set[0], WEIR_NAME_POD, "n/p0") };
    assert_int_equal(weir_plan_diff(set[0], set[1], &sink, &c), 0);
    assert_int_equal(watched.n_operations, c.puts + c.deletes);
    assert_int_equal(weir_plan_diff(watched.maps, set[1], &sink, &nothing), 0);
    assert_int_equal(nothing.puts + nothing.deletes, 0);
    weir_mapset_free(watched.maps);
    for (int i = 0; i < 2; i++) {
        weir_mapset_free(set[i]);
        weir_snapshot_unref(s[i]);
    }
}

static void
a_pod_whose_labels_change_is_refused_by_nobody_who_allows_it_before_and_after(void **state) {
    watch_change((const char *const[]){ "p0", "1", "app: a" },
                 (const char *const[]){ "p0", "2", "app: a" });
    assert_true(watched.allowed > 4);
    assert_int_equal(watched.denied, 0);
}

/* The agent is killed before one operation; the next one finds labels changed to `last`. True: nothing was left to be cut. */
static bool cut_short(unsigned cut, const char *last) {
    struct weir_snapshot *s[3];
    struct weir_mapset *set[3];
    struct weir_plan_change c;
    int r;

    set[0] = plan_with("p0", "1", "app: a", NULL, &s[0]);
    set[1] = plan_with("p0", "2", "app: a", set[0], &s[1]);
    watched = (struct watched){ .maps = copy_of(set[0], WEIR_MAP_NAME, NULL),
                                .store = weir_plan_id(set[0], WEIR_NAME_POD, "n/store"),
                                .p0 = weir_plan_id(set[0], WEIR_NAME_POD, "n/p0"),
                                .cut_at = cut };
    r = weir_plan_diff(set[0], set[1], &watched_sink, &c);
    assert_true(r == 0 || r == -EINTR);
    watched.cut_at = 0;
    weir_mapset_free(set[1]);
    set[1] = copy_of(watched.maps, WEIR_MAP_NAME, NULL); /* what the next agent reads */
    set[2] = plan_with("p0", last, "app: a", set[1], &s[2]);
    assert_int_equal(weir_plan_diff(set[1], set[2], &watched_sink, &c), 0);
    assert_int_equal(watched.denied, 0);
    weir_mapset_free(watched.maps);
    for (int i = 0; i < 3; i++) {
        weir_mapset_free(set[i]);
        weir_snapshot_unref(s[i]);
    }
    return r == 0;
}

static void a_change_that_was_cut_short_refuses_nobody_either(void **state) {
    static const char *const last[] = { "1", "2", "3" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(last); i++) {
        unsigned cut = 1;

        while (!cut_short(cut, last[i]))
            cut++;
        assert_in_range(cut, 10, 100);
    }
}

static void an_address_that_went_to_another_pod_does_not_take_its_rights_along(void **state) {
    watch_change((const char *const[]){ "p0", "1", "x: '1'" },
                 (const char *const[]){ "p1", "2", "x: '1'" });
    /* Allowed before anything was touched, and never again once the address says p1. */
    assert_true(watched.denied > 1);
}

static void the_same_configuration_planned_again_changes_nothing(void **state) {
    struct text *t = calloc(1, sizeof(*t));
    struct weir_plan_change c;
    struct weir_mapset *first, *second;
    struct weir_snapshot *s;
    uint64_t seed = 99;

    put_pods(t, &seed, 8);
    put_policies(t, &seed, 8);
    put_service(t, &seed);
    s = snapshot_of(t->bytes);
    first = plan_of(s, NULL, NULL);
    weir_snapshot_unref(s);
    s = snapshot_of(t->bytes);
    second = plan_of(s, first, NULL);
    change(s, first, second, &c);
    assert_int_equal(c.puts + c.deletes, 0);
    weir_mapset_free(first);
    weir_mapset_free(second);
    weir_snapshot_unref(s);
    free(t);
}

static int fail_put(void *arg, enum weir_map map, const void *key, const void *value) {
    return -E2BIG;
}

static void an_error_of_the_sink_ends_the_change_and_is_forwarded(void **state) {
    const struct weir_plan_sink sink = { fail_put, sink_delete, sink_settle, NULL };
    struct weir_snapshot *s =
        snapshot_of("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: n}\n"
                    "status: {podIP: 10.0.0.1}\n");
    struct weir_mapset *set = plan_of(s, NULL, NULL), *empty = NULL;
    struct weir_plan_change c = { 7, 7 };

    assert_int_equal(weir_mapset_new(&empty), 0);
    assert_int_equal(weir_plan_diff(empty, set, &sink, &c), -E2BIG);
    assert_int_equal(c.puts, 7);
    weir_mapset_free(set);
    weir_mapset_free(empty);
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(between_any_two_operations_a_reader_finds_old_or_new),
        cmocka_unit_test(
            a_pod_whose_labels_change_is_refused_by_nobody_who_allows_it_before_and_after),
        cmocka_unit_test(a_change_that_was_cut_short_refuses_nobody_either),
        cmocka_unit_test(an_address_that_went_to_another_pod_does_not_take_its_rights_along),
        cmocka_unit_test(the_same_configuration_planned_again_changes_nothing),
        cmocka_unit_test(an_error_of_the_sink_ends_the_change_and_is_forwarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
