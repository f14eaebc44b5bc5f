/* SPDX-License-Identifier: Apache-2.0 */
#include "node/l7.h"

#include <stdio.h>

#include "base/bufq.h"
#include "base/mem.h"
#include "weir/abi/maps.h"
#include "weir_test.h"

static struct weir_http_event event(const char *method, uint16_t status, uint64_t us) {
    struct weir_http_event e = { .flow.direction = WEIR_EGRESS };

    e.exchange.n_method = (uint8_t)strlen(method);
    memcpy(e.exchange.method, method, strlen(method));
    e.exchange.status = status;
    e.exchange.began_ns = 5000;
    e.exchange.answered_ns = 5000 + us * 1000;
    return e;
}

/* All of it as text; weir_free. */
static char *expose(const struct weir_l7 *l7) {
    struct weir_chunk_pool pool;
    struct weir_bufq q;
    struct weir_pen pen;
    struct iovec iov;
    char *text = weir_calloc(1, 4 << 20);
    size_t n = 0;

    weir_chunk_pool_init(&pool, 0);
    weir_bufq_init(&q, &pool, 0);
    weir_pen_begin(&pen, &q);
    weir_l7_expose(l7, &pen);
    assert_int_equal(weir_pen_end(&pen), 0);
    while (weir_bufq_peek(&q, &iov, 1) == 1) {
        memcpy(text + n, iov.iov_base, iov.iov_len);
        n += iov.iov_len;
        weir_bufq_consume(&q, iov.iov_len);
    }
    weir_bufq_deinit(&q);
    weir_chunk_pool_deinit(&pool);
    return text;
}

static void exchanges_are_counted_by_service_method_and_class(void **state) {
    struct weir_l7 *l7 = weir_l7_new();
    struct weir_http_event e = event("GET", 204, 700);
    char *text;

    weir_l7_count(l7, "shop/cart", &e);
    weir_l7_count(l7, "shop/cart", &e);
    e = event("BREW", 418, 3000000);
    e.flow.direction = WEIR_INGRESS;
    e.exchange.flags = WEIR_HTTP_IS_TLS;
    weir_l7_count(l7, "shop/cart", &e);
    e = event("GETX", 0, 99);
    weir_l7_count(l7, "shop/cart", &e);
    text = expose(l7);
    assert_non_null(strstr(
        text, "\nweir_http_telemetry_requests_total{service=\"shop/cart\",side=\"client\",source="
              "\"packets\",method=\"GET\",status=\"2xx\"} 2\n"));
    assert_non_null(
        strstr(text, "{service=\"shop/"
                     "cart\",side=\"server\",source=\"tls\",method=\"other\",status=\"4xx\"} 1\n"));
    assert_non_null(strstr(
        text, "{service=\"shop/"
              "cart\",side=\"client\",source=\"packets\",method=\"other\",status=\"none\"} 1\n"));
    assert_non_null(strstr(
        text,
        "_bucket{service=\"shop/cart\",side=\"client\",source=\"packets\",le=\"0.0005\"} 0\n"));
    assert_non_null(strstr(
        text,
        "_bucket{service=\"shop/cart\",side=\"client\",source=\"packets\",le=\"0.001\"} 2\n"));
    assert_non_null(
        strstr(text, "_bucket{service=\"shop/cart\",side=\"server\",source=\"tls\",le=\"1\"} 0\n"));
    assert_non_null(strstr(
        text, "_bucket{service=\"shop/cart\",side=\"server\",source=\"tls\",le=\"+Inf\"} 1\n"));
    assert_non_null(
        strstr(text, "_sum{service=\"shop/cart\",side=\"client\",source=\"packets\"} 0.0014"));
    assert_non_null(
        strstr(text, "_count{service=\"shop/cart\",side=\"client\",source=\"packets\"} 2\n"));
    weir_free(text);
    weir_l7_free(l7);
}

static void more_services_than_there_is_room_for_are_one(void **state) {
    struct weir_l7 *l7 = weir_l7_new();
    struct weir_http_event e = event("GET", 200, 1);
    char name[32], *text;

    for (unsigned i = 0; i < WEIR_L7_SERVICES + 3; i++) {
        snprintf(name, sizeof(name), "n/s%u", i);
        weir_l7_count(l7, name, &e);
    }
    weir_l7_count(l7, "n/s0", &e);
    weir_l7_count(l7, "", &e);
    text = expose(l7);
    assert_non_null(strstr(
        text,
        "{service=\"n/s0\",side=\"client\",source=\"packets\",method=\"GET\",status=\"2xx\"} 2\n"));
    assert_null(strstr(text, "n/s256"));
    assert_non_null(strstr(text, "{service=\"other\",side=\"client\",source=\"packets\",method="
                                 "\"GET\",status=\"2xx\"} 4\n"));
    weir_free(text);
    weir_l7_free(l7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchanges_are_counted_by_service_method_and_class),
        cmocka_unit_test(more_services_than_there_is_room_for_are_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
