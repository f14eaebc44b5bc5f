/* SPDX-License-Identifier: Apache-2.0 */
#include "http/hop.h"

#include "weir_test.h"

/* One head per test; its arena is freed by `left`. */
struct fixture {
    struct weir_arena arena;
    struct weir_head head;
};

static void begin(struct fixture *f) {
    weir_arena_init(&f->arena, 1024);
    weir_head_init(&f->head, &f->arena);
}

static void add(struct fixture *f, const char *name, const char *value) {
    assert_int_equal(weir_head_add(&f->head, weir_slice_from_str(name), weir_slice_from_str(value)),
                     0);
}

/* The names that are not dropped, joined by spaces. */
static void left(struct fixture *f, const char *want) {
    char got[1024] = "";
    for (unsigned i = 0; i < f->head.n_fields; i++) {
        if (f->head.fields[i].dropped)
            continue;
        if (got[0])
            strcat(got, " ");
        strncat(got, f->head.fields[i].name.ptr, f->head.fields[i].name.len);
    }
    assert_string_equal(got, want);
    weir_arena_deinit(&f->arena);
}

static void the_hop_by_hop_fields_go(void **state) {
    struct fixture f;
    begin(&f);
    add(&f, "A", "1");
    add(&f, "Connection", "keep-alive");
    add(&f, "Keep-Alive", "timeout=5");
    add(&f, "Proxy-Connection", "keep-alive");
    add(&f, "TE", "trailers");
    add(&f, "Transfer-Encoding", "chunked");
    add(&f, "HTTP2-Settings", "AAMAAABkAAQAAP__");
    add(&f, "Upgrade", "h2c");
    add(&f, "Trailer", "x");
    add(&f, "Content-Length", "3");
    weir_hop_strip(&f.head);
    left(&f, "A Trailer Content-Length");
}

static void nominated_fields_go_in_any_case_and_from_every_connection_field(void **state) {
    struct fixture f;
    begin(&f);
    add(&f, "X-One", "1");
    add(&f, "Connection", " x-one ,, X-TWO,close");
    add(&f, "x-two", "2");
    add(&f, "X-Two", "2");
    add(&f, "X-Three", "3");
    add(&f, "connection", "x-three");
    add(&f, "X-Four", "4");
    weir_hop_strip(&f.head);
    left(&f, "X-Four");
}

static void framing_host_and_identity_cannot_be_nominated(void **state) {
    struct fixture f;
    begin(&f);
    add(&f, "Connection",
        "host, content-length, x-forwarded-client-cert, X_Forwarded_For, "
        "forwarded, x-envoy-peer, l5d-client-id, x-weir-id, cookie");
    add(&f, "Host", "a");
    add(&f, "Content-Length", "1");
    add(&f, "X-Forwarded-Client-Cert", "By=x");
    add(&f, "X_Forwarded_For", "1.2.3.4");
    add(&f, "Forwarded", "for=1");
    add(&f, "x-envoy-peer", "p");
    add(&f, "l5d-client-id", "p");
    add(&f, "x-weir-id", "p");
    add(&f, "Cookie", "p");
    weir_hop_strip(&f.head);
    left(&f, "Host Content-Length X-Forwarded-Client-Cert X_Forwarded_For Forwarded x-envoy-peer "
             "l5d-client-id x-weir-id");
}

static void an_upgrade_that_was_asked_for_stays(void **state) {
    struct fixture f;
    begin(&f);
    add(&f, "Connection", "Upgrade");
    add(&f, "Upgrade", "websocket");
    f.head.wants_upgrade = true;
    f.head.protocol = WEIR_SLICE("websocket");
    weir_hop_strip(&f.head);
    assert_true(f.head.wants_upgrade);
    left(&f, "Upgrade");
}

static void an_upgrade_to_h2c_goes_wherever_it_stands_in_the_list(void **state) {
    static const char *const values[] = { "h2c", "H2C", "websocket, h2c", "h2c,websocket" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(values); i++) {
        struct fixture f;
        begin(&f);
        add(&f, "Connection", "Upgrade, HTTP2-Settings");
        add(&f, "Upgrade", values[i]);
        add(&f, "HTTP2-Settings", "");
        f.head.wants_upgrade = true;
        f.head.protocol = weir_slice_from_str(values[i]);
        weir_hop_strip(&f.head);
        assert_false(f.head.wants_upgrade);
        left(&f, "");
    }
}

static void a_response_keeps_upgrade_only_with_101(void **state) {
    for (uint16_t status = 101; status <= 426; status = (uint16_t)(status + 325)) {
        struct fixture f;
        begin(&f);
        f.head.is_response = true;
        f.head.status = status;
        add(&f, "Upgrade", "websocket");
        weir_hop_strip(&f.head);
        left(&f, status == 101 ? "Upgrade" : "");
    }
}

static void identity_goes_in_every_spelling(void **state) {
    struct fixture f;
    begin(&f);
    add(&f, "X-Forwarded-Client-Cert", "1");
    add(&f, "x_forwarded_client_cert", "1");
    add(&f, "X-Forwarded_For", "1");
    add(&f, "X-FORWARDED-PROTO", "1");
    add(&f, "x_forwarded-host", "1");
    add(&f, "Forwarded", "1");
    add(&f, "X_Envoy_Internal", "1");
    add(&f, "x-envoy-", "1");
    add(&f, "L5D_CLIENT_ID", "1");
    add(&f, "l5d-dst-override", "1");
    add(&f, "X_Weir_Peer", "1");
    add(&f, "X.Forwarded.Client.Cert", "1");
    add(&f, "x-forwarded-client~cert", "1");
    weir_hop_strip_identity(&f.head, false);
    left(&f, "");
}

static void what_a_mesh_peer_says_counts_in_the_one_spelling(void **state) {
    struct fixture f;
    begin(&f);
    add(&f, "X-Forwarded-Client-Cert", "1");
    add(&f, "X_Forwarded_Client_Cert", "1");
    add(&f, "x-forwarded_client-cert", "1");
    add(&f, "X.Forwarded.Client.Cert", "1");
    add(&f, "x-forwarded-for", "1");
    add(&f, "X_Forwarded_For", "1");
    add(&f, "x_weir_h1", "1");
    add(&f, "X-Envoy-Peer", "1");
    add(&f, "l5d_client_id", "1");
    add(&f, "x_api_key", "1");
    weir_hop_strip_disguised(&f.head);
    left(&f, "X-Forwarded-Client-Cert x-forwarded-for X-Envoy-Peer x_api_key");
}

static void where_a_request_came_from_may_be_left_in_its_one_spelling(void **state) {
    struct fixture f;
    begin(&f);
    add(&f, "X-Forwarded-For", "1");
    add(&f, "x-forwarded-host", "1");
    add(&f, "x-forwarded-proto", "1");
    add(&f, "Forwarded", "1");
    add(&f, "X_Forwarded_For", "1");
    add(&f, "x-forwarded-client-cert", "1");
    add(&f, "x-envoy-external-address", "1");
    add(&f, "l5d-client-id", "1");
    add(&f, "x-weir-h1", "1");
    weir_hop_strip_identity(&f.head, true);
    left(&f, "X-Forwarded-For x-forwarded-host x-forwarded-proto Forwarded");
}

static void what_only_looks_like_identity_stays(void **state) {
    struct fixture f;
    begin(&f);
    add(&f, "X-Forwarded-Client-Certs", "1");
    add(&f, "X-Forwarded-Client-Cer", "1");
    add(&f, "Forwarded-x", "1");
    add(&f, "x-envoy", "1");
    add(&f, "l5d", "1");
    add(&f, "My-X-Envoy-", "1");
    add(&f, "x-forwarded-client-cert-and-a-name-that-is-longer-than-the-buffer", "1");
    weir_hop_strip_identity(&f.head, false);
    assert_int_equal(f.head.n_fields, 7);
    for (unsigned i = 0; i < 7; i++)
        assert_false(f.head.fields[i].dropped);
    weir_arena_deinit(&f.arena);
}

static void trailers_may_not_carry_what_had_to_be_known_before(void **state) {
    static const char *const refused[] = {
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "content_length",
        "TRANSFER_ENCODING",
        "Connection",
        "Te",
        "Trailer",
        "Upgrade",
        "X-Forwarded-For",
        "x_forwarded_client_cert",
        "If-Match",
        "Proxy-Authorization",
        "Expect",
        "Range",
        "Cache-Control",
        "l5d-x",
        "Keep-Alive",
        "Content-Encoding",
    };
    static const char *const allowed[] = { "grpc-status",   "Grpc-Message", "X-Checksum", "Digest",
                                           "Server-Timing", "ETag",         "contents",   "iff" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(refused); i++)
        if (weir_trailer_allowed(weir_slice_from_str(refused[i])))
            fail_msg("allowed: %s", refused[i]);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(allowed); i++)
        if (!weir_trailer_allowed(weir_slice_from_str(allowed[i])))
            fail_msg("refused: %s", allowed[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hop_by_hop_fields_go),
        cmocka_unit_test(nominated_fields_go_in_any_case_and_from_every_connection_field),
        cmocka_unit_test(framing_host_and_identity_cannot_be_nominated),
        cmocka_unit_test(an_upgrade_that_was_asked_for_stays),
        cmocka_unit_test(an_upgrade_to_h2c_goes_wherever_it_stands_in_the_list),
        cmocka_unit_test(a_response_keeps_upgrade_only_with_101),
        cmocka_unit_test(identity_goes_in_every_spelling),
        cmocka_unit_test(what_a_mesh_peer_says_counts_in_the_one_spelling),
        cmocka_unit_test(where_a_request_came_from_may_be_left_in_its_one_spelling),
        cmocka_unit_test(what_only_looks_like_identity_stays),
        cmocka_unit_test(trailers_may_not_carry_what_had_to_be_known_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
