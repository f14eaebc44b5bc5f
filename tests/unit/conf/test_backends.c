/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define SERVICE(name, ports)                                                                       \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: " name "}\nspec: {ports: " ports "}\n"
#define TWO "[{name: x, port: 1}, {name: y, port: 2}]"
#define POLICY(name, day, spec)                                                                    \
    "---\napiVersion: weir.dev/v1alpha1\nkind: BackendPolicy\nmetadata: {name: " name              \
    ", creationTimestamp: \"2024-05-0" day "T00:00:00Z\"}\nspec: " spec "\n"

static const struct weir_service_port *ports_of(const struct weir_snapshot *s, const char *name) {
    return weir_snapshot_service(s, "default", name)->ports;
}

static void every_field_is_read_and_what_is_not_given_stays_open(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE("a", TWO) SERVICE("b", TWO) POLICY(
        "p", "1",
        "{targetRefs: [{group: \"\", kind: Service, name: a}], connection: {connectTimeout: 1s, "
        "idleTimeout: 2s, maxLifetime: 3s, headerTimeout: 4s, maxConnections: 5, maxPending: 6, "
        "maxRequestsPerConnection: 7}}") POLICY("q", "1",
                                                "{targetRefs: [{kind: Service, name: b}], "
                                                "connection: {maxPending: 0, maxLifetime: "
                                                "0s}}"));
    const struct weir_connection_spec *c = &ports_of(s, "a")[0].policy->connection;

    assert_ptr_equal(ports_of(s, "a")[0].policy, ports_of(s, "a")[1].policy);
    assert_int_equal(c->connect_us, 1000000);
    assert_int_equal(c->idle_us, 2000000);
    assert_int_equal(c->lifetime_us, 3000000);
    assert_int_equal(c->head_us, 4000000);
    assert_int_equal(c->connections, 5);
    assert_int_equal(c->pending, 6);
    assert_int_equal(c->requests, 7);
    c = &ports_of(s, "b")[0].policy->connection;
    assert_int_equal(c->pending, 0);
    assert_int_equal(c->lifetime_us, 0);
    assert_true(c->connect_us == WEIR_UNSET_64 && c->idle_us == WEIR_UNSET_64);
    assert_true(c->head_us == WEIR_UNSET_64);
    assert_true(c->connections == WEIR_UNSET_32 && c->requests == WEIR_UNSET_32);
    weir_snapshot_unref(s);
}

static void a_port_named_beats_the_whole_service_whichever_is_older(void **state) {
    static const char *const texts[] = {
        SERVICE("a", TWO) POLICY("whole", "1", "{targetRefs: [{kind: Service, name: a}]}")
            POLICY("port", "2", "{targetRefs: [{kind: Service, name: a, sectionName: y}]}"),
        SERVICE("a", TWO) POLICY("whole", "2", "{targetRefs: [{kind: Service, name: a}]}")
            POLICY("port", "1", "{targetRefs: [{kind: Service, name: a, sectionName: y}]}"),
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        struct weir_snapshot *s = conf_build(texts[i]);

        assert_string_equal(ports_of(s, "a")[0].policy->meta.name, "whole");
        assert_string_equal(ports_of(s, "a")[1].policy->meta.name, "port");
        weir_snapshot_unref(s);
    }
}

static void the_older_of_two_for_the_same_target_holds(void **state) {
    char *report;
    struct weir_snapshot *s =
        conf_try(SERVICE("a", TWO) POLICY("young", "2", "{targetRefs: [{kind: Service, name: a}]}")
                     POLICY("old", "1", "{targetRefs: [{kind: Service, name: a}]}"),
                 &report);

    assert_string_equal(report, "t:10:21: warning: spec.targetRefs[0]: Service default/a has an "
                                "older BackendPolicy, which holds: old\n");
    assert_string_equal(ports_of(s, "a")[0].policy->meta.name, "old");
    free(report);
    weir_snapshot_unref(s);
}

static void a_target_that_is_not_there_is_a_warning(void **state) {
    conf_warned(SERVICE("a", TWO)
                    POLICY("p", "1",
                           "{targetRefs: [{kind: Service, name: b}, {kind: Service, name: a, "
                           "sectionName: z}]}"),
                "t:10:21: warning: spec.targetRefs[0]: Service default/b is not among the "
                "documents\n"
                "t:10:47: warning: spec.targetRefs[1]: Service default/a port z is not among its "
                "ports\n");
}

static void what_makes_no_sense_is_refused(void **state) {
    conf_refused(
        POLICY("p", "1",
               "{targetRefs: [{kind: Pod, name: b}, {group: apps, kind: Service, name: b}], "
               "connection: {connectTimeout: 0s, maxConnections: 0, idleTimeout: soon, "
               "maxPendings: 1}}"),
        "t:5:22: error: spec.targetRefs[0].kind: a BackendPolicy is for a Service, not for a Pod\n"
        "t:5:44: error: spec.targetRefs[1].group: a Service is of group \"\", not of apps\n"
        "t:5:112: error: spec.connection.connectTimeout: must be longer than 0\n"
        "t:5:132: error: spec.connection.maxConnections: 0 is out of range; expected 1 to "
        "100000000\n"
        "t:5:148: error: spec.connection.idleTimeout: \"soon\" is not a duration; expected "
        "something like \"10s\", \"1m30s\" or \"500ms\"\n"
        "t:5:154: error: spec.connection.maxPendings: unknown field \"maxPendings\"; did you mean "
        "\"maxPending\"?\n");
    conf_refused(POLICY("p", "1", "{connection: {}}"),
                 "t:5:7: error: spec.targetRefs: required, but not given\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_read_and_what_is_not_given_stays_open),
        cmocka_unit_test(a_port_named_beats_the_whole_service_whichever_is_older),
        cmocka_unit_test(the_older_of_two_for_the_same_target_holds),
        cmocka_unit_test(a_target_that_is_not_there_is_a_warning),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
