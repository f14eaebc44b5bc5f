/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles a pattern with PCRE2 and throws the result away. The pattern is compiled as it will be
 * matched: as bytes, anchored at both ends. What is too long or too deeply nested is refused as
 * well, since a pattern from a configuration may not make matching or compiling expensive beyond
 * measure.
 */
#include "conf/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define MAX_PATTERN 4096
#define MAX_NESTING 50

static void *regex_malloc(size_t n, void *arg) {
    return weir_malloc(n);
}

static void regex_free(void *p, void *arg) {
    weir_free(p);
}

static int check(pcre2_compile_context *context, const char *pattern, char *message, size_t size,
                 size_t *ret_offset) {
    PCRE2_SIZE offset = 0;
    int error = 0;

    pcre2_set_parens_nest_limit(context, MAX_NESTING);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY,
                                     &error, &offset, context);
    if (code != NULL) {
        pcre2_code_free(code);
        return 0;
    }
    if (error == PCRE2_ERROR_HEAP_FAILED) {
        return -ENOMEM;
    }
    pcre2_get_error_message(error, (PCRE2_UCHAR *)message, size);
    *ret_offset = offset;
    return WEIR_REGEX_BAD;
}

int weir_regex_check(const char *pattern, char *message, size_t size, size_t *ret_offset) {
    int r = -ENOMEM;

    if (strlen(pattern) > MAX_PATTERN) {
        snprintf(message, size, "longer than %d bytes", MAX_PATTERN);
        *ret_offset = MAX_PATTERN;
        return WEIR_REGEX_BAD;
    }
    pcre2_general_context *general = pcre2_general_context_create(regex_malloc, regex_free, NULL);
    if (general == NULL) {
        return -ENOMEM;
    }
    pcre2_compile_context *context = pcre2_compile_context_create(general);
    if (context != NULL) {
        r = check(context, pattern, message, size, ret_offset);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    return r;
}
