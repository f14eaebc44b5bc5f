/* SPDX-License-Identifier: Apache-2.0 */
#include "obs/metrics.h"

#include "weir_test.h"

#include <ctype.h>

struct fixture {
    struct weir_chunk_pool pool;
    struct weir_bufq q;
    struct weir_metrics a, b;
    struct weir_metrics *workers[2];
    struct weir_process_metrics process;
    char *text;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    weir_chunk_pool_init(&f->pool, 4);
    weir_bufq_init(&f->q, &f->pool, 0);
    f->workers[0] = &f->a;
    f->workers[1] = &f->b;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    weir_bufq_deinit(&f->q);
    weir_chunk_pool_deinit(&f->pool);
    free(f->text);
    free(f);
    return 0;
}

static void scrape(struct fixture *f) {
    assert_int_equal(weir_metrics_expose(f->workers, 2, &f->process, &f->q), 0);
    free(f->text);
    f->text = weir_test_bufq_text(&f->q);
    weir_bufq_clear(&f->q);
}

/* That whole line is there, once. */
#define assert_line(f, line)                                                                       \
    do {                                                                                           \
        const char *hit_ = strstr((f)->text, "\n" line "\n");                                      \
        assert_non_null(hit_);                                                                     \
        assert_null(strstr(hit_ + 1, "\n" line "\n"));                                             \
    } while (0)

static void workers_are_added_up(void **state) {
    struct fixture *f = *state;
    weir_count(&f->a, WEIR_C_REQUESTS, 3);
    weir_count(&f->b, WEIR_C_REQUESTS, 4);
    scrape(f);
    assert_line(f, "weir_requests_total 7");
    assert_line(f, "weir_workers 2");
}

static void a_gauge_may_rise_in_one_worker_and_fall_in_another(void **state) {
    struct fixture *f = *state;
    weir_count(&f->a, WEIR_C_UP_ACTIVE, 3);
    weir_count(&f->b, WEIR_C_UP_ACTIVE, (uint64_t)-1);
    scrape(f);
    assert_line(f, "weir_upstream_connections_active 2");
    weir_count(&f->b, WEIR_C_UP_ACTIVE, (uint64_t)-4);
    scrape(f);
    assert_line(f, "weir_upstream_connections_active -2");
}

static void responses_are_counted_by_class(void **state) {
    struct fixture *f = *state;
    static const unsigned statuses[] = { 0, 101, 200, 204, 304, 404, 499, 503, 599, 600, 999 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(statuses); i++)
        weir_count_response(i % 2 ? &f->a : &f->b, statuses[i]);
    scrape(f);
    assert_line(f, "weir_responses_total{class=\"none\"} 1");
    assert_line(f, "weir_responses_total{class=\"1xx\"} 1");
    assert_line(f, "weir_responses_total{class=\"2xx\"} 2");
    assert_line(f, "weir_responses_total{class=\"3xx\"} 1");
    assert_line(f, "weir_responses_total{class=\"4xx\"} 2");
    assert_line(f, "weir_responses_total{class=\"5xx\"} 4");
}

static void a_fault_appears_with_its_side_and_kind(void **state) {
    struct fixture *f = *state;
    scrape(f);
    assert_null(strstr(f->text, "kind=\"internal\""));
    assert_line(f, "weir_faults_total{side=\"local\",kind=\"limit_memory\"} 0"); /* a limit's */
    weir_count_fault(&f->a, WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT));
    weir_count_fault(&f->b, WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT));
    weir_count_fault(&f->b, WEIR_FAULT(LOCAL, INTERNAL));
    scrape(f);
    assert_line(f, "weir_faults_total{side=\"upstream\",kind=\"timeout_connect\"} 2");
    assert_line(f, "weir_faults_total{side=\"local\",kind=\"internal\"} 1");
}

static void every_kind_has_a_name_of_its_own(void **state) {
    struct fixture *f = *state;
    for (unsigned kind = 1; kind < WEIR_FAULT_KINDS; kind++)
        weir_count_fault(&f->a, (struct weir_fault){ WEIR_SIDE_LOCAL, (uint8_t)kind });
    scrape(f);
    unsigned n = 0;
    const char *prefix = "weir_faults_total{side=\"local\",kind=\"";
    for (const char *p = f->text; (p = strstr(p, prefix)); n++) {
        char line[128];
        assert_int_not_equal(p[strlen(prefix)], '"');
        snprintf(line, sizeof(line), "%.*s", (int)strcspn(p, " "), p);
        p += strlen(line);
        assert_null(strstr(p, line)); /* no second of that name */
    }
    assert_int_equal(n, WEIR_FAULT_KINDS - 1);
}

static void a_histogram_is_cumulative_and_in_seconds(void **state) {
    struct fixture *f = *state;
    weir_observe(&f->a, WEIR_H_REQUEST_US, 5000); /* a bound belongs to its bucket */
    weir_observe(&f->a, WEIR_H_REQUEST_US, 5001);
    weir_observe(&f->b, WEIR_H_REQUEST_US, 0);
    weir_observe(&f->b, WEIR_H_REQUEST_US, 10000000);
    weir_observe(&f->b, WEIR_H_REQUEST_US, 10000001);
    scrape(f);
    assert_line(f, "weir_request_duration_seconds_bucket{le=\"0.005\"} 2");
    assert_line(f, "weir_request_duration_seconds_bucket{le=\"0.01\"} 3");
    assert_line(f, "weir_request_duration_seconds_bucket{le=\"7.5\"} 3");
    assert_line(f, "weir_request_duration_seconds_bucket{le=\"10\"} 4");
    assert_line(f, "weir_request_duration_seconds_bucket{le=\"+Inf\"} 5");
    assert_line(f, "weir_request_duration_seconds_sum 20.010002");
    assert_line(f, "weir_request_duration_seconds_count 5");
    assert_line(f, "weir_upstream_duration_seconds_count 0");
}

static void the_process_speaks_prometheus_standard_names(void **state) {
    struct fixture *f = *state;
    f->process = (struct weir_process_metrics){ .generation = 7,
                                                .reloads = 6,
                                                .reload_failures = 1,
                                                .start_time_s = 1770000000,
                                                .open_fds = 12,
                                                .max_fds = 1024,
                                                .resident_bytes = 4096000,
                                                .cpu_us = 1250000,
                                                .cert_not_after_s = 1780000000,
                                                .draining = true };
    scrape(f);
    assert_line(f, "process_start_time_seconds 1770000000");
    assert_line(f, "process_open_fds 12");
    assert_line(f, "process_max_fds 1024");
    assert_line(f, "process_resident_memory_bytes 4096000");
    assert_line(f, "process_cpu_seconds_total 1.25");
    assert_line(f, "weir_config_generation 7");
    assert_line(f, "weir_config_reloads_total{result=\"success\"} 6");
    assert_line(f, "weir_config_reloads_total{result=\"failure\"} 1");
    assert_line(f, "weir_certificate_expiry_timestamp_seconds 1780000000");
    assert_line(f, "weir_draining 1");
}

static void no_certificate_is_no_sample(void **state) {
    struct fixture *f = *state;
    scrape(f);
    assert_null(strstr(f->text, "weir_certificate_expiry"));
}

/* The family a sample belongs to: its name without the suffixes a histogram adds. */
static bool in_family(const char *sample, const char *family, const char *type) {
    size_t n = strlen(family);
    if (strncmp(sample, family, n) != 0)
        return false;
    const char *rest = sample + n;
    if (strcmp(type, "histogram") != 0)
        return *rest == ' ' || *rest == '{';
    return strncmp(rest, "_bucket{", 8) == 0 || strncmp(rest, "_sum ", 5) == 0 ||
           strncmp(rest, "_count ", 7) == 0;
}

static void check_names(const char *family, const char *type) {
    size_t n = strlen(family);
    bool total = n > 6 && strcmp(family + n - 6, "_total") == 0;
    assert_true(strncmp(family, "weir_", 5) == 0 || strncmp(family, "process_", 8) == 0);
    assert_int_equal(total, strcmp(type, "counter") == 0);
    for (size_t i = 0; i < n; i++)
        assert_true(islower((unsigned char)family[i]) || family[i] == '_');
}

static void every_line_is_in_the_exposition_format(void **state) {
    struct fixture *f = *state;
    for (unsigned c = 0; c < WEIR_COUNTERS; c++)
        weir_count(&f->a, (enum weir_counter)c, c + 1);
    weir_count_fault(&f->a, WEIR_FAULT(LOCAL, NO_ROUTE));
    f->process.cert_not_after_s = 1;
    scrape(f);
    char family[128] = "", type[32] = "", helped[128] = "";
    unsigned families = 0;
    assert_int_equal(f->text[strlen(f->text) - 1], '\n');
    for (char *line = strtok(f->text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_int_equal(sscanf(line, "# HELP %127s %*s", helped), 1);
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_int_equal(sscanf(line, "# TYPE %127s %31s", family, type), 2);
            assert_string_equal(family, helped);
            check_names(family, type);
            families++;
            continue;
        }
        assert_true(in_family(line, family, type));
        char *end;
        strtod(strrchr(line, ' ') + 1, &end);
        assert_int_equal(*end, '\0');
    }
    assert_int_equal(families, WEIR_COUNTERS + 2 + WEIR_HISTOGRAMS + 1 + 12 + 3 + 5);
}

static int expose(void *arg) {
    struct fixture *f = arg;
    int r = weir_metrics_expose(f->workers, 2, &f->process, &f->q);
    if (r < 0)
        return f->q.len == 0 ? r : -EIO;
    weir_bufq_clear(&f->q);
    return 0;
}

static void without_memory_there_is_no_half_exposition(void **state) {
    struct fixture *f = *state;
    f->pool.max_free = 0;
    assert_true(weir_test_sweep(expose, f, 0) >= 1);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(workers_are_added_up),
        CASE(a_gauge_may_rise_in_one_worker_and_fall_in_another),
        CASE(responses_are_counted_by_class),
        CASE(a_fault_appears_with_its_side_and_kind),
        CASE(every_kind_has_a_name_of_its_own),
        CASE(a_histogram_is_cumulative_and_in_seconds),
        CASE(the_process_speaks_prometheus_standard_names),
        CASE(no_certificate_is_no_sample),
        CASE(every_line_is_in_the_exposition_format),
        CASE(without_memory_there_is_no_half_exposition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
