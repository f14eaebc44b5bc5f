/* SPDX-License-Identifier: Apache-2.0 */
/* Over real cgroups below one of our own, and the test's own network namespace; skipped where those cannot be made. */
#include "node/enrol.h"

#include <sys/stat.h>

#include "sys/cgroup.h"
#include "weir_test.h"

#define HOLD 5000000ULL

static char parent[64], mount[256];
static bool usable;

static void in_parent(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s%s%s", mount, parent, name[0] ? "/" : "", name);
}

static void make(const char *name) {
    char path[512];

    in_parent(path, sizeof(path), name);
    assert_int_equal(weir_cgroup_create(path), 0);
}

static void drop(const char *name) {
    char path[512];

    in_parent(path, sizeof(path), name);
    assert_int_equal(weir_cgroup_remove(path), 0);
}

static int setup(void **state) {
    char path[512];

    snprintf(parent, sizeof(parent), "weir-enrol-%d", (int)getpid());
    if (weir_cgroup_mount(mount, sizeof(mount)))
        return 0;
    in_parent(path, sizeof(path), "");
    usable = weir_cgroup_create(path) == 0;
    return 0;
}

static int teardown(void **state) {
    char path[512];

    in_parent(path, sizeof(path), "");
    if (usable)
        (void)weir_cgroup_remove(path);
    return 0;
}

static struct weir_snapshot *snapshot_with(const char *cgroup, const char *netns) {
    struct weir_problems problems = { 0 };
    struct weir_snapshot *s = NULL;
    char text[1024];
    struct weir_source source = { "pods", text, 0 };

    source.len = (size_t)snprintf(text, sizeof(text),
                                  "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: n, "
                                  "annotations: {weir.dev/cgroup: '%s'%s%s}}\n"
                                  "spec: {nodeName: here}\nstatus: {podIP: 10.0.0.1}\n",
                                  cgroup, netns[0] ? ", weir.dev/netns: " : "", netns);
    assert_int_equal(weir_snapshot_build(&source, 1, &s, &problems), 0);
    weir_problems_deinit(&problems);
    return s;
}

static struct weir_place_of_pod *only_place(struct weir_enrol *e) {
    assert_int_equal(e->n_places, 1);
    return WEIR_CONTAINER_OF(e->places.next, struct weir_place_of_pod, link);
}

static bool look(struct weir_enrol *e, const struct weir_snapshot *s, uint64_t now) {
    bool changed = false;

    assert_int_equal(weir_enrol_look(e, s, "here", now, &changed), 0);
    return changed;
}

static void a_pod_is_enrolled_once_its_places_are_there(void **state) {
    struct weir_snapshot *s;
    struct weir_plan_pod *pods;
    struct weir_plan_cgroup *cgroups;
    uint32_t n, n_cgroups;
    struct weir_enrol e;
    char cgroup[128];

    if (!usable)
        skip();
    snprintf(cgroup, sizeof(cgroup), "%s/pod", parent);
    s = snapshot_with(cgroup, "");
    assert_int_equal(weir_enrol_init(&e, parent, HOLD), 0);
    assert_true(look(&e, s, 0));
    assert_string_equal(only_place(&e)->pending, "its cgroup does not exist");
    assert_false(look(&e, s, 0));
    make("pod");
    assert_true(look(&e, s, 0));
    assert_null(only_place(&e)->pending);
    assert_int_equal(only_place(&e)->proxy_cgroup, 0);
    make("pod/weir");
    assert_true(look(&e, s, 0));
    assert_int_not_equal(only_place(&e)->proxy_cgroup, 0);
    assert_int_equal(weir_enrol_facts(&e, &pods, &n, &cgroups, &n_cgroups), 0);
    assert_int_equal(n, 1);
    assert_int_equal(n_cgroups, 0);
    assert_ptr_equal(pods[0].pod, &s->pods[0]);
    assert_int_not_equal(pods[0].netns, 0);
    weir_free(pods);
    weir_free(cgroups);
    drop("pod/weir");
    drop("pod");
    assert_true(look(&e, s, 0));
    assert_non_null(only_place(&e)->pending);
    weir_enrol_deinit(&e);
    weir_snapshot_unref(s);
}

static void without_a_helper_or_outside_the_parent_it_stays_pending(void **state) {
    struct weir_snapshot *s;
    struct weir_enrol e;
    char cgroup[128];

    if (!usable)
        skip();
    make("pod");
    snprintf(cgroup, sizeof(cgroup), "%s/pod", parent);
    assert_int_equal(weir_enrol_init(&e, parent, HOLD), 0);
    s = snapshot_with(cgroup, "/run/netns/x");
    look(&e, s, 0);
    assert_string_equal(only_place(&e)->pending, "waits for the helper, which is away");
    weir_snapshot_unref(s);
    s = snapshot_with("somewhere/else", "");
    look(&e, s, 0);
    assert_string_equal(only_place(&e)->pending, "its cgroup is not below the pods' parent");
    weir_snapshot_unref(s);
    weir_enrol_deinit(&e);
    drop("pod");
}

static void a_pod_of_another_node_has_no_place_here(void **state) {
    struct weir_snapshot *s;
    struct weir_enrol e;
    bool changed = false;

    if (!usable)
        skip();
    s = snapshot_with("x/y", "");
    assert_int_equal(weir_enrol_init(&e, parent, HOLD), 0);
    assert_int_equal(weir_enrol_look(&e, s, "there", 0, &changed), 0);
    assert_int_equal(e.n_places, 0);
    weir_enrol_deinit(&e);
    weir_snapshot_unref(s);
}

static void a_stranger_is_refused_after_the_time_it_may_be_held(void **state) {
    struct weir_snapshot *s;
    struct weir_plan_pod *pods;
    struct weir_plan_cgroup *cgroups;
    uint32_t n, n_cgroups;
    struct weir_enrol e;
    char cgroup[128];

    if (!usable)
        skip();
    /* "group" only leads to the pod: it is looked into, not refused. */
    make("group");
    make("group/pod");
    make("group/other");
    make("lost");
    snprintf(cgroup, sizeof(cgroup), "/%s/group/pod/", parent);
    s = snapshot_with(cgroup, "");
    assert_int_equal(weir_enrol_init(&e, parent, HOLD), 0);
    look(&e, s, 100);
    assert_null(only_place(&e)->pending);
    assert_int_equal(e.n_strangers, 2);
    assert_false(look(&e, s, 100 + HOLD - 1));
    assert_true(look(&e, s, 100 + HOLD));
    assert_int_equal(weir_enrol_facts(&e, &pods, &n, &cgroups, &n_cgroups), 0);
    assert_int_equal(n_cgroups, 2);
    assert_int_equal(cgroups[0].role, WEIR_ROLE_REFUSED);
    weir_free(pods);
    weir_free(cgroups);
    drop("lost");
    assert_true(look(&e, s, 100 + HOLD));
    assert_int_equal(e.n_strangers, 1);
    weir_enrol_deinit(&e);
    weir_snapshot_unref(s);
    drop("group/other");
    drop("group/pod");
    drop("group");
}

static void the_root_and_what_is_not_there_are_no_parents(void **state) {
    struct weir_enrol e;

    if (!usable)
        skip();
    assert_int_equal(weir_enrol_init(&e, "/", HOLD), -EINVAL);
    assert_int_equal(weir_enrol_init(&e, "weir-enrol-is-not-there", HOLD), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_is_enrolled_once_its_places_are_there),
        cmocka_unit_test(without_a_helper_or_outside_the_parent_it_stays_pending),
        cmocka_unit_test(a_pod_of_another_node_has_no_place_here),
        cmocka_unit_test(a_stranger_is_refused_after_the_time_it_may_be_held),
        cmocka_unit_test(the_root_and_what_is_not_there_are_no_parents),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
