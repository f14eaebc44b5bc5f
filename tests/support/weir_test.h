/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nearly every unit test wants: cmocka with the headers it forgets to include, comparison of
 * slices, the bytes of a chunk queue as text, the allocation-failure sweep and a directory that
 * vanishes again. Header only.
 */
#ifndef WEIR_TEST_H
#define WEIR_TEST_H

/* cmocka.h needs these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bufq.h"
#include "base/mem.h"
#include "base/slice.h"

#define weir_assert_slice(actual, text) weir_assert_slice_at((actual), (text), __FILE__, __LINE__)
static WEIR_UNUSED void weir_assert_slice_at(struct weir_slice actual, const char *text,
                                             const char *file, int line) {
    if (actual.len != strlen(text) || (actual.len && memcmp(actual.ptr, text, actual.len) != 0)) {
        print_error("\"%.*s\" (%zu bytes) != \"%s\"\n", (int)actual.len,
                    actual.ptr ? actual.ptr : "", actual.len, text);
        _fail(file, line);
    }
}

/* The bytes of a queue, NUL-terminated, on the heap: free() it. The queue keeps them. */
static WEIR_UNUSED char *weir_test_bufq_text(const struct weir_bufq *q) {
    int n = (int)q->count;
    struct iovec *iov = calloc((size_t)n + 1, sizeof(*iov));
    char *text = malloc(q->len + 1), *p = text;
    n = weir_bufq_peek(q, iov, n);
    for (int i = 0; i < n; i++) {
        memcpy(p, iov[i].iov_base, iov[i].iov_len);
        p += iov[i].iov_len;
    }
    *p = '\0';
    assert_int_equal((size_t)(p - text), q->len);
    free(iov);
    return text;
}

#define weir_assert_bufq(q, text)                                                                  \
    do {                                                                                           \
        char *weir_bufq_text_ = weir_test_bufq_text(q);                                            \
        assert_string_equal(weir_bufq_text_, text);                                                \
        free(weir_bufq_text_);                                                                     \
    } while (0)

/*
 * Runs `int fn(void *arg)` again and again, failing first its 1st, then its 2nd, ... allocation,
 * until it gets through without meeting the failure. fn returns 0 = succeeded (or did without that
 * memory), -ENOMEM = gave up and cleaned up; anything else fails the test. Leaks are
 * LeakSanitizer's to find. Returns how many failures were met: assert that it is not 0. Inside fn
 * do not assert on what an allocation made (cmocka would leave it with the injection on).
 */
static WEIR_UNUSED unsigned weir_test_sweep(int (*fn)(void *arg), void *arg, int sticky) {
    for (unsigned long n = 1; n < 100000; n++) {
        weir_mem_fail_at(n, sticky);
        int r = fn(arg);
        bool met = weir_mem_failed();
        weir_mem_fail_at(0, 0);
        if (r != 0)
            assert_int_equal(r, -ENOMEM);
        if (!met) {
            assert_int_equal(r, 0);
            return (unsigned)(n - 1);
        }
    }
    fail_msg("no end of allocations");
    return 0;
}

/* A new directory; the path is the caller's buffer. */
static WEIR_UNUSED void weir_test_tmpdir(char path[64]) {
    const char *tmp = getenv("TMPDIR");
    snprintf(path, 64, "%s/weir-test-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(path));
}

static WEIR_UNUSED int weir_test_rm_one(const char *path, const struct stat *st, int flag,
                                        struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static WEIR_UNUSED void weir_test_rmdir(const char *path) {
    assert_int_equal(nftw(path, weir_test_rm_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static WEIR_UNUSED void weir_test_write(const char *dir, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

#endif
