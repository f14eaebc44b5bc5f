/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of key=value on standard error. A line is built on the stack and leaves in one write, so
 * that lines of several threads do not mix; whatever a format produced, the line holds no control
 * byte when it leaves. It knows no configuration and keeps no file. The level is one of the two
 * writable globals of the product (see log.h).
 */
#include "sys/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "sys/clock.h"

#define LINE_MAX_BYTES 2048

static atomic_int min_level = WEIR_LOG_INFO;

static const char *const level_names[] = { "debug", "info", "warn", "error" };

int weir_log_level_parse(struct weir_slice name, enum weir_log_level *ret_level) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(level_names); i++) {
        if (weir_slice_eq(name, weir_slice_from_str(level_names[i]))) {
            *ret_level = (enum weir_log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

void weir_log_level_set(enum weir_log_level level) {
    atomic_store_explicit(&min_level, (int)level, memory_order_relaxed);
}

bool weir_log_on(enum weir_log_level level) {
    return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

/* Appends at *at, never beyond size - 2: a newline and a NUL have always room. */
static void add(char *line, size_t size, size_t *at, const char *fmt, va_list args)
    WEIR_PRINTF(4, 0);
static void add(char *line, size_t size, size_t *at, const char *fmt, va_list args) {
    size_t room = size - 1 - *at;
    int n = vsnprintf(line + *at, room, fmt, args);
    if (n > 0)
        *at += (size_t)n < room ? (size_t)n : room - 1;
}

static void addf(char *line, size_t size, size_t *at, const char *fmt, ...) WEIR_PRINTF(4, 5);
static void addf(char *line, size_t size, size_t *at, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    add(line, size, at, fmt, args);
    va_end(args);
}

static void add_start(char *line, size_t size, size_t *at, enum weir_log_level level) {
    uint64_t now = weir_clock_wall_us();
    time_t seconds = (time_t)(now / 1000000u);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm))
        return;
    *at += strftime(line + *at, size - *at, "%Y-%m-%dT%H:%M:%S", &tm);
    addf(line, size, at, ".%06uZ level=%s", (unsigned)(now % 1000000u), level_names[level]);
}

static void finish(char *line, size_t at) {
    for (size_t i = 0; i < at; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    while (at && line[at - 1] == ' ')
        at--;
    line[at++] = '\n';
    ssize_t r = write(STDERR_FILENO, line, at);
    (void)r; /* nobody is left to be told */
}

void weir_log(enum weir_log_level level, const char *event, const char *fmt, ...) {
    if (!weir_log_on(level))
        return;
    int saved = errno;
    char line[LINE_MAX_BYTES];
    size_t at = 0;
    add_start(line, sizeof(line), &at, level);
    addf(line, sizeof(line), &at, " event=%s ", event);
    va_list args;
    va_start(args, fmt);
    add(line, sizeof(line), &at, fmt, args);
    va_end(args);
    finish(line, at);
    errno = saved;
}

void weir_log_foreign(enum weir_log_level level, const char *source, const char *fmt,
                      va_list args) {
    if (!weir_log_on(level))
        return;
    int saved = errno;
    char text[1024], line[LINE_MAX_BYTES];
    int n = vsnprintf(text, sizeof(text), fmt, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, at = 0;
    while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    add_start(line, sizeof(line), &at, level);
    addf(line, sizeof(line), &at, " event=%s msg=%s", source,
         weir_log_quote(weir_slice_make(text, len)).s);
    finish(line, at);
    errno = saved;
}

struct weir_log_text weir_log_quote(struct weir_slice value) {
    static const char hex[] = "0123456789abcdef";
    struct weir_log_text out;
    /* The longest escape, the closing quote and the NUL must fit behind any byte; a cut is shown by
     * three dots. */
    size_t at = 0, end = sizeof(out.s) - 4 - 3 - 2;
    out.s[at++] = '"';
    size_t i = 0;
    for (; i < value.len && at < end; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c == '"' || c == '\\') {
            out.s[at++] = '\\';
            out.s[at++] = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            out.s[at++] = (char)c;
        } else {
            out.s[at++] = '\\';
            out.s[at++] = 'x';
            out.s[at++] = hex[c >> 4];
            out.s[at++] = hex[c & 15];
        }
    }
    if (i < value.len) {
        memcpy(out.s + at, "...", 3);
        at += 3;
    }
    out.s[at++] = '"';
    out.s[at] = '\0';
    return out;
}
