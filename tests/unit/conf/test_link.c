/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define OBJECT(kind, name) "---\napiVersion: v1\nkind: " kind "\nmetadata: {name: " name "}\n"

static void objects_are_sorted_whatever_the_order_of_the_documents(void **state) {
    struct weir_snapshot *s = conf_build(OBJECT("Pod", "b") OBJECT("Pod", "a, namespace: z")
                                             OBJECT("Pod", "a") OBJECT("Pod", "c, namespace: b"));

    assert_string_equal(s->pods[0].meta.namespace_, "b");
    assert_string_equal(s->pods[1].meta.name, "a");
    assert_string_equal(s->pods[2].meta.name, "b");
    assert_string_equal(s->pods[3].meta.namespace_, "z");
    weir_snapshot_unref(s);
}

static void a_namespace_without_a_document_gets_an_empty_one(void **state) {
    struct weir_snapshot *s =
        conf_build(OBJECT("Pod", "a, namespace: x") OBJECT("Namespace", "y, labels: {l: m}"));

    assert_int_equal(s->n_namespaces, 2);
    const struct weir_namespace *x = weir_snapshot_namespace(s, "x");
    assert_ptr_equal(weir_snapshot_pod(s, "x", "a")->ns, x);
    assert_int_equal(x->mode, -1);
    assert_int_equal(x->meta.n_labels, 1);
    weir_snapshot_unref(s);
}

static void every_namespace_is_labelled_with_its_name(void **state) {
    struct weir_snapshot *s = conf_build(OBJECT("Namespace", "x, labels: {l: m}") OBJECT(
        "Namespace", "y, labels: {kubernetes.io/metadata.name: y, l: m}"));

    for (uint32_t i = 0; i < s->n_namespaces; i++) {
        const struct weir_meta *meta = &s->namespaces[i].meta;
        bool found = false;
        assert_int_equal(meta->n_labels, 2);
        for (uint32_t j = 0; j < meta->n_labels; j++) {
            found = found || (strcmp(meta->labels[j].key, "kubernetes.io/metadata.name") == 0 &&
                              strcmp(meta->labels[j].value, meta->name) == 0);
        }
        assert_true(found);
    }
    weir_snapshot_unref(s);
}

static void the_newer_pod_holds_a_disputed_address(void **state) {
    static const char text[] =
        OBJECT("Pod", "new, creationTimestamp: \"2025-01-01T00:00:00Z\"") "status: {podIP: "
                                                                          "10.0.0.1}\n" OBJECT(
                                                                              "Pod",
                                                                              "old, "
                                                                              "creationTimestamp: "
                                                                              "\"2024-01-01T00:00:"
                                                                              "00Z\"") "status: "
                                                                                       "{podIP: "
                                                                                       "10.0.0.1}"
                                                                                       "\n";
    struct weir_ip ip;
    char *report;
    struct weir_snapshot *s = conf_try(text, &report);

    assert_string_equal(
        report,
        "t:7:1: warning: status.podIPs: the address 10.0.0.1 is also that of pod default/new; "
        "the other keeps it\n");
    free(report);
    assert_int_equal(weir_parse_ip("10.0.0.1", &ip), 0);
    assert_string_equal(weir_snapshot_pod_by_ip(s, &ip)->meta.name, "new");
    weir_snapshot_unref(s);
}

static void warnings_are_given_only_when_there_is_no_error(void **state) {
    conf_refused("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: "
                 "r}\nspec: {}\n---\n"
                 "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {port: 1}\n",
                 "t:9:8: error: spec.port: unknown field \"port\"; did you mean \"ports\"?\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_sorted_whatever_the_order_of_the_documents),
        cmocka_unit_test(a_namespace_without_a_document_gets_an_empty_one),
        cmocka_unit_test(every_namespace_is_labelled_with_its_name),
        cmocka_unit_test(the_newer_pod_holds_a_disputed_address),
        cmocka_unit_test(warnings_are_given_only_when_there_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
