/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include "core/svid.h"
#include "sys/clock.h"
#include "tls/ca.h"
#include "tls/csr.h"

#define SECOND 1000000ull
#define ID     "spiffe://cluster.local/ns/default/sa/web"

/* A way to a signer that the test works by hand. */
struct way {
    struct weir_svid *svid;
    struct weir_pem ca;
    char *csr; /* asked last */
    unsigned asked, changed;
    bool cut;
};

static int on_ask(void *arg, struct weir_slice csr) {
    struct way *w = arg;

    if (w->cut)
        return -ENOTCONN;
    free(w->csr);
    w->csr = strndup(csr.ptr, csr.len);
    w->asked++;
    return 0;
}

static void on_changed(void *arg) {
    ((struct way *)arg)->changed++;
}

static const struct weir_svid_ops ops = { on_ask, on_changed };

static uint64_t way_open(struct way *w) {
    uint64_t now = weir_clock_wall_us();
    const char *why;

    *w = (struct way){ 0 };
    assert_int_equal(weir_ca_new("cluster.local", (int64_t)(now / SECOND), 86400, &w->ca, &why), 0);
    assert_int_equal(weir_svid_new(&ops, w, &w->svid), 0);
    return now;
}

static void way_close(struct way *w) {
    weir_svid_free(w->svid);
    weir_pem_deinit(&w->ca);
    free(w->csr);
}

/* The certificate for what was asked last. */
static struct weir_pem signed_leaf(struct way *w, uint64_t now, int64_t lifetime) {
    struct weir_csr *csr = NULL;
    struct weir_pem leaf = { 0 };
    const char *why = "";

    assert_int_equal(weir_csr_parse(weir_slice_from_str(w->csr), "cluster.local", &csr, &why), 0);
    assert_int_equal(
        weir_ca_issue(&(struct weir_ca_request){ .csr = csr,
                                                 .ca_cert = weir_slice_from_str(w->ca.cert),
                                                 .ca_key = weir_slice_from_str(w->ca.key),
                                                 .now = (int64_t)(now / SECOND),
                                                 .lifetime = lifetime },
                      &leaf, &why),
        0);
    weir_csr_free(csr);
    return leaf;
}

static void sign(struct way *w, uint64_t now, int64_t lifetime) {
    struct weir_pem leaf = signed_leaf(w, now, lifetime);

    weir_svid_arrived(w->svid, now, weir_slice_from_str(leaf.cert),
                      weir_slice_from_str(w->ca.cert));
    weir_pem_deinit(&leaf);
}

static enum weir_svid_state state_of(const struct way *w) {
    return weir_svid_view(w->svid).state;
}

static void another_is_asked_for_at_half_life_with_another_key(void **state) {
    struct way w;
    uint64_t now = way_open(&w);
    char *first;

    assert_int_equal(weir_svid_want(w.svid, now, ID), 0);
    assert_int_equal(w.asked, 1);
    assert_int_equal(state_of(&w), WEIR_SVID_NONE);
    assert_true(weir_svid_material(w.svid).cert_chain.len > 0); /* to be stopped */
    first = strdup(w.csr);
    sign(&w, now, 100);
    assert_int_equal(state_of(&w), WEIR_SVID_HELD);
    assert_int_equal(w.changed, 1);
    weir_svid_tick(w.svid, now + 44 * SECOND);
    assert_int_equal(w.asked, 1);
    weir_svid_tick(w.svid, now + 56 * SECOND);
    assert_int_equal(w.asked, 2);
    assert_string_not_equal(first, w.csr);
    sign(&w, now + 56 * SECOND, 100);
    assert_int_equal(w.changed, 2);
    weir_svid_tick(w.svid, now + 101 * SECOND);
    assert_int_equal(state_of(&w), WEIR_SVID_HELD);
    free(first);
    way_close(&w);
}

static void what_is_held_serves_until_it_expires_and_asking_goes_on(void **state) {
    struct way w;
    uint64_t now = way_open(&w), t = 0;

    assert_int_equal(weir_svid_want(w.svid, now, ID), 0);
    sign(&w, now, 100);
    w.cut = true;
    for (t = 1; t < 100; t++)
        weir_svid_tick(w.svid, now + t * SECOND);
    assert_int_equal(state_of(&w), WEIR_SVID_HELD);
    assert_int_equal(w.changed, 1);
    assert_string_equal(weir_svid_view(w.svid).why, "there is no way to the agent");
    assert_in_range(weir_svid_view(w.svid).refused, 4, 40); /* later and later, bounded */
    weir_svid_tick(w.svid, now + 100 * SECOND);
    assert_int_equal(state_of(&w), WEIR_SVID_EXPIRED);
    assert_int_equal(w.changed, 2);
    w.cut = false;
    weir_svid_connected(w.svid, now + 101 * SECOND);
    assert_int_equal(w.asked, 2);
    sign(&w, now + 101 * SECOND, 100);
    assert_int_equal(state_of(&w), WEIR_SVID_HELD);
    assert_int_equal(w.changed, 3);
    assert_string_equal(weir_svid_view(w.svid).why, "");
    way_close(&w);
}

static void what_does_not_fit_is_refused_and_asked_for_again(void **state) {
    struct way w, other;
    uint64_t now = way_open(&w);

    (void)way_open(&other);
    assert_int_equal(weir_svid_want(w.svid, now, ID), 0);
    assert_int_equal(weir_svid_want(other.svid, now, ID "-other"), 0);
    weir_svid_arrived(w.svid, now, WEIR_SLICE("no certificate"), WEIR_SLICE("no bundle"));
    assert_int_equal(state_of(&w), WEIR_SVID_NONE);
    assert_int_equal(weir_svid_view(w.svid).refused, 1);
    weir_svid_tick(w.svid, now + 2 * SECOND);
    assert_int_equal(w.asked, 2);
    /* the key of somebody else */
    free(w.csr);
    w.csr = strdup(other.csr);
    sign(&w, now, 100);
    assert_int_equal(state_of(&w), WEIR_SVID_NONE);
    assert_string_equal(weir_svid_view(w.svid).why, "key: does not match the certificate");
    weir_svid_tick(w.svid, now + 5 * SECOND);
    assert_int_equal(w.asked, 3);
    weir_svid_refused(w.svid, now + 5 * SECOND, WEIR_SLICE("no such pod"));
    assert_string_equal(weir_svid_view(w.svid).why, "no such pod");
    /* an answer to a request that was given up is none */
    sign(&w, now + 5 * SECOND, 100);
    assert_int_equal(state_of(&w), WEIR_SVID_NONE);
    way_close(&w);
    way_close(&other);
}

static void a_new_bundle_is_taken_and_a_bad_one_is_not(void **state) {
    struct way w;
    uint64_t now = way_open(&w);
    struct weir_pem next = { 0 };
    const char *why;
    char *both;

    assert_int_equal(weir_ca_new("cluster.local", (int64_t)(now / SECOND), 86400, &next, &why), 0);
    assert_int_equal(weir_svid_want(w.svid, now, ID), 0);
    sign(&w, now, 100);
    both = malloc(strlen(w.ca.cert) + strlen(next.cert) + 1);
    strcat(strcpy(both, w.ca.cert), next.cert);
    weir_svid_bundle(w.svid, now, WEIR_SLICE("nothing of use"));
    weir_svid_bundle(w.svid, now, weir_slice_from_str(w.ca.cert));
    assert_int_equal(w.changed, 1);
    weir_svid_bundle(w.svid, now, weir_slice_from_str(both));
    assert_int_equal(w.changed, 2);
    weir_assert_slice(weir_svid_material(w.svid).ca, both);
    free(both);
    weir_pem_deinit(&next);
    way_close(&w);
}

/* A certificate for the key, and whom it is of; the key is the caller's until it is given. */
static void given(struct way *w, uint64_t now, const char *id, const char *why_not) {
    struct weir_pem leaf = { 0 };
    struct weir_svid_given g = { .id = weir_slice_from_str(ID),
                                 .bundle = weir_slice_from_str(w->ca.cert) };

    assert_int_equal(weir_tls_key_new(&g.key), 0);
    assert_int_equal(weir_csr_new(g.key, id, &w->csr), 0);
    leaf = signed_leaf(w, now, 100);
    g.chain = weir_slice_from_str(leaf.cert);
    if (why_not)
        assert_string_equal(weir_svid_given(w->svid, now, &g), why_not);
    else
        assert_null(weir_svid_given(w->svid, now, &g));
    weir_pem_deinit(&leaf);
    free(w->csr);
    w->csr = NULL;
}

static void what_is_given_is_held_as_what_was_asked_for(void **state) {
    static const struct weir_svid_ops silent = { NULL, on_changed };
    struct way w;
    uint64_t now = way_open(&w);

    weir_svid_free(w.svid);
    assert_int_equal(weir_svid_new(&silent, &w, &w.svid), 0);
    assert_int_equal(weir_svid_want(w.svid, now, "spiffe://cluster.local/workload"), 0);
    weir_svid_tick(w.svid, now + SECOND);
    assert_int_equal(state_of(&w), WEIR_SVID_NONE);
    weir_svid_refused(w.svid, now + SECOND, WEIR_SLICE("nobody there"));
    assert_string_equal(weir_svid_view(w.svid).why, "nobody there");
    given(&w, now, ID, NULL);
    assert_int_equal(state_of(&w), WEIR_SVID_HELD);
    assert_string_equal(weir_svid_view(w.svid).identity, ID);
    assert_string_equal(weir_svid_view(w.svid).why, "");
    given(&w, now, ID "-other", "it is for another identity");
    assert_int_equal(state_of(&w), WEIR_SVID_HELD);
    assert_int_equal(w.changed, 1);
    given(&w, now + 50 * SECOND, ID, NULL);
    assert_int_equal(w.changed, 2);
    weir_svid_tick(w.svid, now + 149 * SECOND);
    assert_int_equal(state_of(&w), WEIR_SVID_HELD);
    weir_svid_tick(w.svid, now + 150 * SECOND);
    assert_int_equal(state_of(&w), WEIR_SVID_EXPIRED);
    assert_int_equal(w.changed, 3);
    way_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_is_asked_for_at_half_life_with_another_key),
        cmocka_unit_test(what_is_held_serves_until_it_expires_and_asking_goes_on),
        cmocka_unit_test(what_does_not_fit_is_refused_and_asked_for_again),
        cmocka_unit_test(a_new_bundle_is_taken_and_a_bad_one_is_not),
        cmocka_unit_test(what_is_given_is_held_as_what_was_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
