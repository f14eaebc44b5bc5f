/* SPDX-License-Identifier: Apache-2.0 */
#include "base/radix.h"

#include <string.h>

#include "base/mem.h"
#include "weir_test.h"

/* RFC 4648 10. */
static const char *const vectors[][2] = {
    { "", "" },
    { "f", "Zg==" },
    { "fo", "Zm8=" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" },
    { "fooba", "Zm9vYmE=" },
    { "foobar", "Zm9vYmFy" },
    { "\xff\xef\xbe", "/+++" },
};

static void both_ways_as_the_rfc_says(void **state) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(vectors); i++) {
        char *text = weir_base64_text(vectors[i][0], strlen(vectors[i][0])), back[16];

        assert_string_equal(text, vectors[i][1]);
        assert_int_equal(weir_base64_decode(text, back), strlen(vectors[i][0]));
        assert_memory_equal(back, vectors[i][0], strlen(vectors[i][0]));
        weir_free(text);
    }
}

static void blanks_of_a_folded_text_do_not_count(void **state) {
    char to[16];

    assert_int_equal(weir_base64_decode(" Zm9v\r\n\tYmFy\n", to), 6);
    assert_memory_equal(to, "foobar", 6);
}

static void what_is_not_base64_is_refused(void **state) {
    static const char *const bad[] = { "Z",        "Zg",   "Zg=",  "Zg===", "====", "Zm9v=",
                                       "Zg==Zm9v", "Zm9-", "Zm_v", "AGZv",  "Z=g=" };
    char to[16];

    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        assert_int_equal(weir_base64_decode(bad[i], to), -1);
}

static void hexadecimal_digits_and_nothing_else(void **state) {
    static const char digits[] = "0123456789abcdef";

    for (int c = -128; c < 128; c++) {
        const char *at = c > 0 ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

        assert_int_equal(weir_hex_digit((char)c), at ? at - digits : -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_as_the_rfc_says),
        cmocka_unit_test(blanks_of_a_folded_text_do_not_count),
        cmocka_unit_test(what_is_not_base64_is_refused),
        cmocka_unit_test(hexadecimal_digits_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
