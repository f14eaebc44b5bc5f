/* SPDX-License-Identifier: Apache-2.0 */
#include "http/carry.h"

#include "base/mem.h"
#include "weir_test.h"

struct fixture {
    struct weir_arena arena;
    struct weir_head head;
};

static void begin(struct fixture *f, bool is_response) {
    weir_arena_init(&f->arena, 1024);
    weir_head_init(&f->head, &f->arena);
    f->head.is_response = is_response;
    f->head.version = WEIR_HTTP_11;
    f->head.status = is_response ? 200 : 0;
    f->head.authority = WEIR_SLICE("a");
}

static void add(struct fixture *f, const char *name) {
    assert_int_equal(weir_head_add(&f->head, weir_slice_from_str(name), weir_slice_from_str("1")),
                     0);
}

static void packs(struct fixture *f, const char *want) {
    struct weir_slice value;

    assert_int_equal(weir_carry_pack(&f->head, false, &value), 0);
    weir_assert_slice(value, want);
}

static void unpacks(struct fixture *f, const char *value, int want) {
    assert_int_equal(weir_head_add(&f->head, WEIR_SLICE("x-weir-h1"), weir_slice_from_str(value)),
                     0);
    f->head.version = WEIR_HTTP_2;
    assert_int_equal(weir_carry_unpack(&f->head), want);
    assert_null(weir_head_find_id(&f->head, WEIR_FIELD_X_WEIR_H1));
    assert_int_equal(f->head.version == WEIR_HTTP_2, want != 0);
}

static void end(struct fixture *f, const char *names) {
    char got[1024] = "";

    for (unsigned i = 0; i < f->head.n_fields; i++) {
        if (f->head.fields[i].dropped)
            continue;
        if (got[0])
            strcat(got, " ");
        strncat(got, f->head.fields[i].name.ptr, f->head.fields[i].name.len);
    }
    assert_string_equal(got, names);
    weir_arena_deinit(&f->arena);
}

static void a_style_that_all_names_follow_is_one_letter(void **state) {
    struct fixture f;

    begin(&f, false);
    add(&f, "User-Agent");
    add(&f, "X-9-A");
    add(&f, "x-request-id"); /* ours */
    packs(&f, "1t");
    end(&f, "User-Agent X-9-A x-request-id");
    begin(&f, false);
    add(&f, "user-agent");
    add(&f, "accept");
    add(&f, "Host");
    f.head.fields[2].dropped = true;
    packs(&f, "1l");
    end(&f, "user-agent accept");
}

static void names_that_follow_no_style_are_listed(void **state) {
    struct fixture f;

    begin(&f, false);
    add(&f, "User-Agent");
    add(&f, "ETag");
    add(&f, "x-lower");
    add(&f, "X-Request-ID");
    packs(&f, "1t,ETag,x-lower,X-Request-ID");
    end(&f, "User-Agent ETag x-lower X-Request-ID");
}

static void what_was_packed_comes_back(void **state) {
    struct fixture f;

    begin(&f, false);
    add(&f, "user-agent");
    add(&f, "etag");
    add(&f, "x-lower");
    add(&f, "content-length");
    unpacks(&f, "1t,cOntent-length,ETag,x-lower", 0);
    end(&f, "User-Agent ETag x-lower cOntent-length");
}

static void a_name_that_stands_twice_keeps_both_spellings(void **state) {
    struct fixture f;

    begin(&f, false);
    add(&f, "dUP");
    add(&f, "DUp");
    packs(&f, "1t,dUP,DUp");
    f.head.fields[0].name = f.head.fields[1].name = WEIR_SLICE("dup");
    unpacks(&f, "1t,dUP,DUp", 0);
    end(&f, "dUP DUp");
}

/* The list is matched without regard to case, so the usual one in front has to be in it. */
static void a_usual_spelling_before_an_unusual_one_is_kept_too(void **state) {
    struct fixture f;

    begin(&f, false);
    add(&f, "X-Hkm");
    add(&f, "X-Other");
    add(&f, "X-HKM");
    add(&f, "X-Hkm");
    packs(&f, "1t,X-Hkm,X-HKM");
    end(&f, "X-Hkm X-Other X-HKM X-Hkm");
    begin(&f, false);
    add(&f, "x-hkm");
    add(&f, "x-other");
    add(&f, "x-hkm");
    add(&f, "x-hkm");
    unpacks(&f, "1t,X-Hkm,X-HKM", 0);
    end(&f, "X-Hkm X-Other X-HKM X-Hkm");
}

static void version_host_method_and_reason_are_said_only_when_unusual(void **state) {
    struct fixture f;

    begin(&f, false);
    f.head.version = WEIR_HTTP_10;
    f.head.authority = WEIR_SLICE_NONE;
    packs(&f, "0tn");
    f.head.authority = WEIR_SLICE("filler");
    unpacks(&f, "0tn", 0);
    assert_int_equal(f.head.version, WEIR_HTTP_10);
    assert_int_equal(f.head.authority.len, 0);
    end(&f, "");
    begin(&f, false);
    f.head.method = WEIR_METHOD_POST;
    f.head.method_name = WEIR_SLICE("POST");
    packs(&f, "1t");
    f.head.wants_upgrade = true;
    packs(&f, "1t:POST");
    f.head.method = WEIR_METHOD_GET;
    f.head.method_name = WEIR_SLICE("GET");
    unpacks(&f, "1t:POST", 0);
    assert_int_equal(f.head.method, WEIR_METHOD_POST);
    end(&f, "");
    begin(&f, true);
    f.head.reason = WEIR_SLICE("OK");
    packs(&f, "1t");
    f.head.reason = WEIR_SLICE("Well, then; yes ");
    packs(&f, "1t;Well, then; yes");
    unpacks(&f, "1t;Well, then; yes", 0);
    weir_assert_slice(f.head.reason, "Well, then; yes");
    end(&f, "");
}

static void an_upgrade_that_was_not_taken_is_said(void **state) {
    struct fixture f;
    struct weir_slice value;

    begin(&f, true);
    assert_false(weir_carry_not_switched(&f.head));
    assert_int_equal(weir_carry_pack(&f.head, true, &value), 0);
    weir_assert_slice(value, "1tp");
    weir_head_add(&f.head, WEIR_SLICE("x-weir-h1"), value);
    assert_true(weir_carry_not_switched(&f.head));
    end(&f, "x-weir-h1");
}

static void what_cannot_be_read_changes_nothing_and_goes(void **state) {
    static const char *const bad[] = { "", "1", "2t", "1x", "t1", "1tz", "1t:G T", "1t: " };
    struct fixture f;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        begin(&f, false);
        add(&f, "user-agent");
        unpacks(&f, bad[i], 1);
        end(&f, "user-agent");
    }
    begin(&f, false);
    assert_int_equal(weir_carry_unpack(&f.head), 1);
    end(&f, "");
}

static void a_long_list_is_cut_not_refused(void **state) {
    struct fixture f;
    struct weir_slice value;
    static char names[100][66];

    begin(&f, false);
    for (unsigned i = 0; i < 100; i++) {
        memset(names[i], 'X', 64);
        names[i][0] = 'a';
        add(&f, names[i]);
    }
    assert_int_equal(weir_carry_pack(&f.head, false, &value), 0);
    assert_true(value.len > 1900 && value.len <= 2048 + 2);
    weir_arena_deinit(&f.arena);
}

static void no_memory_is_said(void **state) {
    struct fixture f;
    struct weir_slice value;

    for (unsigned i = 1; i < 4; i++) {
        begin(&f, false);
        f.arena.block = NULL;
        weir_mem_fail_at(i, 1);
        int r = weir_head_add(&f.head, WEIR_SLICE("eTag"), WEIR_SLICE("1"));
        if (r == 0)
            r = weir_carry_pack(&f.head, false, &value);
        weir_mem_fail_at(0, 0);
        assert_true(r == 0 || r == -ENOMEM);
        weir_arena_deinit(&f.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_style_that_all_names_follow_is_one_letter),
        cmocka_unit_test(names_that_follow_no_style_are_listed),
        cmocka_unit_test(what_was_packed_comes_back),
        cmocka_unit_test(a_name_that_stands_twice_keeps_both_spellings),
        cmocka_unit_test(a_usual_spelling_before_an_unusual_one_is_kept_too),
        cmocka_unit_test(version_host_method_and_reason_are_said_only_when_unusual),
        cmocka_unit_test(an_upgrade_that_was_not_taken_is_said),
        cmocka_unit_test(what_cannot_be_read_changes_nothing_and_goes),
        cmocka_unit_test(a_long_list_is_cut_not_refused),
        cmocka_unit_test(no_memory_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
