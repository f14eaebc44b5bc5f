/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text -> address, prefix, address and port, duration, point in time, URL. Strict: what is not
 * exactly of the form is -EINVAL, with nothing written. Owns the grammar of these small values and
 * nothing else: it knows no document, no place and no message. inet_pton is not used because the
 * room stays free of socket symbols, and because a leading zero, a zone and a trailing blank must
 * be refused the same way on every libc.
 */
#include "conf/parse.h"

#include <stdio.h>
#include <string.h>

#include "base/radix.h"

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Four decimal parts without leading zeros, exactly filling s. */
static int parse_v4(struct weir_slice s, uint8_t ret_bytes[4]) {
    struct weir_slice rest = s, part;
    uint8_t bytes[4];
    int n = 0;

    while (weir_slice_split(&rest, '.', &part)) {
        uint64_t value;
        if (n == 4 || part.len == 0 || part.len > 3 || (part.len > 1 && part.ptr[0] == '0') ||
            weir_slice_to_u64(part, &value) != 0 || value > 255) {
            return -EINVAL;
        }
        bytes[n++] = (uint8_t)value;
    }
    if (n != 4) {
        return -EINVAL;
    }
    memcpy(ret_bytes, bytes, 4);
    return 0;
}

/* One group of one to four hexadecimal digits. */
static int parse_group(struct weir_slice s, uint8_t ret_bytes[2]) {
    unsigned value = 0;

    if (s.len == 0 || s.len > 4) {
        return -EINVAL;
    }
    for (size_t i = 0; i < s.len; i++) {
        int digit = weir_hex_digit(s.ptr[i]);
        if (digit < 0) {
            return -EINVAL;
        }
        value = value << 4 | (unsigned)digit;
    }
    ret_bytes[0] = (uint8_t)(value >> 8);
    ret_bytes[1] = (uint8_t)value;
    return 0;
}

/* Groups separated by ':' (the last may be dotted) into bytes; "" gives none. Sets how many bytes
 * were written. */
static int parse_groups(struct weir_slice s, uint8_t bytes[16], size_t *ret_n) {
    struct weir_slice rest = s, part;
    size_t n = 0;

    if (s.len == 0) {
        *ret_n = 0;
        return 0;
    }
    while (weir_slice_split(&rest, ':', &part)) {
        bool last = rest.ptr == NULL;
        if (last && weir_slice_index(part, '.') < part.len) {
            if (n + 4 > 16 || parse_v4(part, bytes + n) != 0) {
                return -EINVAL;
            }
            n += 4;
            continue;
        }
        if (n + 2 > 16 || parse_group(part, bytes + n) != 0) {
            return -EINVAL;
        }
        n += 2;
    }
    *ret_n = n;
    return 0;
}

static int parse_v6(struct weir_slice s, struct weir_ip *ret_ip) {
    struct weir_slice head = s, tail = WEIR_SLICE_NONE;
    uint8_t front[16], back[16];
    size_t n_front = 0, n_back = 0;
    struct weir_ip ip = { { 0 } };

    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.ptr[i] == ':' && s.ptr[i + 1] == ':') {
            head = weir_slice_make(s.ptr, i);
            tail = weir_slice_make(s.ptr + i + 2, s.len - i - 2);
            break;
        }
    }
    if (parse_groups(head, front, &n_front) != 0 || parse_groups(tail, back, &n_back) != 0) {
        return -EINVAL;
    }
    /* A dotted part belongs at the very end: "1.2.3.4::" has it in the wrong place. */
    if (tail.ptr != NULL && weir_slice_index(head, '.') < head.len) {
        return -EINVAL;
    }
    if (tail.ptr == NULL ? n_front != 16 : n_front + n_back > 14) {
        return -EINVAL;
    }
    memcpy(ip.b, front, n_front);
    memcpy(ip.b + 16 - n_back, back, n_back);
    *ret_ip = ip;
    return 0;
}

int weir_ip_parse(struct weir_slice s, struct weir_ip *ret_ip) {
    uint8_t v4[4];

    if (weir_slice_index(s, ':') < s.len) {
        return parse_v6(s, ret_ip);
    }
    if (parse_v4(s, v4) != 0) {
        return -EINVAL;
    }
    *ret_ip = (struct weir_ip){ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff } };
    memcpy(ret_ip->b + 12, v4, 4);
    return 0;
}

int weir_parse_ip(const char *text, struct weir_ip *ret_ip) {
    return weir_ip_parse(weir_slice_from_str(text), ret_ip);
}

bool weir_ip_is_v4(const struct weir_ip *ip) {
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

    return memcmp(ip->b, mapped, sizeof(mapped)) == 0;
}

/* The longest run of at least two zero groups (RFC 5952 4.2); the first one of equals. */
static void longest_zero_run(const struct weir_ip *ip, int *ret_start, int *ret_len) {
    int start = -1, len = 0;

    for (int i = 0; i < 8; i++) {
        int j = i;
        while (j < 8 && ip->b[2 * j] == 0 && ip->b[2 * j + 1] == 0) {
            j++;
        }
        if (j - i >= 2 && j - i > len) {
            start = i;
            len = j - i;
        }
        if (j > i) {
            i = j;
        }
    }
    *ret_start = start;
    *ret_len = len;
}

/* Once per proxied request: without printf, which would cost more than routing it. */
static void format_v4(const uint8_t b[4], char *text) {
    char *p = text;

    for (int i = 0; i < 4; i++) {
        unsigned v = b[i];
        if (i > 0) {
            *p++ = '.';
        }
        if (v >= 100) {
            *p++ = (char)('0' + v / 100);
        }
        if (v >= 10) {
            *p++ = (char)('0' + v / 10 % 10);
        }
        *p++ = (char)('0' + v % 10);
    }
    *p = '\0';
}

const char *weir_ip_format(const struct weir_ip *ip, char *buf, size_t size) {
    char text[46];
    size_t n = 0;
    int start, len;

    if (weir_ip_is_v4(ip)) {
        format_v4(ip->b + 12, buf);
        return buf;
    }
    longest_zero_run(ip, &start, &len);
    for (int i = 0; i < 8; i++) {
        if (i == start) {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "::");
            i += len - 1;
            continue;
        }
        const char *colon = i == 0 || i == start + len ? "" : ":";
        unsigned group = (unsigned)(ip->b[2 * i] << 8 | ip->b[2 * i + 1]);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%x", colon, group);
    }
    snprintf(buf, size, "%s", text);
    return buf;
}

int weir_parse_cidr(const char *text, struct weir_cidr *ret_cidr) {
    struct weir_slice rest = weir_slice_from_str(text), address, prefix;
    struct weir_cidr cidr;
    uint64_t bits;

    if (!weir_slice_split(&rest, '/', &address) || rest.ptr == NULL) {
        return -EINVAL;
    }
    prefix = rest;
    if (prefix.len > 1 && prefix.ptr[0] == '0') {
        return -EINVAL;
    }
    if (weir_ip_parse(address, &cidr.ip) != 0 || weir_slice_to_u64(prefix, &bits) != 0) {
        return -EINVAL;
    }
    bool v4 = weir_slice_index(address, ':') == address.len;
    if (bits > (v4 ? 32U : 128U)) {
        return -EINVAL;
    }
    cidr.prefix = (uint8_t)(v4 ? bits + 96 : bits);
    *ret_cidr = cidr;
    return 0;
}

void weir_cidr_mask(struct weir_cidr *cidr) {
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = cidr->prefix <= 8 * i ? 0 : cidr->prefix - 8 * i;
        if (kept < 8) {
            cidr->ip.b[i] &= (uint8_t)(0xff00 >> kept);
        }
    }
}

static int parse_port(struct weir_slice s, uint16_t *ret_port) {
    uint64_t port;

    if (s.len > 5 || weir_slice_to_u64(s, &port) != 0 || port > 65535) {
        return -EINVAL;
    }
    *ret_port = (uint16_t)port;
    return 0;
}

/* "h:p", "[v6]:p", "h", "[v6]", ":p": host without brackets, port as text; *ret_port ptr NULL = no
 * port was written. */
static int split_hostport(struct weir_slice s, struct weir_slice *ret_host,
                          struct weir_slice *ret_port) {
    struct weir_slice host, port = WEIR_SLICE_NONE;

    if (s.len > 0 && s.ptr[0] == '[') {
        size_t end = weir_slice_index(s, ']');
        if (end == s.len) {
            return -EINVAL;
        }
        host = weir_slice_make(s.ptr + 1, end - 1);
        if (end + 1 < s.len) {
            if (s.ptr[end + 1] != ':') {
                return -EINVAL;
            }
            port = weir_slice_make(s.ptr + end + 2, s.len - end - 2);
        }
        /* Brackets are for addresses with colons only. */
        if (weir_slice_index(host, ':') == host.len) {
            return -EINVAL;
        }
    } else {
        size_t colon = weir_slice_index(s, ':');
        host = weir_slice_make(s.ptr, colon);
        if (colon < s.len) {
            port = weir_slice_make(s.ptr + colon + 1, s.len - colon - 1);
        }
    }
    *ret_host = host;
    *ret_port = port;
    return 0;
}

int weir_parse_hostport(const char *text, struct weir_ip *ret_ip, uint16_t *ret_port) {
    struct weir_slice host, port_text;
    struct weir_ip ip = { { 0 } };
    uint16_t port;

    if (split_hostport(weir_slice_from_str(text), &host, &port_text) != 0 ||
        port_text.ptr == NULL || parse_port(port_text, &port) != 0) {
        return -EINVAL;
    }
    if (host.len > 0 && weir_ip_parse(host, &ip) != 0) {
        return -EINVAL;
    }
    *ret_ip = ip;
    *ret_port = port;
    return 0;
}

/* Letters, digits, '-', '_' and '.' in labels of 1..63 bytes; a trailing dot is allowed. */
static bool is_host_name(struct weir_slice s) {
    struct weir_slice rest = s, label;

    if (s.len == 0 || s.len > 254) {
        return false;
    }
    if (s.len > 1 && s.ptr[s.len - 1] == '.') {
        rest.len--;
    }
    while (weir_slice_split(&rest, '.', &label)) {
        if (label.len == 0 || label.len > 63) {
            return false;
        }
        for (size_t i = 0; i < label.len; i++) {
            char c = label.ptr[i];
            if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '-' &&
                c != '_') {
                return false;
            }
        }
    }
    return true;
}

static bool is_dotted_number(struct weir_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i]) && s.ptr[i] != '.') {
            return false;
        }
    }
    return true;
}

/* An address, or a name that does not look like a broken IPv4 address. */
static bool is_host(struct weir_slice s) {
    struct weir_ip ip;

    return weir_ip_parse(s, &ip) == 0 || (is_host_name(s) && !is_dotted_number(s));
}

static struct weir_slice skip_scheme(struct weir_slice s, enum weir_scheme *ret_scheme,
                                     bool *ret_given) {
    static const struct {
        struct weir_slice text;
        enum weir_scheme scheme;
    } schemes[] = {
        { { "http://", 7 }, WEIR_TO_HTTP },
        { { "h2c://", 6 }, WEIR_TO_H2C },
        { { "https://", 8 }, WEIR_TO_HTTPS },
    };

    *ret_given = false;
    *ret_scheme = WEIR_TO_HTTP;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(schemes); i++) {
        size_t n = schemes[i].text.len;
        if (s.len >= n && weir_slice_ieq(weir_slice_make(s.ptr, n), schemes[i].text)) {
            *ret_scheme = schemes[i].scheme;
            *ret_given = true;
            return weir_slice_make(s.ptr + n, s.len - n);
        }
    }
    return s;
}

int weir_parse_to(struct weir_arena *arena, const char *text, struct weir_to *ret_to) {
    enum weir_scheme scheme;
    bool given;
    struct weir_slice rest = skip_scheme(weir_slice_from_str(text), &scheme, &given);
    struct weir_slice host, port_text;
    uint16_t port = scheme == WEIR_TO_HTTPS ? 443 : 80;

    if (given && rest.len > 0 && rest.ptr[rest.len - 1] == '/') {
        rest.len--;
    }
    if (split_hostport(rest, &host, &port_text) != 0 || !is_host(host)) {
        return -EINVAL;
    }
    if (port_text.ptr != NULL && (parse_port(port_text, &port) != 0 || port == 0)) {
        return -EINVAL;
    }
    struct weir_slice copy = weir_arena_dup(arena, host);
    if (copy.ptr == NULL) {
        return -ENOMEM;
    }
    *ret_to = (struct weir_to){ .scheme = scheme, .host = copy.ptr, .port = port };
    return 0;
}

/* Gateway API GEP-2257: ^([0-9]{1,5}(h|m|s|ms)){1,4}$ */
int weir_parse_duration(const char *text, uint64_t *ret_us) {
    const char *p = text;
    uint64_t total = 0;

    for (int parts = 0; parts == 0 || *p != '\0'; parts++) {
        uint64_t value = 0, unit;
        int digits = 0;
        for (; is_digit(*p); p++, digits++) {
            value = value * 10 + (uint64_t)(*p - '0');
            if (digits == 5) {
                return -EINVAL;
            }
        }
        if (digits == 0 || parts == 4) {
            return -EINVAL;
        }
        if (p[0] == 'm' && p[1] == 's') {
            unit = 1000;
            p += 2;
        } else if (p[0] == 'h' || p[0] == 'm' || p[0] == 's') {
            unit = p[0] == 'h' ? 3600000000ULL : p[0] == 'm' ? 60000000ULL : 1000000ULL;
            p++;
        } else {
            return -EINVAL;
        }
        total += value * unit;
    }
    *ret_us = total;
    return 0;
}

/* n digits at *p, which moves behind them. */
static int take_number(const char **p, int n, int *ret_value) {
    int value = 0;

    for (int i = 0; i < n; i++) {
        if (!is_digit((*p)[i])) {
            return -EINVAL;
        }
        value = value * 10 + ((*p)[i] - '0');
    }
    *p += n;
    *ret_value = value;
    return 0;
}

static int take_char(const char **p, const char *allowed) {
    if (**p == '\0' || strchr(allowed, **p) == NULL) {
        return -EINVAL;
    }
    (*p)++;
    return 0;
}

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar (March-based years). */
static int64_t days_from_date(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, yoe = y % 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int parse_zone(const char *p, int64_t *ret_offset) {
    int hours, minutes, sign = *p == '-' ? -1 : 1;

    if ((*p == 'Z' || *p == 'z') && p[1] == '\0') {
        *ret_offset = 0;
        return 0;
    }
    if (take_char(&p, "+-") || take_number(&p, 2, &hours) || take_char(&p, ":") ||
        take_number(&p, 2, &minutes) || *p != '\0' || hours > 23 || minutes > 59) {
        return -EINVAL;
    }
    *ret_offset = (int64_t)sign * (hours * 3600 + minutes * 60);
    return 0;
}

int weir_parse_time(const char *text, uint64_t *ret_seconds) {
    static const int month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const char *p = text;
    int year, month, day, hour, minute, second;
    int64_t offset, seconds;

    if (take_number(&p, 4, &year) || take_char(&p, "-") || take_number(&p, 2, &month) ||
        take_char(&p, "-") || take_number(&p, 2, &day) || take_char(&p, "Tt") ||
        take_number(&p, 2, &hour) || take_char(&p, ":") || take_number(&p, 2, &minute) ||
        take_char(&p, ":") || take_number(&p, 2, &second)) {
        return -EINVAL;
    }
    if (month < 1 || month > 12 || day < 1 || day > month_days[month - 1] || hour > 23 ||
        minute > 59 || second > 60) {
        return -EINVAL;
    }
    if (*p == '.') {
        p++;
        if (!is_digit(*p)) {
            return -EINVAL;
        }
        while (is_digit(*p)) {
            p++;
        }
    }
    if (parse_zone(p, &offset) != 0) {
        return -EINVAL;
    }
    seconds =
        days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    if (seconds < 0) {
        return -EINVAL;
    }
    *ret_seconds = (uint64_t)seconds;
    return 0;
}
