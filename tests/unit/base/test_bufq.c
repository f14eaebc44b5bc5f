/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bufq.h"

#include "weir_test.h"

struct fixture {
    struct weir_chunk_pool pool;
    struct weir_bufq q, other;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    weir_chunk_pool_init(&f->pool, 4);
    weir_bufq_init(&f->q, &f->pool, 0);
    weir_bufq_init(&f->other, &f->pool, 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    weir_bufq_deinit(&f->q);
    weir_bufq_deinit(&f->other);
    weir_chunk_pool_deinit(&f->pool); /* asserts that every chunk came back */
    free(f);
    return 0;
}

static struct weir_slice put(struct weir_chunk *chunk, size_t at, const char *text) {
    memcpy(chunk->data + at, text, strlen(text));
    return weir_slice_make(chunk->data + at, strlen(text));
}

static void small_appends_share_one_chunk(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("0123456789")), 0);
    assert_int_equal(f->q.len, 100);
    assert_int_equal(f->q.count, 1);
    assert_int_equal(f->pool.n_live, 1);
}

static void an_append_crosses_chunks_without_a_gap(void **state) {
    struct fixture *f = *state;
    enum { N = 5 * WEIR_CHUNK_SIZE + 7 };
    char *bytes = malloc(N);
    for (size_t i = 0; i < N; i++)
        bytes[i] = (char)('a' + i % 23);
    assert_int_equal(weir_bufq_append(&f->q, weir_slice_make(bytes, 3)), 0);
    assert_int_equal(weir_bufq_append(&f->q, weir_slice_make(bytes + 3, N - 3)), 0);
    assert_int_equal(f->q.len, N);
    assert_int_equal(f->pool.n_live, 6);
    char *text = weir_test_bufq_text(&f->q);
    assert_memory_equal(text, bytes, N);
    free(text);
    free(bytes);
}

static void contiguous_references_become_one_segment(void **state) {
    struct fixture *f = *state;
    struct weir_chunk *chunk = weir_chunk_get(&f->pool);
    assert_int_equal(weir_bufq_append_ref(&f->q, chunk, put(chunk, 0, "abc")), 0);
    assert_int_equal(weir_bufq_append_ref(&f->q, chunk, put(chunk, 3, "def")), 0);
    assert_int_equal(f->q.count, 1);
    assert_int_equal(chunk->refs, 2);
    assert_int_equal(weir_bufq_append_ref(&f->q, chunk, put(chunk, 8, "xyz")), 0);
    assert_int_equal(f->q.count, 2);
    assert_int_equal(chunk->refs, 3);
    weir_assert_bufq(&f->q, "abcdefxyz");
    struct iovec iov[4];
    assert_int_equal(weir_bufq_peek(&f->q, iov, 4), 2);
    assert_ptr_equal(iov[0].iov_base, chunk->data); /* the very bytes, not a copy */
    weir_chunk_unref(chunk);
}

static void an_append_never_writes_into_a_chunk_someone_else_sees(void **state) {
    struct fixture *f = *state;
    struct weir_chunk *chunk = weir_chunk_get(&f->pool);
    assert_int_equal(weir_bufq_append_ref(&f->q, chunk, put(chunk, 0, "abc")), 0);
    put(chunk, 3, "READER"); /* the reader goes on filling its chunk */
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("---")), 0);
    assert_memory_equal(chunk->data, "abcREADER", 9);
    weir_assert_bufq(&f->q, "abc---");
    assert_int_equal(f->q.count, 2);
    weir_chunk_unref(chunk);
}

static void a_chunk_left_to_the_queue_alone_is_filled_up(void **state) {
    struct fixture *f = *state;
    struct weir_chunk *chunk = weir_chunk_get(&f->pool);
    assert_int_equal(weir_bufq_append_ref(&f->q, chunk, put(chunk, 0, "abc")), 0);
    weir_chunk_unref(chunk);
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("def")), 0);
    assert_int_equal(f->q.count, 1);
    assert_int_equal(f->pool.n_live, 1);
    weir_assert_bufq(&f->q, "abcdef");
}

static void two_segments_of_one_chunk_do_not_own_its_tail(void **state) {
    struct fixture *f = *state;
    struct weir_chunk *chunk = weir_chunk_get(&f->pool);
    struct weir_slice later = put(chunk, 10, "later");
    assert_int_equal(weir_bufq_append_ref(&f->q, chunk, later), 0);
    assert_int_equal(weir_bufq_append_ref(&f->q, chunk, put(chunk, 0, "early")), 0);
    weir_chunk_unref(chunk);
    /* Behind "early" lie bytes that the first segment still needs. */
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("0123456789")), 0);
    weir_assert_bufq(&f->q, "laterearly0123456789");
}

static void static_bytes_need_no_chunk(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_bufq_append_ref(&f->q, NULL, WEIR_SLICE("static")), 0);
    assert_int_equal(f->pool.n_live, 0);
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE(" copied")), 0);
    weir_assert_bufq(&f->q, "static copied");
    weir_bufq_consume(&f->q, 6);
    weir_assert_bufq(&f->q, " copied");
}

static void nothing_appended_is_nothing(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE_NONE), 0);
    assert_int_equal(weir_bufq_append_ref(&f->q, NULL, WEIR_SLICE_NONE), 0);
    assert_int_equal(f->q.count, 0);
    assert_int_equal(f->pool.n_live, 0);
}

static void reserved_room_is_contiguous_and_counts_when_committed(void **state) {
    struct fixture *f = *state;
    char *room = weir_bufq_reserve(&f->q, 5);
    assert_int_equal(f->q.len, 0);
    memcpy(room, "hello", 5);
    weir_bufq_commit(&f->q, 5);
    char *more = weir_bufq_reserve(&f->q, 100);
    assert_ptr_equal(more, room + 5);
    memcpy(more, "!", 1);
    weir_bufq_commit(&f->q, 1);
    weir_assert_bufq(&f->q, "hello!");
    assert_ptr_not_equal(weir_bufq_reserve(&f->q, WEIR_CHUNK_SIZE), room + 6);
    weir_bufq_commit(&f->q, 0);
    assert_int_equal(f->pool.n_live, 1);
    weir_assert_bufq(&f->q, "hello!");
}

static void a_reservation_never_lies_in_shared_bytes(void **state) {
    struct fixture *f = *state;
    struct weir_chunk *chunk = weir_chunk_get(&f->pool);
    assert_int_equal(weir_bufq_append_ref(&f->q, chunk, put(chunk, 0, "abc")), 0);
    char *room = weir_bufq_reserve(&f->q, 4);
    assert_false(room >= chunk->data && room < chunk->data + chunk->size);
    memcpy(room, "defg", 4);
    weir_bufq_commit(&f->q, 4);
    weir_assert_bufq(&f->q, "abcdefg");
    weir_chunk_unref(chunk);
}

static void a_forgotten_reservation_is_harmless(void **state) {
    struct fixture *f = *state;
    assert_non_null(weir_bufq_reserve(&f->q, 10));
    struct iovec iov[2];
    assert_int_equal(weir_bufq_peek(&f->q, iov, 2), 0);
    assert_int_equal(weir_bufq_append_ref(&f->q, NULL, WEIR_SLICE("abc")), 0);
    assert_int_equal(weir_bufq_peek(&f->q, iov, 2), 1);
    assert_int_equal(weir_bufq_move(&f->other, &f->q, 100), 0);
    weir_assert_bufq(&f->other, "abc");
    assert_int_equal(f->pool.n_live, 0);
}

static void moving_all_into_an_empty_queue_hands_the_references_over(void **state) {
    struct fixture *f = *state;
    struct weir_chunk *chunk = weir_chunk_get(&f->pool);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(weir_bufq_append_ref(&f->q, chunk, put(chunk, 10 * i, "abc")), 0);
    weir_bufq_consume(&f->q, 4); /* the ring no longer begins at its first slot */
    assert_int_equal(chunk->refs, 3);
    assert_int_equal(weir_bufq_move(&f->other, &f->q, f->q.len), 0);
    assert_int_equal(chunk->refs, 3);
    assert_int_equal(f->q.len, 0);
    assert_int_equal(f->q.count, 0);
    weir_assert_bufq(&f->other, "bcabc");
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("again")), 0);
    weir_assert_bufq(&f->q, "again");
    weir_bufq_clear(&f->other);
    assert_int_equal(chunk->refs, 1);
    weir_chunk_unref(chunk);
}

static void moving_nothing_leaves_a_reservation_alone(void **state) {
    struct fixture *f = *state;
    char *room = weir_bufq_reserve(&f->q, 3);
    assert_non_null(room);
    assert_int_equal(weir_bufq_move(&f->other, &f->q, 0), 0);
    memcpy(room, "abc", 3);
    weir_bufq_commit(&f->q, 3);
    weir_assert_bufq(&f->q, "abc");
}

static void consuming_gives_chunks_back(void **state) {
    struct fixture *f = *state;
    char bytes[3 * WEIR_CHUNK_SIZE];
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(weir_bufq_append(&f->q, weir_slice_make(bytes, sizeof(bytes))), 0);
    assert_int_equal(f->pool.n_live, 3);
    weir_bufq_consume(&f->q, WEIR_CHUNK_SIZE - 1);
    assert_int_equal(f->pool.n_live, 3);
    weir_bufq_consume(&f->q, 1);
    assert_int_equal(f->pool.n_live, 2);
    weir_bufq_consume(&f->q, 2 * WEIR_CHUNK_SIZE);
    assert_int_equal(f->pool.n_live, 0);
    assert_int_equal(f->q.len, 0);
}

static void truncating_takes_back_what_was_appended(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("abc")), 0);
    assert_int_equal(weir_bufq_append_ref(&f->q, NULL, WEIR_SLICE("static")), 0);
    weir_bufq_truncate(&f->q, 9);
    weir_assert_bufq(&f->q, "abcstatic");
    weir_bufq_truncate(&f->q, 5);
    weir_assert_bufq(&f->q, "abcst");
    weir_bufq_truncate(&f->q, 3);
    assert_int_equal(f->q.count, 1);
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("def")), 0);
    weir_assert_bufq(&f->q, "abcdef");
    weir_bufq_truncate(&f->q, 0);
    assert_int_equal(f->pool.n_live, 0);
    weir_bufq_truncate(&f->q, 0);
}

static void moving_splits_a_segment_and_shares_its_chunk(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("abcdef")), 0);
    assert_int_equal(weir_bufq_move(&f->other, &f->q, 2), 0);
    weir_assert_bufq(&f->other, "ab");
    weir_assert_bufq(&f->q, "cdef");
    assert_int_equal(f->pool.n_live, 1);
    /* What lies behind "ab" belongs to the other queue. */
    assert_int_equal(weir_bufq_append(&f->other, WEIR_SLICE("--")), 0);
    weir_assert_bufq(&f->q, "cdef");
    weir_assert_bufq(&f->other, "ab--");
    assert_int_equal(weir_bufq_move(&f->other, &f->q, 100), 0);
    weir_assert_bufq(&f->other, "ab--cdef");
    assert_int_equal(f->q.len, 0);
}

static void moving_piecewise_joins_what_belongs_together(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("abcdef")), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(weir_bufq_move(&f->other, &f->q, 1), 0);
    weir_assert_bufq(&f->other, "abcdef");
    assert_int_equal(f->other.count, 1);
}

static void the_ring_grows_while_wrapped_around(void **state) {
    struct fixture *f = *state;
    static const char big[300] = { 'B' };
    /* Move the head off slot 0 first. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(weir_bufq_append_ref(&f->q, NULL, weir_slice_make(big, 300)), 0);
    weir_bufq_consume(&f->q, 600);
    static const char runs[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char want[37 * 300 + 1], *w = want;
    memcpy(w, big, 300);
    w += 300;
    char *copies = malloc(36 * 300);
    for (size_t i = 0; i < 36; i++) {
        memset(copies + i * 300, runs[i], 300);
        memset(w, runs[i], 300);
        w += 300;
    }
    for (size_t i = 0; i < 36; i++)
        assert_int_equal(weir_bufq_append_ref(&f->q, NULL, weir_slice_make(copies + i * 300, 300)),
                         0);
    assert_int_equal(f->q.count, 37);
    char *text = weir_test_bufq_text(&f->q);
    assert_memory_equal(text, want, 37 * 300);
    free(text);
    weir_bufq_clear(&f->q);
    assert_int_equal(f->q.cap, WEIR_BUFQ_INLINE);
    free(copies);
}

static void many_tiny_runs_do_not_cost_a_segment_each(void **state) {
    struct fixture *f = *state;
    struct weir_chunk *chunk = weir_chunk_get(&f->pool);
    for (size_t i = 0; i < 2000; i++) {
        chunk->data[i * 2] = (char)('a' + i % 26);
        assert_int_equal(
            weir_bufq_append_ref(&f->q, chunk, weir_slice_make(chunk->data + i * 2, 1)), 0);
    }
    assert_int_equal(f->q.len, 2000);
    assert_true(f->q.count <= WEIR_BUFQ_INLINE + 1);
    char *text = weir_test_bufq_text(&f->q);
    for (size_t i = 0; i < 2000; i++)
        assert_int_equal(text[i], 'a' + i % 26);
    free(text);
    weir_chunk_unref(chunk);
}

static void full_and_low_have_a_gap_between_them(void **state) {
    struct fixture *f = *state;
    weir_bufq_deinit(&f->q);
    weir_bufq_init(&f->q, &f->pool, 10);
    assert_false(weir_bufq_full(&f->q));
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("0123456789ab")), 0);
    assert_true(weir_bufq_full(&f->q));
    weir_bufq_consume(&f->q, 3);
    assert_false(weir_bufq_full(&f->q));
    assert_false(weir_bufq_low(&f->q));
    weir_bufq_consume(&f->q, 4);
    assert_true(weir_bufq_low(&f->q));
    assert_false(weir_bufq_full(&f->other));
    assert_true(weir_bufq_low(&f->other));
}

static void steady_state_allocates_nothing(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_bufq_append(&f->q, WEIR_SLICE("warm")), 0);
    weir_bufq_clear(&f->q);
    weir_mem_fail_at(1, 1);
    int bad = 0;
    for (int i = 0; i < 1000; i++) {
        struct weir_chunk *chunk = weir_chunk_get(&f->pool);
        bad |= !chunk || weir_bufq_append_ref(&f->q, chunk, put(chunk, 0, "request"));
        bad |= weir_bufq_append_ref(&f->q, NULL, WEIR_SLICE("\r\n"));
        weir_chunk_unref(chunk);
        weir_bufq_consume(&f->q, f->q.len);
    }
    weir_mem_fail_at(0, 0);
    assert_int_equal(bad, 0);
}

static void the_pool_keeps_only_so_many(void **state) {
    struct fixture *f = *state;
    struct weir_chunk *chunks[8];
    for (size_t i = 0; i < 8; i++)
        chunks[i] = weir_chunk_get(&f->pool);
    assert_int_equal(f->pool.n_live, 8);
    for (size_t i = 0; i < 8; i++)
        assert_null(weir_chunk_unref(chunks[i]));
    assert_int_equal(f->pool.n_live, 0);
    assert_int_equal(f->pool.n_free, 4);
    assert_null(weir_chunk_unref(NULL));
}

/* Of every size, used to the last byte; a second round asks the heap for none of them. */
static void small_blocks_are_used_again(void **state) {
    enum { SIZES = 1008 };
    void *blocks[SIZES];
    struct weir_chunk_pool pool;

    weir_chunk_pool_init(&pool, 1024);
    for (int round = 0; round < 2; round++) {
        if (round == 1)
            weir_mem_fail_at(1, 1);
        for (size_t n = 0; n < SIZES; n++) {
            blocks[n] = weir_small_get(&pool, n);
            assert_non_null(blocks[n]);
            assert_int_equal((uintptr_t)blocks[n] % 16, 0);
            memset(blocks[n], (int)n, n);
        }
        weir_mem_fail_at(0, 0);
        assert_int_equal(pool.small_free, 0);
        for (size_t n = 0; n < SIZES; n++) {
            if (n > 0)
                assert_int_equal(((unsigned char *)blocks[n])[n - 1], (unsigned char)n);
            weir_small_put(&pool, blocks[n]);
        }
        assert_true(pool.small_free >= SIZES * (SIZES - 1) / 2);
    }
    weir_chunk_pool_trim(&pool);
    assert_int_equal(pool.small_free, 0);
    weir_small_put(&pool, NULL);
    weir_chunk_pool_deinit(&pool);
}

static void small_blocks_kept_have_a_bound(void **state) {
    enum { N = 2000 };
    static void *blocks[N];
    struct weir_chunk_pool pool;

    weir_chunk_pool_init(&pool, 4);
    for (size_t i = 0; i < N; i++)
        blocks[i] = weir_small_get(&pool, 1000);
    for (size_t i = 0; i < N; i++)
        weir_small_put(&pool, blocks[i]);
    assert_in_range(pool.small_free, 4 * WEIR_CHUNK_SIZE / 4, 4 * WEIR_CHUNK_SIZE / 4 + 1008);
    weir_chunk_pool_trim(&pool);
    pool.keep = false;
    weir_small_put(&pool, weir_small_get(&pool, 100));
    assert_int_equal(pool.small_free, 0);
    void *large = weir_small_get(&pool, 5000); /* from the heap, and back */
    memset(large, 1, 5000);
    pool.keep = true;
    weir_small_put(&pool, large);
    assert_int_equal(pool.small_free, 0);
    weir_chunk_pool_deinit(&pool);
}

/* Each step either happens whole or leaves the queues as they were. */
static int all_or_nothing(void *arg) {
    struct weir_chunk_pool pool;
    struct weir_bufq q, other;
    static const char big[3 * WEIR_CHUNK_SIZE];
    weir_chunk_pool_init(&pool, 0);
    weir_bufq_init(&q, &pool, 0);
    weir_bufq_init(&other, &pool, 0);
    int r = weir_bufq_append(&q, WEIR_SLICE("abc"));
    size_t len = q.len;
    if (r == 0)
        r = weir_bufq_append(&q, weir_slice_make(big, sizeof(big)));
    if (r < 0 && q.len != len)
        r = -EIO;
    for (int i = 0; i < 10 && r == 0; i++) {
        len = q.len;
        r = weir_bufq_append_ref(&q, NULL, weir_slice_make(big + 300 * i, 300));
        if (r < 0 && q.len != len)
            r = -EIO;
    }
    if (r == 0) {
        len = q.len;
        r = weir_bufq_move(&other, &q, SIZE_MAX);
        if (r < 0 && (q.len != len || other.len != 0))
            r = -EIO;
    }
    if (r == 0 && !weir_bufq_reserve(&q, 10))
        r = -ENOMEM;
    weir_bufq_deinit(&q);
    weir_bufq_deinit(&other);
    if (pool.n_live != 0)
        r = -EIO;
    weir_chunk_pool_deinit(&pool);
    return r;
}

static void without_memory_nothing_is_appended(void **state) {
    assert_true(weir_test_sweep(all_or_nothing, NULL, 0) >= 5);
    assert_true(weir_test_sweep(all_or_nothing, NULL, 1) >= 5);
}

/* Random operations on two queues against two flat strings. */
static void any_sequence_of_operations_equals_plain_strings(void **state) {
    struct fixture *f = *state;
    enum { MAX = 1 << 20 };
    struct weir_bufq *qs[2] = { &f->q, &f->other };
    char *model[2] = { malloc(MAX), malloc(MAX) }, *noise = malloc(MAX);
    size_t len[2] = { 0, 0 };
    uint32_t rnd = 12345;
    struct weir_chunk *reader = weir_chunk_get(&f->pool);
    size_t read_at = 0;
    for (size_t i = 0; i < MAX; i++)
        noise[i] = (char)('!' + (i * 2654435761u >> 20) % 90);
    for (int step = 0; step < 4000; step++) {
        rnd = rnd * 1664525u + 1013904223u;
        unsigned who = rnd >> 31, what = (rnd >> 24) % 5;
        size_t n = (rnd >> 8) % ((rnd & 7) == 0 ? 40000 : 300);
        struct weir_slice bytes = weir_slice_make(noise + rnd % 1000, n);
        size_t before = len[who];
        if (what < 3 && before + n > MAX / 2)
            what = 4;
        if (what == 0) {
            assert_int_equal(weir_bufq_append(qs[who], bytes), 0);
        } else if (what == 1) {
            if (n > WEIR_CHUNK_SIZE)
                bytes.len = n = WEIR_CHUNK_SIZE;
            if (read_at + n > WEIR_CHUNK_SIZE || (rnd & 64)) {
                weir_chunk_unref(reader);
                reader = weir_chunk_get(&f->pool);
                read_at = 0;
            }
            memcpy(reader->data + read_at, bytes.ptr, n);
            struct weir_slice in_chunk = weir_slice_make(reader->data + read_at, n);
            assert_int_equal(weir_bufq_append_ref(qs[who], reader, in_chunk), 0);
            read_at += n + (rnd & 1);
            if (read_at > WEIR_CHUNK_SIZE)
                read_at = WEIR_CHUNK_SIZE;
        } else if (what == 2) {
            if (n > WEIR_CHUNK_SIZE)
                bytes.len = n = WEIR_CHUNK_SIZE;
            char *room = weir_bufq_reserve(qs[who], n);
            memcpy(room, bytes.ptr, n);
            weir_bufq_commit(qs[who], n);
        }
        if (what < 3) {
            memcpy(model[who] + before, bytes.ptr, n);
            len[who] += n;
        } else if (what == 3) {
            size_t moved = n < before ? n : before;
            if (len[!who] + moved > MAX)
                continue;
            assert_int_equal(weir_bufq_move(qs[!who], qs[who], n), 0);
            memcpy(model[!who] + len[!who], model[who], moved);
            len[!who] += moved;
            memmove(model[who], model[who] + moved, before - moved);
            len[who] -= moved;
        } else {
            size_t gone = n * 3 < before ? n * 3 : before;
            weir_bufq_consume(qs[who], gone);
            memmove(model[who], model[who] + gone, before - gone);
            len[who] -= gone;
        }
        assert_int_equal(qs[who]->len, len[who]);
        if (step % 16 == 0) {
            char *text = weir_test_bufq_text(qs[who]);
            assert_memory_equal(text, model[who], len[who]);
            free(text);
        }
    }
    weir_chunk_unref(reader);
    free(model[0]);
    free(model[1]);
    free(noise);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(small_appends_share_one_chunk),
        CASE(an_append_crosses_chunks_without_a_gap),
        CASE(contiguous_references_become_one_segment),
        CASE(an_append_never_writes_into_a_chunk_someone_else_sees),
        CASE(a_chunk_left_to_the_queue_alone_is_filled_up),
        CASE(two_segments_of_one_chunk_do_not_own_its_tail),
        CASE(static_bytes_need_no_chunk),
        CASE(nothing_appended_is_nothing),
        CASE(reserved_room_is_contiguous_and_counts_when_committed),
        CASE(a_reservation_never_lies_in_shared_bytes),
        CASE(a_forgotten_reservation_is_harmless),
        CASE(moving_all_into_an_empty_queue_hands_the_references_over),
        CASE(moving_nothing_leaves_a_reservation_alone),
        CASE(consuming_gives_chunks_back),
        CASE(truncating_takes_back_what_was_appended),
        CASE(moving_splits_a_segment_and_shares_its_chunk),
        CASE(moving_piecewise_joins_what_belongs_together),
        CASE(the_ring_grows_while_wrapped_around),
        CASE(many_tiny_runs_do_not_cost_a_segment_each),
        CASE(full_and_low_have_a_gap_between_them),
        CASE(steady_state_allocates_nothing),
        CASE(the_pool_keeps_only_so_many),
        CASE(small_blocks_are_used_again),
        CASE(small_blocks_kept_have_a_bound),
        CASE(without_memory_nothing_is_appended),
        CASE(any_sequence_of_operations_equals_plain_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
