/* SPDX-License-Identifier: Apache-2.0 */
#include "http/websocket.h"

#include "weir_test.h"

static void accepts(const char *key, const char *want) {
    char got[WEIR_WEBSOCKET_ACCEPT_LEN];

    weir_websocket_accept(weir_slice_from_str(key), got);
    weir_assert_slice(weir_slice_make(got, sizeof(got)), want);
}

static void the_example_of_the_rfc_holds(void **state) {
    accepts("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455 1.3 */
}

static void a_key_is_16_bytes_in_base64(void **state) {
    char key[WEIR_WEBSOCKET_KEY_LEN];

    weir_websocket_key((const uint8_t *)"the sample nonce", key);
    weir_assert_slice(weir_slice_make(key, sizeof(key)), "dGhlIHNhbXBsZSBub25jZQ==");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_holds),
        cmocka_unit_test(a_key_is_16_bytes_in_base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
