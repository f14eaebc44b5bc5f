/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typing of scalars by the YAML 1.2 core schema: null, true/false, integers (decimal, 0o, 0x),
 * floats; everything else is a string, so `yes`, `on` and dates are. Where YAML 1.1 readers
 * (kubectl) and 1.2 readers would silently disagree about a number it is marked ambiguous, for the
 * decoder to refuse if it needs it. Knows no document.
 */
#include "conf/scalar.h"

#include <string.h>

static bool one_of(const char *text, const char *const *words) {
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_null(const char *text) {
    static const char *const words[] = { "", "~", "null", "Null", "NULL", NULL };
    return one_of(text, words);
}

static bool is_true(const char *text) {
    static const char *const words[] = { "true", "True", "TRUE", NULL };
    return one_of(text, words);
}

static bool is_false(const char *text) {
    static const char *const words[] = { "false", "False", "FALSE", NULL };
    return one_of(text, words);
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return 99;
}

/* Length of the digits of that base at p. */
static size_t span(const char *p, int base) {
    size_t n = 0;

    while (digit_value(p[n]) < base) {
        n++;
    }
    return n;
}

static bool is_special_float(const char *p) {
    static const char *const inf[] = { ".inf", ".Inf", ".INF", NULL };
    static const char *const nan[] = { ".nan", ".NaN", ".NAN", NULL };
    const char *unsigned_part = *p == '-' || *p == '+' ? p + 1 : p;

    return one_of(unsigned_part, inf) || one_of(p, nan);
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *p) {
    if (*p == '-' || *p == '+') {
        p++;
    }
    size_t whole = span(p, 10), fraction = 0;
    p += whole;
    if (*p == '.') {
        fraction = span(p + 1, 10);
        p += 1 + fraction;
    }
    if (whole == 0 && fraction == 0) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+') {
            p++;
        }
        size_t exponent = span(p, 10);
        if (exponent == 0) {
            return false;
        }
        p += exponent;
    }
    return *p == '\0';
}

static void set_int(struct weir_node *n, const char *digits, int base, bool negative) {
    uint64_t value = 0;

    for (const char *p = digits; *p != '\0'; p++) {
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit_value(*p), &value) || value > INT64_MAX) {
            n->type = WEIR_NODE_FLOAT;
            return;
        }
    }
    n->type = WEIR_NODE_INT;
    n->number = negative ? -(int64_t)value : (int64_t)value;
}

static bool all_digits(const char *p, int base) {
    size_t n = span(p, base);

    return n > 0 && p[n] == '\0';
}

static void resolve_number(struct weir_node *n) {
    const char *text = n->text, *digits = text;
    bool negative = *text == '-';

    n->type = WEIR_NODE_STRING;
    if (*digits == '-' || *digits == '+') {
        digits++;
    }
    if (all_digits(digits, 10)) {
        n->ambiguous = digits[0] == '0' && digits[1] != '\0';
        set_int(n, digits, 10, negative);
        return;
    }
    if (digits == text && text[0] == '0' && text[1] == 'o' && all_digits(text + 2, 8)) {
        set_int(n, text + 2, 8, false);
        return;
    }
    if (digits == text && text[0] == '0' && text[1] == 'x' && all_digits(text + 2, 16)) {
        set_int(n, text + 2, 16, false);
        return;
    }
    if (is_float(text) || is_special_float(text)) {
        n->type = WEIR_NODE_FLOAT;
    }
}

static void resolve_plain(struct weir_node *n) {
    if (is_null(n->text)) {
        n->type = WEIR_NODE_NULL;
        return;
    }
    if (is_true(n->text) || is_false(n->text)) {
        n->type = WEIR_NODE_BOOL;
        n->truth = is_true(n->text);
        return;
    }
    resolve_number(n);
}

bool weir_scalar_resolve(struct weir_node *n, bool plain, const char *tag) {
    static const struct {
        const char *tag;
        enum weir_node_type type;
    } tags[] = {
        { "tag:yaml.org,2002:null", WEIR_NODE_NULL },
        { "tag:yaml.org,2002:bool", WEIR_NODE_BOOL },
        { "tag:yaml.org,2002:int", WEIR_NODE_INT },
        { "tag:yaml.org,2002:float", WEIR_NODE_FLOAT },
    };

    if (tag == NULL && plain) {
        resolve_plain(n);
        return true;
    }
    n->type = WEIR_NODE_STRING;
    if (tag == NULL || strcmp(tag, "!") == 0 || strcmp(tag, "tag:yaml.org,2002:str") == 0) {
        return true;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(tags); i++) {
        if (strcmp(tag, tags[i].tag) == 0) {
            resolve_plain(n);
            return n->type == tags[i].type;
        }
    }
    return false;
}
