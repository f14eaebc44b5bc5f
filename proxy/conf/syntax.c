/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The alphabets of names. One predicate per kind of name, each true only for a text that an API
 * server would take as well. Refuses to know where a name is used and what to say when it is wrong.
 */
#include "conf/syntax.h"

#include <string.h>

#include "conf/parse.h"

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

static bool is_alnum(char c) {
    return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool label_ok(const char *s, size_t n) {
    if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s[i]) && !is_lower(s[i]) && s[i] != '-') {
            return false;
        }
    }
    return true;
}

bool weir_is_dns_label(const char *s) {
    return label_ok(s, strlen(s));
}

static bool subdomain_ok(const char *s, size_t n) {
    struct weir_slice rest = { s, n }, label;

    if (n == 0 || n > 253) {
        return false;
    }
    while (weir_slice_split(&rest, '.', &label)) {
        if (!label_ok(label.ptr, label.len)) {
            return false;
        }
    }
    return true;
}

bool weir_is_dns_subdomain(const char *s) {
    return subdomain_ok(s, strlen(s));
}

/* The part of a label key behind the slash, and a label value that is not empty. */
static bool qualified_ok(const char *s) {
    size_t n = strlen(s);

    if (n == 0 || n > 63 || !is_alnum(s[0]) || !is_alnum(s[n - 1])) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.') {
            return false;
        }
    }
    return true;
}

bool weir_is_label_key(const char *s) {
    const char *slash = strchr(s, '/');

    if (slash == NULL) {
        return qualified_ok(s);
    }
    return subdomain_ok(s, (size_t)(slash - s)) && qualified_ok(slash + 1);
}

bool weir_is_label_value(const char *s) {
    return s[0] == '\0' || qualified_ok(s);
}

bool weir_is_port_name(const char *s) {
    bool letter = false;

    for (const char *p = s; *p != '\0'; p++) {
        letter = letter || is_lower(*p);
    }
    return letter && weir_is_dns_label(s);
}

bool weir_is_token(const char *s) {
    size_t n = strlen(s);

    if (n == 0 || n > 256) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_alnum(s[i]) && strchr("!#$%&'*+-.^_`|~", s[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool weir_is_field_value(const char *s) {
    size_t n = strlen(s);

    if (n > 0 && (s[0] == ' ' || s[0] == '\t' || s[n - 1] == ' ' || s[n - 1] == '\t')) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

bool weir_is_hostname(const char *s, bool wildcard) {
    struct weir_ip ip;

    if (weir_parse_ip(s, &ip) == 0) {
        return false;
    }
    if (wildcard && s[0] == '*' && s[1] == '.') {
        s += 2;
    }
    return weir_is_dns_subdomain(s);
}

bool weir_is_clean_path(const char *s) {
    struct weir_slice rest = weir_slice_from_str(s), segment;

    if (s[0] != '/' || s[1] == '\0') {
        return false;
    }
    rest.ptr++;
    rest.len--;
    while (weir_slice_split(&rest, '/', &segment)) {
        /* One slash at the end is harmless. */
        if (segment.len == 0 && rest.ptr == NULL) {
            return true;
        }
        if (segment.len == 0 || weir_slice_eq(segment, WEIR_SLICE(".")) ||
            weir_slice_eq(segment, WEIR_SLICE(".."))) {
            return false;
        }
    }
    return true;
}
