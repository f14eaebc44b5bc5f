/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define POD(name, labels)                                                                          \
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", labels: " labels "}\n"
#define AUTH(name, spec)                                                                           \
    "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: " name      \
    "}\nspec: " spec "\n"

static enum weir_mtls_mode mode(const struct weir_snapshot *s, const char *ns, const char *pod,
                                uint16_t port) {
    return weir_snapshot_mtls(s, weir_snapshot_pod(s, ns, pod), port);
}

static void mutual_tls_is_permissive_unless_stated(void **state) {
    struct weir_snapshot *s = conf_build(POD("a", "{}"));

    assert_int_equal(mode(s, "default", "a", 80), WEIR_MTLS_PERMISSIVE);
    weir_snapshot_unref(s);
}

static void the_workload_beats_the_namespace_and_that_the_mesh(void **state) {
    struct weir_snapshot *s = conf_build(
        POD("a", "{app: a}") POD("b", "{app: b}") POD("c, namespace: other", "{app: a}")
            AUTH("mesh, namespace: weir-system", "{mtls: {mode: DISABLE}}")
                AUTH("ns", "{mtls: {mode: STRICT}}")
                    AUTH("wl", "{selector: {matchLabels: {app: a}}, mtls: {mode: PERMISSIVE}, "
                               "portLevelMtls: {8080: {mode: DISABLE}, 9090: {mode: UNSET}}}"));

    assert_int_equal(mode(s, "default", "a", 80), WEIR_MTLS_PERMISSIVE);
    assert_int_equal(mode(s, "default", "a", 8080), WEIR_MTLS_DISABLE);
    assert_int_equal(mode(s, "default", "a", 9090), WEIR_MTLS_PERMISSIVE);
    assert_int_equal(mode(s, "default", "b", 8080), WEIR_MTLS_STRICT);
    assert_int_equal(mode(s, "other", "c", 80), WEIR_MTLS_DISABLE);
    weir_snapshot_unref(s);
}

static void unset_asks_the_next_wider_policy(void **state) {
    struct weir_snapshot *s =
        conf_build(POD("a", "{app: a}") AUTH("ns", "{mtls: {mode: STRICT}}")
                       AUTH("wl", "{selector: {matchLabels: {app: a}}, portLevelMtls: {1: {mode: "
                                  "DISABLE}}}"));

    assert_int_equal(mode(s, "default", "a", 80), WEIR_MTLS_STRICT);
    assert_int_equal(mode(s, "default", "a", 1), WEIR_MTLS_DISABLE);
    weir_snapshot_unref(s);
}

static void the_oldest_of_equal_policies_wins(void **state) {
    struct weir_snapshot *s = conf_build(
        POD("a", "{}")
            AUTH("a, creationTimestamp: \"2025-01-01T00:00:00Z\"", "{mtls: {mode: DISABLE}}")
                AUTH("b, creationTimestamp: \"2024-01-01T00:00:00Z\"", "{mtls: {mode: STRICT}}"));

    assert_int_equal(mode(s, "default", "a", 80), WEIR_MTLS_STRICT);
    weir_snapshot_unref(s);
}

static void a_selector_in_the_mesh_namespace_is_not_mesh_wide(void **state) {
    struct weir_snapshot *s = conf_build(POD("a", "{app: a}") AUTH(
        "m, namespace: weir-system", "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}}"));

    assert_int_equal(mode(s, "default", "a", 80), WEIR_MTLS_PERMISSIVE);
    weir_snapshot_unref(s);
}

static void names_longer_than_any_are_not_found(void **state) {
    struct weir_snapshot *s = conf_build(POD("a", "{}"));
    char name[1000];

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_null(weir_snapshot_pod(s, "default", name));
    assert_null(weir_snapshot_service(s, name, name));
    assert_null(weir_snapshot_namespace(s, name));
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutual_tls_is_permissive_unless_stated),
        cmocka_unit_test(the_workload_beats_the_namespace_and_that_the_mesh),
        cmocka_unit_test(unset_asks_the_next_wider_policy),
        cmocka_unit_test(the_oldest_of_equal_policies_wins),
        cmocka_unit_test(a_selector_in_the_mesh_namespace_is_not_mesh_wide),
        cmocka_unit_test(names_longer_than_any_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
