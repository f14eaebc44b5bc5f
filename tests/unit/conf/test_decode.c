/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define SERVICE(name) "apiVersion: v1\nkind: Service\nmetadata: {name: " name "}\nspec: {}\n"

static void nothing_is_a_configuration(void **state) {
    struct weir_snapshot *s = conf_build("");

    assert_int_equal(s->n_services, 0);
    assert_false(s->proxy.given);
    assert_false(s->agent.given);
    weir_snapshot_unref(s);
}

static void a_document_needs_apiversion_and_kind(void **state) {
    conf_refused("a: 1\n", "t:1:1: error: apiVersion: required, but not given\n");
    conf_refused("apiVersion: v1\n", "t:1:1: error: kind: required, but not given\n");
    conf_refused(
        "apiVersion: 1\nkind: Pod\n",
        "t:1:13: error: apiVersion: expected a string, not an integer 1; write it in quotes\n");
    conf_refused("- a\n", "t:1:1: error: : expected an object, not a list\n");
    conf_refused("just text\n", "t:1:1: error: : expected an object, not a string \"just text\"\n");
}

static void a_misspelt_kind_is_recognised(void **state) {
    conf_refused("apiVersion: v1\nkind: Servce\nmetadata: {name: a}\n",
                 "t:2:1: error: kind: unknown kind \"Servce\"; did you mean Service? If not, "
                 "annotate it with "
                 "weir.dev/ignore: \"true\" to have it skipped\n");
}

static void an_unknown_kind_is_refused_unless_marked(void **state) {
    conf_refused("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n",
                 "t:2:1: error: kind: unknown kind \"Deployment\" of apps/v1; annotate it with "
                 "weir.dev/ignore: \"true\" to have it skipped\n");
    weir_snapshot_unref(
        conf_build("apiVersion: apps/v1\nkind: Deployment\n"
                   "metadata: {name: a, annotations: {weir.dev/ignore: \"true\"}}\n"));
    conf_refused("apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {name: a}\n",
                 "t:2:1: error: kind: TCPRoute is not supported by this version; annotate it with "
                 "weir.dev/ignore: \"true\" to have it skipped\n");
}

static void the_mark_must_be_the_string_true(void **state) {
    char *report;

    assert_null(conf_try("apiVersion: apps/v1\nkind: Deployment\n"
                         "metadata: {name: a, annotations: {weir.dev/ignore: true}}\n",
                         &report));
    free(report);
}

static void a_marked_object_of_a_known_kind_is_skipped(void **state) {
    struct weir_snapshot *s = conf_build("apiVersion: v1\nkind: Service\nmetadata: {name: a, "
                                         "annotations: {weir.dev/ignore: \"true\"}}\n"
                                         "spec: {type: ExternalName, externalName: b}\n");

    assert_int_equal(s->n_services, 0);
    weir_snapshot_unref(s);
}

static void the_version_is_part_of_the_kind(void **state) {
    conf_refused(
        "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}\n",
        "t:1:1: error: apiVersion: NetworkPolicy is of networking.k8s.io/v1, not of "
        "\"extensions/v1beta1\"; annotate it with weir.dev/ignore: \"true\" to have it skipped\n");
}

static void a_list_is_unfolded(void **state) {
    struct weir_snapshot *s =
        conf_build("apiVersion: v1\nkind: List\nmetadata: {resourceVersion: \"\"}\nitems:\n"
                   "- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n  spec: {}\n"
                   "- apiVersion: v1\n  kind: Service\n  metadata: {name: b}\n  spec: {}\n");

    assert_int_equal(s->n_services, 2);
    weir_snapshot_unref(s);
}

static void a_problem_inside_a_list_has_the_index_in_its_field(void **state) {
    conf_refused(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: "
        "A}\n"
        "  spec: {ports: [{port: 0}]}\n",
        "t:6:14: error: items[0].metadata.name: \"A\" is not a name: lower case letters, digits "
        "and '-'\n"
        "t:7:25: error: items[0].spec.ports[0].port: 0 is out of range; expected 1 to 65535\n");
}

static void names_are_required_and_checked(void **state) {
    conf_refused("apiVersion: v1\nkind: Service\nspec: {}\n",
                 "t:1:1: error: metadata: required, but not given\n"
                 "t:1:1: error: metadata.name: required, but not given\n");
    conf_refused("apiVersion: v1\nkind: Service\nmetadata: {namespace: a/b, name: x}\nspec: {}\n",
                 "t:3:12: error: metadata.namespace: \"a/b\" is not the name of a namespace\n");
    conf_refused("apiVersion: v1\nkind: Namespace\nmetadata: {namespace: a, name: x}\n",
                 "t:3:12: error: metadata.namespace: a Namespace is not in a namespace\n");
}

static void an_object_given_twice_names_the_first(void **state) {
    conf_refused(SERVICE("a") "---\n" SERVICE("b") "---\n" SERVICE("a"),
                 "t:11:1: error: : Service default/a is given twice; first at t:1:1\n");
}

static void the_same_name_in_two_namespaces_or_kinds_is_no_duplicate(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE("a") "---\n" SERVICE(
        "a, namespace: b") "---\n"
                           "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n");

    assert_int_equal(s->n_services, 2);
    assert_non_null(weir_snapshot_service(s, "b", "a"));
    assert_non_null(weir_snapshot_service(s, "default", "a"));
    assert_null(weir_snapshot_service(s, "b", "b"));
    weir_snapshot_unref(s);
}

static void labels_and_annotations_are_strings(void **state) {
    conf_refused("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels: {a/b: 1, v: 1.0, "
                 "t: true, \"x y\": z,"
                 " w: \"a b\"}\n  annotations: {a: 5}\nspec: {}\n",
                 "t:5:17: error: metadata.labels[\"a/b\"]: expected a string, not an integer 1; "
                 "write it in quotes\n"
                 "t:5:23: error: metadata.labels.v: expected a string, not a number 1.0; write it "
                 "in quotes\n"
                 "t:5:31: error: metadata.labels.t: expected a string, not a boolean true; write "
                 "it in quotes\n"
                 "t:5:37: error: metadata.labels[\"x y\"]: \"x y\" is not the name of a label\n"
                 "t:5:50: error: metadata.labels.w: \"a b\" is not the value of a label: up to 63 "
                 "letters, digits, "
                 "'-', '_' and '.'\n"
                 "t:6:20: error: metadata.annotations.a: expected a string, not an integer 5; "
                 "write it in quotes\n");
}

static void metadata_is_kept(void **state) {
    struct weir_snapshot *s =
        conf_build("\napiVersion: v1\nkind: Service\nmetadata:\n  name: a\n"
                   "  creationTimestamp: 2024-05-01T12:00:00Z\n  labels: {x: \"\", y: z}\n"
                   "  annotations: {note: hello there,\n"
                   "    kubectl.kubernetes.io/last-applied-configuration: \"{}\"}\nspec: {}\n");
    const struct weir_meta *meta = &s->services[0].meta;

    assert_string_equal(meta->name, "a");
    assert_string_equal(meta->namespace_, "default");
    assert_int_equal(meta->created, 1714564800);
    assert_int_equal(meta->n_labels, 2);
    assert_string_equal(meta->labels[1].key, "y");
    assert_string_equal(meta->labels[1].value, "z");
    assert_int_equal(meta->n_annotations, 1);
    assert_string_equal(meta->annotations[0].value, "hello there");
    assert_string_equal(meta->place.file, "t");
    assert_int_equal(meta->place.line, 2);
    weir_snapshot_unref(s);
}

static void a_list_given_twice_does_no_harm(void **state) {
    conf_refused("apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {a: b, c: d}, "
                 "annotations: {}}\n"
                 "spec: {}\n",
                 "t:3:48: error: : duplicate key \"annotations\", first given on line 3\n");
}

static void null_is_as_good_as_absent(void **state) {
    weir_snapshot_unref(conf_build(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  creationTimestamp: null\n"
        "  labels:\n  annotations: ~\nspec: {ports: null, externalIPs: null}\n"
        "status: {loadBalancer: {}}\n"));
}

static void unsupported_fields_may_be_there_empty(void **state) {
    weir_snapshot_unref(conf_build(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {externalIPs: []}\n"));
    conf_refused(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {externalIPs: [1.2.3.4]}\n",
        "t:4:21: error: spec.externalIPs: not supported by this version\n");
}

static void all_problems_are_shown_at_once(void **state) {
    conf_refused(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, label: {}}\nspec: {port: [], ports: "
        "{}}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec: {container: []}\n",
        "t:3:21: error: metadata.label: unknown field \"label\"; did you mean \"labels\"?\n"
        "t:4:8: error: spec.port: unknown field \"port\"; did you mean \"ports\"?\n"
        "t:4:25: error: spec.ports: expected a list, not an object\n"
        "t:9:8: error: spec.container: unknown field \"container\"; did you mean "
        "\"containers\"?\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_a_configuration),
        cmocka_unit_test(a_document_needs_apiversion_and_kind),
        cmocka_unit_test(a_misspelt_kind_is_recognised),
        cmocka_unit_test(an_unknown_kind_is_refused_unless_marked),
        cmocka_unit_test(the_mark_must_be_the_string_true),
        cmocka_unit_test(a_marked_object_of_a_known_kind_is_skipped),
        cmocka_unit_test(the_version_is_part_of_the_kind),
        cmocka_unit_test(a_list_is_unfolded),
        cmocka_unit_test(a_problem_inside_a_list_has_the_index_in_its_field),
        cmocka_unit_test(names_are_required_and_checked),
        cmocka_unit_test(an_object_given_twice_names_the_first),
        cmocka_unit_test(the_same_name_in_two_namespaces_or_kinds_is_no_duplicate),
        cmocka_unit_test(labels_and_annotations_are_strings),
        cmocka_unit_test(metadata_is_kept),
        cmocka_unit_test(a_list_given_twice_does_no_harm),
        cmocka_unit_test(null_is_as_good_as_absent),
        cmocka_unit_test(unsupported_fields_may_be_there_empty),
        cmocka_unit_test(all_problems_are_shown_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
