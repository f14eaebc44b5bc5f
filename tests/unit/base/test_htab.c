/* SPDX-License-Identifier: Apache-2.0 */
#include "base/htab.h"

#include "weir_test.h"

static const uint64_t seed[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };

struct item {
    struct weir_hnode node;
    char key[16];
};

static void name_item(struct item *item, unsigned n) {
    snprintf(item->key, sizeof(item->key), "key-%u", n);
    item->node.key = weir_slice_from_str(item->key);
}

static void what_was_added_is_found_and_what_was_removed_is_not(void **state) {
    enum { N = 1000 };
    struct item *items = calloc(N, sizeof(*items));
    struct weir_htab t;
    weir_htab_init(&t, seed);
    assert_null(weir_htab_find(&t, WEIR_SLICE("key-1")));
    for (unsigned i = 0; i < N; i++) {
        name_item(&items[i], i);
        assert_int_equal(weir_htab_add(&t, &items[i].node), 0);
    }
    assert_int_equal(t.count, N);
    for (unsigned i = 0; i < N; i += 2)
        weir_htab_remove(&t, &items[i].node);
    assert_int_equal(t.count, N / 2);
    for (unsigned i = 0; i < N; i++)
        assert_ptr_equal(weir_htab_find(&t, items[i].node.key), i % 2 ? &items[i].node : NULL);
    weir_htab_remove(&t, &items[0].node); /* not there: nothing happens */
    assert_int_equal(t.count, N / 2);
    weir_htab_deinit(&t);
    assert_null(weir_htab_find(&t, WEIR_SLICE("key-1")));
    free(items);
}

static void a_key_is_there_once(void **state) {
    struct weir_htab t;
    struct item a, b;
    name_item(&a, 1);
    name_item(&b, 1);
    weir_htab_init(&t, seed);
    assert_int_equal(weir_htab_add(&t, &a.node), 0);
    assert_int_equal(weir_htab_add(&t, &b.node), -EEXIST);
    assert_int_equal(t.count, 1);
    assert_ptr_equal(weir_htab_find(&t, WEIR_SLICE("key-1")), &a.node);
    weir_htab_deinit(&t);
}

static void count_one(struct weir_hnode *n, void *arg) {
    (void)n;
    ++*(unsigned *)arg;
}

static void free_one(struct weir_hnode *n, void *arg) {
    ++*(unsigned *)arg;
    free(WEIR_CONTAINER_OF(n, struct item, node));
}

static void foreach_meets_each_node_once_and_may_free_it(void **state) {
    struct weir_htab t;
    weir_htab_init(&t, seed);
    for (unsigned i = 0; i < 100; i++) {
        struct item *item = calloc(1, sizeof(*item));
        name_item(item, i);
        assert_int_equal(weir_htab_add(&t, &item->node), 0);
    }
    unsigned n = 0;
    weir_htab_foreach(&t, count_one, &n);
    assert_int_equal(n, 100);
    n = 0;
    weir_htab_foreach(&t, free_one, &n);
    assert_int_equal(n, 100);
    weir_htab_deinit(&t);
}

static int add_some(void *arg) {
    struct item items[40];
    struct weir_htab t;
    weir_htab_init(&t, seed);
    int r = 0;
    for (unsigned i = 0; i < 40 && r == 0; i++) {
        name_item(&items[i], i);
        r = weir_htab_add(&t, &items[i].node);
    }
    for (unsigned i = 0; i < 40 && r == 0; i++)
        r = weir_htab_find(&t, items[i].node.key) == &items[i].node ? 0 : -EIO;
    weir_htab_deinit(&t);
    return r;
}

static void a_table_that_cannot_grow_still_works(void **state) {
    assert_true(weir_test_sweep(add_some, NULL, 0) >= 2);
}

/* SipHash-1-3 straight from the paper's description, written differently from the product. */
static uint64_t reference(const uint64_t k[2], const unsigned char *in, size_t len) {
    uint64_t a = k[0] ^ 0x736f6d6570736575u, b = k[1] ^ 0x646f72616e646f6du;
    uint64_t c = k[0] ^ 0x6c7967656e657261u, d = k[1] ^ 0x7465646279746573u;
#define ROT(x, n) ((x) << (n) | (x) >> (64 - (n)))
#define ROUND()                                                                                    \
    (a += b, c += d, b = ROT(b, 13), d = ROT(d, 16), b ^= a, d ^= c, a = ROT(a, 32), c += b,       \
     a += d, b = ROT(b, 17), d = ROT(d, 21), b ^= c, d ^= a, c = ROT(c, 32))
    for (size_t block = 0; block <= len / 8; block++) {
        uint64_t m = 0;
        for (size_t i = 0; i < 8; i++) {
            size_t at = block * 8 + i;
            uint64_t byte = at < len ? in[at] : block == len / 8 && i == 7 ? len & 0xff : 0;
            m |= byte << (8 * i);
        }
        d ^= m;
        ROUND();
        a ^= m;
    }
    c ^= 0xff;
    ROUND();
    ROUND();
    ROUND();
    return a ^ b ^ c ^ d;
}

static void the_hash_is_siphash_1_3_at_every_length(void **state) {
    unsigned char in[64];
    for (size_t i = 0; i < sizeof(in); i++) {
        in[i] = (unsigned char)(i * 37);
        uint64_t h = weir_hash(seed, weir_slice_make((char *)in, i));
        assert_true(h == reference(seed, in, i));
    }
    /* Published vector for the empty input and key 00 01 .. 0f. */
    assert_true(weir_hash(seed, WEIR_SLICE_NONE) == 0xabac0158050fc4dcu);
}

static void another_seed_gives_another_hash(void **state) {
    const uint64_t other[2] = { seed[0], seed[1] ^ 1 };
    assert_false(weir_hash(seed, WEIR_SLICE("x")) == weir_hash(other, WEIR_SLICE("x")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_and_what_was_removed_is_not),
        cmocka_unit_test(a_key_is_there_once),
        cmocka_unit_test(foreach_meets_each_node_once_and_may_free_it),
        cmocka_unit_test(a_table_that_cannot_grow_still_works),
        cmocka_unit_test(the_hash_is_siphash_1_3_at_every_length),
        cmocka_unit_test(another_seed_gives_another_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
