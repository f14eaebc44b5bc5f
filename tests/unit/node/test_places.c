/* SPDX-License-Identifier: Apache-2.0 */
#include "node/places.h"

#include "weir_test.h"

#include <sys/stat.h>

#define UID "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

static void names_of_both_drivers_are_read(void **state) {
    static const struct {
        const char *name, *uid;
    } cases[] = {
        { "pod" UID, UID },
        { "kubepods-burstable-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice", UID },
        { "kubepods-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice", UID },
        { "kubelet-kubepods-besteffort-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice", UID },
        { "pod00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff" }, /* static */
        { "kubepods-burstable.slice", NULL },
        { "kubepods", NULL },
        { "pod", NULL },
        { "podinfo.service", NULL },
        { "cri-containerd-0123.scope", NULL },
        { "xpod" UID, NULL },
        { "pod" UID ".scope", NULL },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char uid[64];

        assert_int_equal(weir_uid_of_cgroup(cases[i].name, uid), cases[i].uid != NULL);
        if (cases[i].uid)
            assert_string_equal(uid, cases[i].uid);
    }
}

static char dir[64];

static void make(const char *below, const char *procs) {
    char path[400];

    snprintf(path, sizeof(path), "%s/%.300s", dir, below);
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    if (procs)
        weir_test_write(path, "cgroup.procs", procs);
}

static void a_pod_is_found_with_a_process_and_its_sidecar(void **state) {
    struct weir_uid_places none = { 0 }, p = { 0 };
    const struct weir_uid_place *place;

    weir_test_tmpdir(dir);
    make("kubepods", "");
    make("kubepods/burstable", "");
    assert_int_equal(weir_uid_places_add(&p, &none, UID, "abcd"), 0);
    assert_false(weir_uid_places_look(&p, dir, dir));
    make("kubepods/burstable/pod" UID, "");
    assert_true(weir_uid_places_look(&p, dir, dir)); /* no process yet */
    place = weir_uid_places_find(&p, UID);
    assert_string_equal(place->cgroup, "/kubepods/burstable/pod" UID);
    assert_int_equal(place->pid, 0);
    make("kubepods/burstable/pod" UID "/1111", "41\n42\n");
    assert_true(weir_uid_places_look(&p, dir, dir));
    assert_int_equal(place->pid, 41);
    assert_string_equal(place->sidecar, "");
    make("kubepods/burstable/pod" UID "/cri-containerd-abcd.scope", "7\n");
    assert_true(weir_uid_places_look(&p, dir, dir));
    assert_string_equal(place->sidecar, "cri-containerd-abcd.scope");
    assert_int_equal(place->pid, 41); /* the same one as long as it lives */
    assert_false(weir_uid_places_look(&p, dir, dir));
    make("kubepods/burstable/pod" UID "/1111", "");
    assert_true(weir_uid_places_look(&p, dir, dir));
    assert_int_equal(place->pid, 7);
    weir_uid_places_deinit(&p);
    weir_test_rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_both_drivers_are_read),
        cmocka_unit_test(a_pod_is_found_with_a_process_and_its_sidecar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
