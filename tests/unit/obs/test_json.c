/* SPDX-License-Identifier: Apache-2.0 */
#include "obs/json.h"

#include <jansson.h>

#include "weir_test.h"

static void what_is_written_is_json(void **state) {
    struct weir_chunk_pool pool;
    struct weir_json j;
    struct weir_bufq q;

    (void)state;
    weir_chunk_pool_init(&pool, 4);
    weir_bufq_init(&q, &pool, 0);
    weir_json_begin(&j, &q);
    weir_json_open(&j, NULL, '{');
    weir_json_str(&j, "a", "x\"\\\n\x80");
    weir_json_open(&j, "list", '[');
    weir_json_u64(&j, NULL, 1);
    weir_json_open(&j, NULL, '{');
    weir_json_close(&j, '{');
    weir_json_open(&j, NULL, '[');
    weir_json_close(&j, '[');
    weir_json_bool(&j, NULL, true);
    weir_json_null(&j, NULL);
    weir_json_close(&j, '[');
    weir_json_bool(&j, "b", false);
    weir_json_close(&j, '{');
    assert_int_equal(weir_json_end(&j), 0);
    weir_assert_bufq(
        &q, "{\"a\":\"x\\\"\\\\\\u000a\\ufffd\",\"list\":[1,{},[],true,null],\"b\":false}\n");
    char *text = weir_test_bufq_text(&q);
    json_t *parsed = json_loads(text, 0, NULL);
    assert_non_null(parsed);
    assert_int_equal(json_array_size(json_object_get(parsed, "list")), 5);
    json_decref(parsed);
    free(text);
    weir_bufq_deinit(&q);
    weir_chunk_pool_deinit(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_written_is_json) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
