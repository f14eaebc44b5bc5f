/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls.h"

#include "weir_test.h"

static int parse(struct weir_slice uri, struct weir_identity **ret_id) {
    /* Not NUL-terminated and exactly sized: a read beyond the end is seen by the sanitizer. */
    char *copy = malloc(uri.len ? uri.len : 1);
    memcpy(copy, uri.ptr, uri.len);
    int r = weir_identity_new(weir_slice_make(copy, uri.len), ret_id);
    free(copy);
    return r;
}

static void a_workload_id_is_taken_apart(void **state) {
    struct weir_identity *id = NULL;
    assert_int_equal(parse(WEIR_SLICE("spiffe://cluster.local/ns/shop/sa/web-1"), &id), 0);
    assert_string_equal(id->uri, "spiffe://cluster.local/ns/shop/sa/web-1");
    assert_string_equal(id->trust_domain, "cluster.local");
    assert_string_equal(id->ns, "shop");
    assert_string_equal(id->account, "web-1");
    weir_free(id);
}

static void other_paths_have_no_namespace(void **state) {
    static const char *const uris[] = {
        "spiffe://td",           "spiffe://td/a",           "spiffe://td/ns/a",
        "spiffe://td/ns/a/sa",   "spiffe://td/ns/a/sb/c",   "spiffe://td/ns/a/sa/b/c",
        "spiffe://td/NS/a/sa/b", "spiffe://td/x/ns/a/sa/b", "spiffe://a_b-c.9/A.Z_z-0/...",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(uris); i++) {
        struct weir_identity *id = NULL;
        assert_int_equal(parse(weir_slice_from_str(uris[i]), &id), 0);
        assert_string_equal(id->uri, uris[i]);
        assert_string_equal(id->ns, "");
        assert_string_equal(id->account, "");
        weir_free(id);
    }
}

static void what_is_not_canonical_is_refused(void **state) {
    static const char *const uris[] = {
        "",
        "spiffe:/",
        "spiffe://",
        "spiffe:///ns/a",
        "SPIFFE://td/a",
        "Spiffe://td/a",
        "https://td/a",
        " spiffe://td/a",
        "spiffe://td/a ",
        "spiffe://TD/a",
        "spiffe://t%64/a",
        "spiffe://td:443/a",
        "spiffe://user@td/a",
        "spiffe://user:pw@td/a",
        "spiffe://[::1]/a",
        "spiffe://td?q",
        "spiffe://td#f",
        "spiffe://td/a?q=1",
        "spiffe://td/a#f",
        "spiffe://td/",
        "spiffe://td/a/",
        "spiffe://td//a",
        "spiffe://td/a//b",
        "spiffe://td/.",
        "spiffe://td/..",
        "spiffe://td/a/./b",
        "spiffe://td/a/../b",
        "spiffe://td/a%2fb",
        "spiffe://td/a b",
        "spiffe://td/a*",
        "spiffe://td/\xc3\xa4",
        "spiffe://td/a\\b",
        "spiffe://td/a\nb",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(uris); i++) {
        struct weir_identity *id = NULL;
        int r = parse(weir_slice_from_str(uris[i]), &id);
        if (r != -EINVAL)
            fail_msg("accepted: \"%s\"", uris[i]);
        assert_null(id);
    }
}

static void a_nul_byte_is_a_character_like_others_and_refused(void **state) {
    struct weir_identity *id = NULL;
    assert_int_equal(parse(WEIR_SLICE("spiffe://td/ns/a/sa/b\0.evil"), &id), -EINVAL);
    assert_int_equal(parse(WEIR_SLICE("spiffe://td\0/a"), &id), -EINVAL);
    assert_int_equal(parse(WEIR_SLICE("spiffe://td/a\0"), &id), -EINVAL);
    assert_null(id);
}

static void lengths_end_at_2048_and_255(void **state) {
    char uri[2100];
    struct weir_identity *id = NULL;
    memset(uri, 'a', sizeof(uri));
    memcpy(uri, "spiffe://td/", 12);
    assert_int_equal(parse(weir_slice_make(uri, 2049), &id), -EINVAL);
    assert_int_equal(parse(weir_slice_make(uri, 2048), &id), 0);
    id = weir_free(id);
    memset(uri + 9, 'd', 256);
    uri[9 + 256] = '/';
    assert_int_equal(parse(weir_slice_make(uri, 300), &id), -EINVAL);
    uri[9 + 255] = '/';
    uri[9 + 256] = 'x';
    assert_int_equal(parse(weir_slice_make(uri, 300), &id), 0);
    assert_int_equal(strlen(id->trust_domain), 255);
    weir_free(id);
}

static void no_memory_is_said(void **state) {
    struct weir_identity *id = NULL;
    weir_mem_fail_at(1, 0);
    int r = weir_identity_new(WEIR_SLICE("spiffe://td/a"), &id);
    weir_mem_fail_at(0, 0);
    assert_int_equal(r, -ENOMEM);
    assert_null(id);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_workload_id_is_taken_apart),
        cmocka_unit_test(other_paths_have_no_namespace),
        cmocka_unit_test(what_is_not_canonical_is_refused),
        cmocka_unit_test(a_nul_byte_is_a_character_like_others_and_refused),
        cmocka_unit_test(lengths_end_at_2048_and_255),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests_name("tls/identity", tests, NULL, NULL);
}
