/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/entropy.h"

#include "weir_test.h"

static void every_byte_is_filled_and_none_beyond(void **state) {
    /* More than one getrandom call may answer at once, with a guard behind. */
    enum { N = 1000 };
    unsigned char buf[N + 1], seen[N] = { 0 };
    buf[N] = 0x5a;
    for (int round = 0; round < 20; round++) {
        memset(buf, 0, N);
        assert_int_equal(weir_random(buf, N), 0);
        for (size_t i = 0; i < N; i++)
            seen[i] |= buf[i];
    }
    for (size_t i = 0; i < N; i++)
        assert_int_not_equal(seen[i], 0); /* wrong by chance once in 2^150 */
    assert_int_equal(buf[N], 0x5a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_filled_and_none_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
