/* SPDX-License-Identifier: Apache-2.0 */
/* Collects what is wrong with the input, up to a bound, and hands it over in order of place. */
#ifndef WEIR_CONF_PROBLEM_H
#define WEIR_CONF_PROBLEM_H

#include <stdarg.h>

#include "conf/snapshot.h"

#define WEIR_PROBLEMS_MAX 100 /* kept of each severity; the rest is only counted */

struct weir_problem_entry {
    struct weir_problem p;
    uint32_t source, seq;
};

struct weir_problem_sink {
    struct weir_problem_entry *entries;
    uint32_t n, cap;
    uint32_t n_errors, n_warnings; /* all of them, kept or not */
};

/* Where a problem is: `source` orders the files as they were given. */
struct weir_problem_at {
    enum weir_severity severity;
    uint32_t source;
    struct weir_place place;
    const char *field;
};

/* 0 or -ENOMEM. The texts are copied. */
int weir_problem_add(struct weir_problem_sink *sink, const struct weir_problem_at *at,
                     const char *fmt, ...) WEIR_PRINTF(3, 4);
int weir_problem_addv(struct weir_problem_sink *sink, const struct weir_problem_at *at,
                      const char *fmt, va_list ap) WEIR_PRINTF(3, 0);
/* Moves everything to *ret_problems, sorted, with a closing line when some were not kept. 0 or
 * -ENOMEM. */
int weir_problem_finish(struct weir_problem_sink *sink, struct weir_problems *ret_problems);
void weir_problem_sink_deinit(struct weir_problem_sink *sink);

#endif
