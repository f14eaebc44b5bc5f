/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process says about itself, on standard error, one line per event:
 *   2026-02-03T04:05:06.789012Z level=info event=reload generation=7
 * The lower rooms return and do not print; core, io, kern, node and cli log. Never log secrets,
 * keys, or header values at info and above. Text that came from outside goes through
 * weir_log_quote, so that it cannot look like another key.
 */
#ifndef WEIR_SYS_LOG_H
#define WEIR_SYS_LOG_H

#include <stdarg.h>

#include "base/err.h"
#include "base/slice.h"

enum weir_log_level { WEIR_LOG_DEBUG, WEIR_LOG_INFO, WEIR_LOG_WARN, WEIR_LOG_ERROR };

/* "debug", "info", "warn" or "error". 0 or -EINVAL. */
int weir_log_level_parse(struct weir_slice name, enum weir_log_level *ret_level);
/* What is below `level` is dropped; INFO at first. One level per process, because the libraries
 * whose output is routed here know no context. */
void weir_log_level_set(enum weir_log_level level);
bool weir_log_on(enum weir_log_level level);

/* `event` is a fixed word in snake_case; fmt makes "key=value key=value". One write(2); a full pipe
 * loses the line. */
void weir_log(enum weir_log_level level, const char *event, const char *fmt, ...) WEIR_PRINTF(3, 4);
/* A foreign library's message, quoted whole as msg="..."; `source` says which library. For
 * libbpf_set_print and the like. */
void weir_log_foreign(enum weir_log_level level, const char *source, const char *fmt, va_list args)
    WEIR_PRINTF(3, 0);

struct weir_log_text {
    char s[512];
};
/* `weir_log_quote(slice).s`: in double quotes, with '"', '\' and all that is not printable ASCII
 * escaped; cut when long. */
struct weir_log_text weir_log_quote(struct weir_slice value);

#endif
