/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/seal.h"

#include "weir_test.h"

#define A "0123456789abcdefghijklmnopqrstuv"
#define B "vutsrqponmlkjihgfedcba9876543210"

static struct weir_seal *seal(const char *secrets) {
    struct weir_seal *s = NULL;
    const char *why = "";

    assert_int_equal(weir_seal_new(weir_slice_from_str(secrets), &s, &why), 0);
    return s;
}

static void what_was_sealed_opens_and_says_nothing(void **state) {
    struct weir_seal *s = seal(A "\n");
    char text[WEIR_SEAL_SIZE(38)], again[WEIR_SEAL_SIZE(38)], plain[38], got[38];

    (void)state;
    memset(plain, 'p', sizeof(plain));
    assert_int_equal(weir_seal_close(s, WEIR_SLICE("scope"), weir_slice_make(plain, 38), text), 0);
    assert_int_equal(strlen(text), 72);
    assert_int_equal(
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 72);
    assert_int_equal(weir_seal_open(s, WEIR_SLICE("scope"), weir_slice_from_str(text), got, 38), 0);
    assert_memory_equal(got, plain, 38);
    plain[37] = 'q'; /* the whole text changes, not its end */
    assert_int_equal(weir_seal_close(s, WEIR_SLICE("scope"), weir_slice_make(plain, 38), again), 0);
    assert_memory_not_equal(text, again, 8);
    assert_memory_not_equal(text + 30, again + 30, 8);
    assert_null(weir_seal_unref(s));
    assert_null(weir_seal_unref(NULL));
}

static void any_length_opens(void **state) {
    struct weir_seal *s = seal(A);
    char plain[256] = { 0 }, got[256], text[WEIR_SEAL_SIZE(256)];

    (void)state;
    for (size_t n = 1; n <= sizeof(plain); n++) {
        memset(plain, (int)n, n);
        assert_int_equal(weir_seal_close(s, WEIR_SLICE("s"), weir_slice_make(plain, n), text), 0);
        assert_true(strlen(text) < WEIR_SEAL_SIZE(n));
        assert_int_equal(weir_seal_open(s, WEIR_SLICE("s"), weir_slice_from_str(text), got, n), 0);
        assert_memory_equal(got, plain, n);
    }
    weir_seal_unref(s);
}

static void a_changed_byte_another_scope_size_or_key_does_not_open(void **state) {
    struct weir_seal *s = seal(A), *other = seal(B);
    char text[WEIR_SEAL_SIZE(6)], got[8];
    size_t n;

    (void)state;
    assert_int_equal(weir_seal_close(s, WEIR_SLICE("scope"), WEIR_SLICE("secret"), text), 0);
    n = strlen(text);
#define OPEN(seal, scope, text, size) weir_seal_open((seal), WEIR_SLICE(scope), (text), got, (size))
    assert_int_equal(OPEN(s, "scope", weir_slice_make(text, n), 6), 0);
    assert_int_equal(OPEN(s, "scopf", weir_slice_make(text, n), 6), 1);
    assert_int_equal(OPEN(other, "scope", weir_slice_make(text, n), 6), 1);
    assert_int_equal(OPEN(s, "scope", weir_slice_make(text, n), 5), 1);
    assert_int_equal(OPEN(s, "scope", weir_slice_make(text, n), 7), 1);
    assert_int_equal(OPEN(s, "scope", weir_slice_make(text, n - 1), 6), 1);
    assert_int_equal(OPEN(s, "scope", WEIR_SLICE(""), 6), 1);
    for (size_t i = 0; i + 1 < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ 1 << bit);
            assert_int_equal(OPEN(s, "scope", weir_slice_make(text, n), 6), 1);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
    weir_seal_unref(s);
    weir_seal_unref(other);
}

static void a_new_secret_is_brought_in_before_the_old_one_goes(void **state) {
    struct weir_seal *old = seal(A), *both = seal(B "\n\n" A "\n"), *new = seal("  " B "\r\n");
    char text[WEIR_SEAL_SIZE(2)], got[2];

    (void)state;
    assert_int_equal(weir_seal_close(old, WEIR_SLICE("s"), WEIR_SLICE("hi"), text), 0);
    assert_int_equal(weir_seal_open(both, WEIR_SLICE("s"), weir_slice_from_str(text), got, 2), 0);
    assert_int_equal(weir_seal_open(new, WEIR_SLICE("s"), weir_slice_from_str(text), got, 2), 1);
    assert_int_equal(weir_seal_close(both, WEIR_SLICE("s"), WEIR_SLICE("hi"), text), 0);
    assert_int_equal(weir_seal_open(new, WEIR_SLICE("s"), weir_slice_from_str(text), got, 2), 0);
    weir_seal_unref(old);
    weir_seal_unref(weir_seal_ref(both));
    weir_seal_unref(both);
    weir_seal_unref(new);
}

static void weak_secrets_are_refused(void **state) {
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "", "no secret in it; make one with: openssl rand -base64 32" },
        { "\n \n", "no secret in it; make one with: openssl rand -base64 32" },
        { A "\nshort\n", "a secret is shorter than 32 characters; make one with: openssl rand "
                         "-base64 32" },
        { A "\n" A "\n" A "\n" A "\n" A "\n" A "\n" A "\n" A "\n" A "\n", "more than 8 secrets" },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct weir_seal *s = NULL;
        const char *why = "";

        assert_int_equal(weir_seal_new(weir_slice_from_str(cases[i].text), &s, &why), 1);
        assert_string_equal(why, cases[i].why);
        assert_null(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens_and_says_nothing),
        cmocka_unit_test(any_length_opens),
        cmocka_unit_test(a_changed_byte_another_scope_size_or_key_does_not_open),
        cmocka_unit_test(a_new_secret_is_brought_in_before_the_old_one_goes),
        cmocka_unit_test(weak_secrets_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
