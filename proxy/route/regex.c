/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCRE2 with JIT, anchored at both ends. Three things bound what a hostile path can cost: the match
 * limit (which JIT code honours too), the depth and heap limits of the interpreter, and a memcmp
 * with the literal text the pattern starts with, which turns most expressions away before PCRE2 is
 * entered.
 *
 * A match needs scratch memory that two threads may not share. The set keeps a few such blocks and
 * hands them out by atomic exchange, so that a worker neither allocates per request nor waits for
 * another.
 */
#include "route/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdatomic.h>

#include "base/mem.h"

#define MATCH_LIMIT    100000
#define DEPTH_LIMIT    1000
#define HEAP_LIMIT_KIB 1024
#define N_SCRATCH      8

struct weir_regex {
    struct weir_regex *next;
    pcre2_code *code;
    size_t n_literal;
    char literal[];
};

struct weir_regex_set {
    pcre2_general_context *general;
    pcre2_match_context *limits;
    struct weir_regex *all;
    _Atomic(pcre2_match_data *) scratch[N_SCRATCH];
};

static void *re_malloc(size_t n, void *arg) {
    return weir_malloc(n);
}

static void re_free(void *p, void *arg) {
    weir_free(p);
}

int weir_regex_set_new(struct weir_regex_set **ret_set) {
    struct weir_regex_set *s = weir_calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->general = pcre2_general_context_create(re_malloc, re_free, NULL);
    if (s->general)
        s->limits = pcre2_match_context_create(s->general);
    if (s->limits)
        s->scratch[0] = pcre2_match_data_create(1, s->general);
    if (!s->scratch[0]) {
        weir_regex_set_free(s);
        return -ENOMEM;
    }
    pcre2_set_match_limit(s->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(s->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(s->limits, HEAP_LIMIT_KIB);
    *ret_set = s;
    return 0;
}

struct weir_regex_set *weir_regex_set_free(struct weir_regex_set *s) {
    if (!s)
        return NULL;
    while (s->all) {
        struct weir_regex *re = s->all;

        s->all = re->next;
        pcre2_code_free(re->code);
        weir_free(re);
    }
    for (size_t i = 0; i < N_SCRATCH; i++)
        pcre2_match_data_free(s->scratch[i]);
    pcre2_match_context_free(s->limits);
    pcre2_general_context_free(s->general);
    return weir_free(s);
}

/* Bytes at the start of the pattern that every match has to start with; 0 when in doubt. */
static size_t literal_length(struct weir_slice pattern) {
    size_t n = 0;

    if (weir_slice_index(pattern, '|') < pattern.len)
        return 0;
    while (n < pattern.len && !memchr("\\^$.[|()?*+{#", pattern.ptr[n], 13))
        n++;
    /* A quantifier behind the last literal byte makes that byte optional. */
    if (n > 0 && n < pattern.len && memchr("?*{", pattern.ptr[n], 3))
        n--;
    return n;
}

int weir_regex_add(struct weir_regex_set *s, struct weir_slice pattern,
                   struct weir_regex **ret_re) {
    size_t n_literal = literal_length(pattern);
    struct weir_regex *re = weir_malloc(sizeof(*re) + n_literal);
    pcre2_compile_context *context;
    PCRE2_SIZE offset;
    int error = 0;

    if (!re)
        return -ENOMEM;
    context = pcre2_compile_context_create(s->general);
    if (!context) {
        weir_free(re);
        return -ENOMEM;
    }
    re->code = pcre2_compile((PCRE2_SPTR)(pattern.ptr ? pattern.ptr : ""), pattern.len,
                             PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY, &error,
                             &offset, context);
    pcre2_compile_context_free(context);
    if (!re->code) {
        weir_free(re);
        return error == PCRE2_ERROR_HEAP_FAILED ? -ENOMEM : -EINVAL;
    }
    /* Where memory may not be made executable this fails and the interpreter runs instead. */
    (void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
    re->n_literal = n_literal;
    if (n_literal)
        memcpy(re->literal, pattern.ptr, n_literal);
    re->next = s->all;
    s->all = re;
    *ret_re = re;
    return 0;
}

static pcre2_match_data *scratch_take(struct weir_regex_set *s) {
    for (size_t i = 0; i < N_SCRATCH; i++) {
        pcre2_match_data *data = atomic_exchange(&s->scratch[i], NULL);

        if (data)
            return data;
    }
    return pcre2_match_data_create(1, s->general);
}

static void scratch_give(struct weir_regex_set *s, pcre2_match_data *data) {
    for (size_t i = 0; i < N_SCRATCH; i++) {
        pcre2_match_data *expected = NULL;

        if (atomic_compare_exchange_strong(&s->scratch[i], &expected, data))
            return;
    }
    pcre2_match_data_free(data);
}

bool weir_regex_matches(struct weir_regex_set *s, const struct weir_regex *re,
                        struct weir_slice text) {
    pcre2_match_data *data;
    int r;

    if (text.len < re->n_literal || memcmp(text.ptr ? text.ptr : "", re->literal, re->n_literal))
        return false;
    data = scratch_take(s);
    if (!data)
        return false;
    r = pcre2_match(re->code, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0, 0, data,
                    s->limits);
    scratch_give(s, data);
    return r >= 0;
}
