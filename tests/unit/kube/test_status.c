/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/status.h"

#include "kube_test.h"

#define NOW  "2026-05-01T12:00:00Z"
#define THEN "2026-01-01T00:00:00Z"

static struct weir_kube_store store;
static enum weir_kube_kind route_kind;

static int setup(void **state) {
    weir_kube_store_init(&store, kube_seed);
    route_kind = WEIR_KUBE_HTTP_ROUTE;
    return 0;
}

static int teardown(void **state) {
    weir_kube_store_deinit(&store);
    return 0;
}

static void put(enum weir_kube_kind kind, const char *text) {
    assert_int_equal(kube_put(&store, (struct weir_kube_put){ .kind = kind }, text), 0);
}

static void service(const char *ns, const char *name) {
    char text[256];

    snprintf(text, sizeof(text),
             "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"},\"spec\":{\"ports\":[{\"name\":"
             "\"http\",\"port\":80}]}}",
             name, ns);
    put(WEIR_KUBE_SERVICE, text);
}

/* refs and backends as JSON; parents: of the status, "null" = none. */
static void route(const char *refs, const char *backends, const char *parents) {
    char text[4096];

    snprintf(text, sizeof(text),
             "{\"metadata\":{\"name\":\"r\",\"namespace\":\"n\",\"generation\":3,"
             "\"resourceVersion\":\"9\"},\"spec\":{\"parentRefs\":%s,"
             "\"rules\":[{\"backendRefs\":%s}]},\"status\":{\"parents\":%s}}",
             refs, backends, parents);
    put(route_kind, text);
}

static json_t *patch(void) {
    char *text;
    json_t *doc;

    assert_int_equal(weir_kube_status_patch(
                         &store, weir_kube_store_find(&store, route_kind, "n", "r"), NOW, &text),
                     0);
    doc = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return doc;
}

static const json_t *condition(const json_t *doc, size_t parent, size_t i) {
    const json_t *entry = json_array_get(weir_kube_get(doc, "status", "parents", NULL), parent);

    return json_array_get(json_object_get(entry, "conditions"), i);
}

static void reasons(const char *accepted, const char *resolved) {
    json_t *doc = patch();

    assert_non_null(doc);
    assert_string_equal(weir_kube_text(condition(doc, 0, 0), "reason", NULL), accepted);
    assert_string_equal(weir_kube_text(condition(doc, 0, 0), "status", NULL),
                        strcmp(accepted, "Accepted") == 0 ? "True" : "False");
    assert_string_equal(weir_kube_text(condition(doc, 0, 1), "reason", NULL), resolved);
    assert_int_equal(
        json_integer_value(json_object_get(condition(doc, 0, 1), "observedGeneration")), 3);
    json_decref(doc);
}

#define PARENT(name) "[{\"group\":\"\",\"kind\":\"Service\",\"name\":\"" name "\"}]"

static void grant(const char *from) {
    char text[512];

    snprintf(text, sizeof(text),
             "{\"metadata\":{\"name\":\"g\",\"namespace\":\"other\"},\"spec\":{\"from\":[{"
             "\"group\":\"gateway.networking.k8s.io\",\"kind\":\"%s\",\"namespace\":\"n\"}],"
             "\"to\":[{\"group\":\"\",\"kind\":\"Service\"}]}}",
             from);
    put(WEIR_KUBE_GRANT, text);
}

static void each_reason_where_it_belongs(void **state) {
    service("n", "s");
    service("other", "s");
    route(PARENT("s"), "[{\"name\":\"s\",\"port\":80}]", "null");
    reasons("Accepted", "ResolvedRefs");
    route(PARENT("gone"), "[{\"name\":\"s\",\"port\":80}]", "null");
    reasons("NoMatchingParent", "ResolvedRefs");
    route("[{\"group\":\"\",\"kind\":\"Service\",\"name\":\"s\",\"port\":81}]", "[]", "null");
    reasons("NoMatchingParent", "ResolvedRefs");
    route("[{\"group\":\"\",\"kind\":\"Service\",\"name\":\"s\",\"sectionName\":\"http\"}]", "[]",
          "null");
    reasons("Accepted", "ResolvedRefs");
    route(PARENT("s"), "[{\"name\":\"gone\",\"port\":80}]", "null");
    reasons("Accepted", "BackendNotFound");
    route(PARENT("s"), "[{\"name\":\"s\",\"port\":81}]", "null");
    reasons("Accepted", "BackendNotFound");
    route(PARENT("s"), "[{\"kind\":\"Other\",\"group\":\"g\",\"name\":\"s\"}]", "null");
    reasons("Accepted", "InvalidKind");
    route(PARENT("s"), "[{\"name\":\"s\",\"namespace\":\"other\",\"port\":80}]", "null");
    reasons("Accepted", "ResolvedRefs");
    route("[{\"group\":\"\",\"kind\":\"Service\",\"name\":\"s\"},{\"name\":\"gw\"}]",
          "[{\"name\":\"s\",\"namespace\":\"other\",\"port\":80}]", "null");
    reasons("Accepted", "RefNotPermitted");
    grant(route_kind == WEIR_KUBE_HTTP_ROUTE ? "GRPCRoute"
                                             : "HTTPRoute"); /* another's does not count */
    reasons("Accepted", "RefNotPermitted");
    grant(weir_kube_resource(route_kind)->kind);
    reasons("Accepted", "ResolvedRefs");
    weir_kube_store_find(&store, route_kind, "n", "r")->refused = 1;
    reasons("UnsupportedValue", "ResolvedRefs");
}

static void a_grpc_route_has_the_same_reasons(void **state) {
    route_kind = WEIR_KUBE_GRPC_ROUTE;
    each_reason_where_it_belongs(state);
}

static void other_parents_are_not_ours_to_speak_of(void **state) {
    route("[{\"name\":\"gw\"}]", "[]", "null");
    assert_null(patch());
    route("[{\"name\":\"gw\"}]", "[]",
          "[{\"controllerName\":\"x\",\"parentRef\":{\"name\":\"gw\"}}]");
    assert_null(patch());
}

static void what_is_written_is_not_written_again_and_others_stay(void **state) {
    static const char others[] =
        "{\"controllerName\":\"x\",\"parentRef\":{\"name\":\"gw\"},\"conditions\":[]}";
    json_t *doc, *parents;
    char all[2048], *text;

    service("n", "s");
    snprintf(all, sizeof(all), "[%s]", others);
    route(PARENT("s"), "[]", all);
    doc = patch();
    assert_string_equal(weir_kube_text(json_object_get(doc, "metadata"), "resourceVersion", NULL),
                        "9");
    parents = json_object_get(json_object_get(doc, "status"), "parents");
    assert_int_equal(json_array_size(parents), 2);
    text = json_dumps(json_array_get(parents, 0), JSON_COMPACT);
    assert_string_equal(text, others);
    free(text);
    text = json_dumps(parents, JSON_COMPACT);
    route(PARENT("s"), "[]", text);
    assert_null(patch());
    free(text);
    json_decref(doc);
}

static void the_time_is_that_of_the_last_change_of_status(void **state) {
    static const char old[] =
        "[{\"controllerName\":\"weir.dev/"
        "mesh\",\"parentRef\":{\"group\":\"\",\"kind\":\"Service\",\"name\":\"s\"},\"conditions\":["
        "{\"type\":\"Accepted\",\"status\":\"True\",\"reason\":\"Accepted\",\"message\":\"in "
        "force\",\"observedGeneration\":2,"
        "\"lastTransitionTime\":\"" THEN
        "\"},{\"type\":\"ResolvedRefs\",\"status\":\"False\",\"reason\":\"x\",\"message\":\"\","
        "\"observedGeneration\":2,\"lastTransitionTime\":\"" THEN "\"}]}]";
    json_t *doc;

    service("n", "s");
    route(PARENT("s"), "[]", old);
    doc = patch();
    assert_string_equal(weir_kube_text(condition(doc, 0, 0), "lastTransitionTime", NULL), THEN);
    assert_string_equal(weir_kube_text(condition(doc, 0, 1), "lastTransitionTime", NULL), NOW);
    json_decref(doc);
    /* A parent that is no longer named takes its entry along. */
    route("[]", "[]", old);
    doc = patch();
    assert_int_equal(json_array_size(weir_kube_get(doc, "status", "parents", NULL)), 0);
    json_decref(doc);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_reason_where_it_belongs),
        TEST(a_grpc_route_has_the_same_reasons),
        TEST(other_parents_are_not_ours_to_speak_of),
        TEST(what_is_written_is_not_written_again_and_others_stay),
        TEST(the_time_is_that_of_the_last_change_of_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
