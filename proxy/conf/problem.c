/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of problems found while building a snapshot. Owns copies of every text in it, so that it
 * outlives sources, trees and arenas; bounds itself, so that a hostile file cannot make it grow;
 * sorts by place, so that a reader goes through the file once. Does not know what a problem means.
 */
#include "conf/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MESSAGE_MAX 1024

static void problem_deinit(struct weir_problem *p) {
    weir_free((void *)(uintptr_t)p->place.file);
    weir_free(p->field);
    weir_free(p->message);
    *p = (struct weir_problem){ 0 };
}

void weir_problems_deinit(struct weir_problems *problems) {
    for (uint32_t i = 0; i < problems->n; i++) {
        problem_deinit(&problems->items[i]);
    }
    problems->items = weir_free(problems->items);
    problems->n = 0;
}

void weir_problem_sink_deinit(struct weir_problem_sink *sink) {
    for (uint32_t i = 0; i < sink->n; i++) {
        problem_deinit(&sink->entries[i].p);
    }
    sink->entries = weir_free(sink->entries);
    sink->n = sink->cap = 0;
}

static int reserve_entry(struct weir_problem_sink *sink) {
    if (sink->n < sink->cap) {
        return 0;
    }
    uint32_t cap = sink->cap == 0 ? 8 : sink->cap * 2;
    struct weir_problem_entry *entries = weir_reallocarray(sink->entries, cap, sizeof(*entries));
    if (entries == NULL) {
        return -ENOMEM;
    }
    sink->entries = entries;
    sink->cap = cap;
    return 0;
}

/* Length of the UTF-8 sequence at p, 0 if there is no whole one. The text before has been checked by the loader; what
 * can be wrong is a sequence that was cut when a value was clipped, or a file name. */
static size_t sequence_length(const char *p) {
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;

    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* A text from a configuration may not steer a terminal nor break the JSON it is reported in. */
static void make_harmless(char *text) {
    for (char *p = text; *p != '\0';) {
        size_t n = sequence_length(p);
        if (n == 0) {
            *p = '?';
        } else if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = ' ';
        }
        p += n == 0 ? 1 : n;
    }
}

static char *copy(const char *s) {
    char *text = weir_strndup(s, strlen(s));

    if (text != NULL) {
        make_harmless(text);
    }
    return text;
}

/* Clipped rather than measured first: a message is for a person. */
static char *format(const char *fmt, va_list ap) WEIR_PRINTF(1, 0);
static char *format(const char *fmt, va_list ap) {
    char text[MESSAGE_MAX];

    vsnprintf(text, sizeof(text), fmt, ap);
    return copy(text);
}

int weir_problem_addv(struct weir_problem_sink *sink, const struct weir_problem_at *at,
                      const char *fmt, va_list ap) {
    uint32_t *count = at->severity == WEIR_SEVERITY_ERROR ? &sink->n_errors : &sink->n_warnings;

    (*count)++;
    if (*count > WEIR_PROBLEMS_MAX) {
        return 0;
    }
    if (reserve_entry(sink) != 0) {
        return -ENOMEM;
    }
    struct weir_problem p = {
        .severity = at->severity,
        .place = { .file = copy(at->place.file), .line = at->place.line, .col = at->place.col },
        .field = copy(at->field),
        .message = format(fmt, ap),
    };
    if (p.place.file == NULL || p.field == NULL || p.message == NULL) {
        problem_deinit(&p);
        return -ENOMEM;
    }
    sink->entries[sink->n] =
        (struct weir_problem_entry){ .p = p, .source = at->source, .seq = sink->n };
    sink->n++;
    return 0;
}

int weir_problem_add(struct weir_problem_sink *sink, const struct weir_problem_at *at,
                     const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    int r = weir_problem_addv(sink, at, fmt, ap);
    va_end(ap);
    return r;
}

static int compare_u32(uint32_t a, uint32_t b) {
    return a < b ? -1 : a > b;
}

static int compare_entries(const void *va, const void *vb) {
    const struct weir_problem_entry *a = va, *b = vb;
    int r = compare_u32(a->source, b->source);

    if (r == 0) {
        r = compare_u32(a->p.place.line, b->p.place.line);
    }
    if (r == 0) {
        r = compare_u32(a->p.place.col, b->p.place.col);
    }
    return r != 0 ? r : compare_u32(a->seq, b->seq);
}

static uint32_t beyond(uint32_t n) {
    return n > WEIR_PROBLEMS_MAX ? n - WEIR_PROBLEMS_MAX : 0;
}

/* At the place of the last one shown. */
static int add_remainder(struct weir_problem_sink *sink) {
    uint32_t errors = beyond(sink->n_errors), warnings = beyond(sink->n_warnings);
    struct weir_problem_at at = {
        /* Not counted as an error of its own unless errors were left out. */
        .severity = errors > 0 ? WEIR_SEVERITY_ERROR : WEIR_SEVERITY_WARNING,
        .source = UINT32_MAX,
        .field = "",
    };

    if (errors == 0 && warnings == 0) {
        return 0;
    }
    at.place = sink->entries[sink->n - 1].p.place;
    sink->n_errors = sink->n_warnings = 0;
    return weir_problem_add(sink, &at, "%u more errors and %u more warnings are not shown", errors,
                            warnings);
}

int weir_problem_finish(struct weir_problem_sink *sink, struct weir_problems *ret_problems) {
    struct weir_problems problems = { 0 };

    if (sink->n > 0) {
        qsort(sink->entries, sink->n, sizeof(*sink->entries), compare_entries);
        if (add_remainder(sink) != 0) {
            return -ENOMEM;
        }
        problems.items = weir_calloc(sink->n, sizeof(*problems.items));
        if (problems.items == NULL) {
            return -ENOMEM;
        }
        for (uint32_t i = 0; i < sink->n; i++) {
            problems.items[i] = sink->entries[i].p;
        }
        problems.n = sink->n;
        sink->n = 0;
    }
    weir_problem_sink_deinit(sink);
    *ret_problems = problems;
    return 0;
}
