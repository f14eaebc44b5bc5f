/* SPDX-License-Identifier: Apache-2.0 */
#include "obs/access.h"

#include "weir_test.h"

#include <jansson.h>

struct fixture {
    struct weir_chunk_pool pool;
    struct weir_bufq q;
    struct weir_access_record r;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    weir_chunk_pool_init(&f->pool, 4);
    weir_bufq_init(&f->q, &f->pool, 0);
    f->r = (struct weir_access_record){
        .wall_us = 1770091506789012u,
        .direction = "outbound",
        .method = WEIR_SLICE("GET"),
        .authority = WEIR_SLICE("api:8080"),
        .target = WEIR_SLICE("/v1/x?y=1"),
        .user_agent = WEIR_SLICE("curl/7.88"),
        .request_id = WEIR_SLICE("0af7"),
        .protocol = "HTTP/1.1",
        .status = 200,
        .flag = "-",
        .reason = "",
        .fault_detail = "",
        .bytes_in = 12,
        .bytes_out = 3456,
        .duration_us = 7890,
        .upstream_us = 6543,
        .attempts = 1,
        .downstream_ip = { { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2 } },
        .downstream_port = 40000,
        .upstream_ip = { { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 3 } },
        .upstream_port = 8080,
        .route = "default/api",
        .service = "default/api:8080",
        .peer = "spiffe://cluster.local/ns/default/sa/api",
        .conn_id = 42,
    };
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    weir_bufq_deinit(&f->q);
    weir_chunk_pool_deinit(&f->pool);
    free(f);
    return 0;
}

static void the_line_is_in_envoys_order(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_access_format(&f->r, WEIR_LOG_TEXT, &f->q), 0);
    weir_assert_bufq(
        &f->q, "[2026-02-03T04:05:06.789Z] \"GET /v1/x?y=1 HTTP/1.1\" 200 - 12 3456 7 6 \"-\" "
               "\"curl/7.88\" \"0af7\" \"api:8080\" \"10.0.0.3:8080\" direction=outbound "
               "service=default/api:8080 route=default/api "
               "peer=spiffe://cluster.local/ns/default/sa/api from=10.0.0.2:40000 attempts=1 "
               "us=7890 conn=42\n");
}

static void a_fault_shows_flag_reason_and_detail(void **state) {
    struct fixture *f = *state;
    f->r.status = 403;
    f->r.flag = "UAEX";
    f->r.reason = "denied";
    f->r.fault_detail = "policy default/deny all";
    f->r.upstream_us = f->r.upstream_port = 0;
    assert_int_equal(weir_access_format(&f->r, WEIR_LOG_TEXT, &f->q), 0);
    char *line = weir_test_bufq_text(&f->q);
    assert_non_null(strstr(line, " 403 UAEX 12 3456 7 - \"-\""));
    assert_non_null(strstr(line, " \"-\" direction="));
    assert_non_null(strstr(line, " reason=denied detail=\"policy default/deny all\" "));
    free(line);
}

static void an_empty_record_is_still_a_line(void **state) {
    struct fixture *f = *state;
    struct weir_access_record empty = { 0 };
    assert_int_equal(weir_access_format(&empty, WEIR_LOG_TEXT, &f->q), 0);
    weir_assert_bufq(
        &f->q, "[1970-01-01T00:00:00.000Z] \"- - -\" 0 - 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" "
               "attempts=0 us=0 conn=0\n");
    weir_bufq_clear(&f->q);
    assert_int_equal(weir_access_format(&empty, WEIR_LOG_JSON, &f->q), 0);
    char *line = weir_test_bufq_text(&f->q);
    json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    assert_true(json_is_null(json_object_get(j, "method")));
    assert_true(json_is_null(json_object_get(j, "upstream_host")));
    json_decref(j);
    free(line);
}

static void off_writes_nothing(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_access_format(&f->r, WEIR_LOG_OFF, &f->q), 0);
    assert_int_equal(f->q.len, 0);
}

/* Every byte in every place a peer can fill. */
static void fill(struct weir_access_record *r, struct weir_slice bytes, const char *text) {
    r->method = r->target = r->authority = r->user_agent = r->request_id = r->forwarded_for = bytes;
    r->peer = r->fault_detail = r->route = r->service = text;
}

static void no_byte_can_forge_a_text_line(void **state) {
    struct fixture *f = *state;
    char all[256], text[256];
    for (unsigned i = 0; i < 256; i++) {
        all[i] = (char)i;
        text[i] = (char)(i + 1);
    }
    fill(&f->r, weir_slice_make(all, 256), text);
    assert_int_equal(weir_access_format(&f->r, WEIR_LOG_TEXT, &f->q), 0);
    char *line = weir_test_bufq_text(&f->q);
    size_t len = strlen(line), quotes = 0;
    assert_int_equal(len, f->q.len);
    for (size_t i = 0; i < len - 1; i++) {
        assert_in_range((unsigned char)line[i], 0x20, 0x7e);
        if (line[i] == '\\')
            i++;
        else
            quotes += line[i] == '"';
    }
    assert_int_equal(line[len - 1], '\n');
    assert_int_equal(quotes,
                     2 * 6 + 2); /* the request line, five fields, the detail: not one more */
    free(line);
}

static void blanks_in_method_or_target_cannot_shift_fields(void **state) {
    struct fixture *f = *state;
    f->r.method = WEIR_SLICE("GET /a HTTP/1.1\" 200");
    assert_int_equal(weir_access_format(&f->r, WEIR_LOG_TEXT, &f->q), 0);
    char *line = weir_test_bufq_text(&f->q);
    assert_non_null(
        strstr(line, "] \"GET\\x20/a\\x20HTTP/1.1\\\"\\x20200 /v1/x?y=1 HTTP/1.1\" 200 - "));
    free(line);
}

static void json_has_every_fact_under_its_name(void **state) {
    struct fixture *f = *state;
    f->r.reason = "no_route";
    f->r.flag = "NR";
    assert_int_equal(weir_access_format(&f->r, WEIR_LOG_JSON, &f->q), 0);
    char *line = weir_test_bufq_text(&f->q);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    static const char *const strings[][2] = {
        { "start_time", "2026-02-03T04:05:06.789Z" },
        { "method", "GET" },
        { "path", "/v1/x?y=1" },
        { "protocol", "HTTP/1.1" },
        { "response_flags", "NR" },
        { "user_agent", "curl/7.88" },
        { "request_id", "0af7" },
        { "authority", "api:8080" },
        { "upstream_host", "10.0.0.3:8080" },
        { "downstream_remote_address", "10.0.0.2:40000" },
        { "direction", "outbound" },
        { "service", "default/api:8080" },
        { "route", "default/api" },
        { "peer", "spiffe://cluster.local/ns/default/sa/api" },
        { "reason", "no_route" },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(strings); i++)
        assert_string_equal(json_string_value(json_object_get(j, strings[i][0])), strings[i][1]);
    static const struct {
        const char *key;
        json_int_t n;
    } numbers[] = { { "response_code", 200 }, { "bytes_received", 12 },
                    { "bytes_sent", 3456 },   { "duration", 7 },
                    { "duration_us", 7890 },  { "upstream_service_time", 6 },
                    { "upstream_us", 6543 },  { "attempts", 1 },
                    { "connection_id", 42 } };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(numbers); i++)
        assert_int_equal(json_integer_value(json_object_get(j, numbers[i].key)), numbers[i].n);
    json_decref(j);
    free(line);
}

static void json_is_valid_for_any_bytes(void **state) {
    struct fixture *f = *state;
    uint32_t rnd = 1;
    for (int round = 0; round < 300; round++) {
        char bytes[200], text[200];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            rnd = rnd * 1664525u + 1013904223u;
            /* Mostly bytes that begin or go on with UTF-8 sequences. */
            bytes[i] = (char)(rnd & 1 << 20 ? rnd >> 24 : 0x80 | rnd >> 25);
            text[i] = bytes[i] ? bytes[i] : 'x';
        }
        text[sizeof(text) - 1] = '\0';
        fill(&f->r, weir_slice_make(bytes, sizeof(bytes)), text);
        assert_int_equal(weir_access_format(&f->r, WEIR_LOG_JSON, &f->q), 0);
        char *line = weir_test_bufq_text(&f->q);
        json_error_t error;
        json_t *j = json_loads(line, JSON_ALLOW_NUL, &error);
        if (!j)
            fail_msg("%s in %s", error.text, line);
        json_decref(j);
        for (size_t i = 0; i + 1 < f->q.len; i++)
            assert_in_range((unsigned char)line[i], 0x20, 0x7e);
        free(line);
        weir_bufq_clear(&f->q);
    }
}

static void lines_share_chunks(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 30; i++)
        assert_int_equal(weir_access_format(&f->r, WEIR_LOG_TEXT, &f->q), 0);
    assert_int_equal(f->pool.n_live, 1);
    assert_int_equal(f->q.count, 1);
}

static int format_long(void *arg) {
    struct fixture *f = arg;
    size_t before = f->q.len;
    int r = weir_access_format(&f->r, WEIR_LOG_JSON, &f->q);
    if (r < 0)
        return f->q.len == before ? r : -EIO;
    weir_bufq_clear(&f->q);
    return 0;
}

static void without_memory_no_part_of_a_line_appears(void **state) {
    struct fixture *f = *state;
    static char big[3 * WEIR_CHUNK_SIZE];
    f->pool.max_free = 0;
    f->r.target = weir_slice_make(big, sizeof(big));
    assert_true(weir_test_sweep(format_long, f, 0) >= 4);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(the_line_is_in_envoys_order),
        CASE(a_fault_shows_flag_reason_and_detail),
        CASE(an_empty_record_is_still_a_line),
        CASE(off_writes_nothing),
        CASE(no_byte_can_forge_a_text_line),
        CASE(blanks_in_method_or_target_cannot_shift_fields),
        CASE(json_has_every_fact_under_its_name),
        CASE(json_is_valid_for_any_bytes),
        CASE(lines_share_chunks),
        CASE(without_memory_no_part_of_a_line_appears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
