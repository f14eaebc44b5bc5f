/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes numbers, times, addresses and escaped text into the room a chunk queue reserves. It knows
 * no line format. Every function is bounded by its input and keeps no state but the pen: no locale,
 * no time zone, no cache.
 */
#include "obs/pen.h"

#include <string.h>

/* Room asked for at a time, and more than any number, time or address takes. */
#define WINDOW 256u

void weir_pen_begin(struct weir_pen *pen, struct weir_bufq *q) {
    *pen = (struct weir_pen){ .q = q, .len_before = q->len };
}

static void commit(struct weir_pen *pen) {
    if (pen->start)
        weir_bufq_commit(pen->q, (size_t)(pen->at - pen->start));
    pen->start = pen->at = pen->end = NULL;
}

int weir_pen_end(struct weir_pen *pen) {
    commit(pen);
    if (!pen->failed)
        return 0;
    weir_bufq_truncate(pen->q, pen->len_before);
    return -ENOMEM;
}

/* At least n <= WINDOW bytes at pen->at; false once the pen has failed. */
static inline bool room(struct weir_pen *pen, size_t n) {
    if ((size_t)(pen->end - pen->at) >= n)
        return true;
    commit(pen);
    if (pen->failed)
        return false;
    pen->start = pen->at = weir_bufq_reserve(pen->q, WINDOW);
    if (!pen->start) {
        pen->failed = true;
        return false;
    }
    pen->end = pen->start + WINDOW;
    return true;
}

void weir_pen_bytes(struct weir_pen *pen, struct weir_slice bytes) {
    while (bytes.len) {
        if (!room(pen, 1))
            return;
        size_t n = (size_t)(pen->end - pen->at);
        if (n > bytes.len)
            n = bytes.len;
        memcpy(pen->at, bytes.ptr, n);
        pen->at += n;
        bytes.ptr += n;
        bytes.len -= n;
    }
}

void weir_pen_str(struct weir_pen *pen, const char *s) {
    weir_pen_bytes(pen, weir_slice_from_str(s));
}

static void put(struct weir_pen *pen, char c) {
    if (room(pen, 1))
        *pen->at++ = c;
}

void weir_pen_u64(struct weir_pen *pen, uint64_t n) {
    char digits[20], *p = digits + sizeof(digits);
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    weir_pen_bytes(pen, weir_slice_make(p, (size_t)(digits + sizeof(digits) - p)));
}

void weir_pen_i64(struct weir_pen *pen, int64_t n) {
    if (n < 0)
        put(pen, '-');
    weir_pen_u64(pen, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

/* Exactly `width` digits. */
static void padded(char *p, unsigned width, uint64_t n) {
    while (width) {
        p[--width] = (char)('0' + n % 10);
        n /= 10;
    }
}

void weir_pen_seconds(struct weir_pen *pen, uint64_t us) {
    char fraction[7] = ".";
    size_t len = 7;
    weir_pen_u64(pen, us / 1000000u);
    padded(fraction + 1, 6, us % 1000000u);
    while (fraction[len - 1] == '0')
        len--;
    if (len > 1)
        weir_pen_bytes(pen, weir_slice_make(fraction, len));
}

/* Year, month (1..12) and day of a number of days since 1970-01-01. Years are counted from March,
 * so that the leap day comes last and the length of the months before it is linear; 400 years have
 * 146097 days. */
static void civil(uint64_t days, unsigned ret_ymd[3]) {
    days += 719468; /* from 0000-03-01 to 1970-01-01 */
    unsigned era = (unsigned)(days / 146097), day_of_era = (unsigned)(days % 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153;
    ret_ymd[2] = day_of_year - (153 * month + 2) / 5 + 1;
    ret_ymd[1] = month < 10 ? month + 3 : month - 9;
    ret_ymd[0] = era * 400 + year_of_era + (ret_ymd[1] <= 2);
}

void weir_pen_time(struct weir_pen *pen, uint64_t wall_us) {
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    uint64_t ms = wall_us / 1000u, seconds = ms / 1000u;
    unsigned ymd[3], of_day = (unsigned)(seconds % 86400u);
    if (!room(pen, sizeof(shape) - 1))
        return;
    char *p = pen->at;
    civil(seconds / 86400u, ymd);
    memcpy(p, shape, sizeof(shape) - 1);
    padded(p, 4, ymd[0]);
    padded(p + 5, 2, ymd[1]);
    padded(p + 8, 2, ymd[2]);
    padded(p + 11, 2, of_day / 3600);
    padded(p + 14, 2, of_day / 60 % 60);
    padded(p + 17, 2, of_day % 60);
    padded(p + 20, 3, ms % 1000u);
    pen->at += sizeof(shape) - 1;
}

static const char hex[] = "0123456789abcdef";

static void group(struct weir_pen *pen, unsigned n) {
    unsigned shift = 12;
    while (shift && !(n >> shift))
        shift -= 4;
    for (;; shift -= 4) {
        put(pen, hex[n >> shift & 15]);
        if (shift == 0)
            return;
    }
}

/* First and length of the longest run of zero groups; runs of one do not count (RFC 5952 4.2.2). */
static void longest_zeros(const unsigned groups[8], unsigned *ret_first, unsigned *ret_n) {
    *ret_first = 8;
    *ret_n = 1;
    for (unsigned i = 0; i < 8;) {
        unsigned n = 0;
        while (i + n < 8 && groups[i + n] == 0)
            n++;
        if (n > *ret_n) {
            *ret_first = i;
            *ret_n = n;
        }
        i += n ? n : 1;
    }
}

static void ip6(struct weir_pen *pen, const uint8_t b[16]) {
    unsigned groups[8], first, n;
    for (unsigned i = 0; i < 8; i++)
        groups[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
    longest_zeros(groups, &first, &n);
    for (unsigned i = 0; i < 8;) {
        if (i == first) {
            weir_pen_lit(pen, "::");
            i += n;
            continue;
        }
        if (i && i != first + n)
            put(pen, ':');
        group(pen, groups[i++]);
    }
}

void weir_pen_addr(struct weir_pen *pen, const struct weir_ip *ip, uint16_t port) {
    static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };
    if (memcmp(ip->b, v4_prefix, sizeof(v4_prefix)) == 0) {
        for (unsigned i = 12; i < 16; i++) {
            if (i > 12)
                put(pen, '.');
            weir_pen_u64(pen, ip->b[i]);
        }
    } else {
        put(pen, '[');
        ip6(pen, ip->b);
        put(pen, ']');
    }
    put(pen, ':');
    weir_pen_u64(pen, port);
}

static inline bool plain(unsigned char c) {
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void weir_pen_escaped(struct weir_pen *pen, struct weir_slice bytes, bool blank) {
    for (size_t i = 0; i < bytes.len;) {
        size_t from = i;
        unsigned char c = 0;
        while (i < bytes.len) {
            c = (unsigned char)bytes.ptr[i];
            if (!plain(c) && !(blank && c == ' '))
                break;
            i++;
        }
        weir_pen_bytes(pen, weir_slice_make(bytes.ptr + from, i - from));
        if (i == bytes.len)
            return;
        i++;
        if (!room(pen, 4))
            return;
        *pen->at++ = '\\';
        if (c == '"' || c == '\\') {
            *pen->at++ = (char)c;
            continue;
        }
        *pen->at++ = 'x';
        *pen->at++ = hex[c >> 4];
        *pen->at++ = hex[c & 15];
    }
}

/* One well-formed UTF-8 sequence of at least two bytes (RFC 3629 4): its code point and length;
 * length 0 = not one. */
static uint32_t utf8(const unsigned char *p, size_t left, size_t *ret_len) {
    static const struct {
        unsigned char first, last; /* lead byte */
        unsigned char low,
            high; /* second byte: rules out overlong forms, surrogates and > U+10FFFF */
        unsigned char len;
    } forms[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    *ret_len = 0;
    for (size_t f = 0; f < WEIR_ARRAY_LEN(forms); f++) {
        size_t len = forms[f].len;
        if (p[0] < forms[f].first || p[0] > forms[f].last)
            continue;
        if (left < len || p[1] < forms[f].low || p[1] > forms[f].high)
            return 0;
        uint32_t code = p[0] & (0xffu >> (len + 1));
        for (size_t i = 1; i < len; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (p[i] & 0x3f);
        }
        *ret_len = len;
        return code;
    }
    return 0;
}

static void json_unit(struct weir_pen *pen, uint32_t unit) {
    if (!room(pen, 6))
        return;
    memcpy(pen->at, "\\u", 2);
    for (unsigned i = 0; i < 4; i++)
        pen->at[2 + i] = hex[unit >> (12 - 4 * i) & 15];
    pen->at += 6;
}

/* What stands at p and is not plain; returns how many bytes it took. */
static size_t json_special(struct weir_pen *pen, const unsigned char *p, size_t left) {
    if (*p == ' ') {
        put(pen, ' ');
        return 1;
    }
    if (*p == '"' || *p == '\\') {
        put(pen, '\\');
        put(pen, (char)*p);
        return 1;
    }
    if (*p < 0x80) {
        json_unit(pen, *p);
        return 1;
    }
    size_t len;
    uint32_t code = utf8(p, left, &len);
    if (len == 0) {
        json_unit(pen, 0xfffd);
        return 1;
    }
    if (code >= 0x10000) {
        json_unit(pen, 0xd800 + ((code - 0x10000) >> 10));
        code = 0xdc00 + ((code - 0x10000) & 0x3ff);
    }
    json_unit(pen, code);
    return len;
}

void weir_pen_json(struct weir_pen *pen, struct weir_slice bytes) {
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    for (size_t i = 0; i < bytes.len;) {
        size_t from = i;
        while (i < bytes.len && plain(p[i]))
            i++;
        weir_pen_bytes(pen, weir_slice_make(bytes.ptr + from, i - from));
        if (i < bytes.len)
            i += json_special(pen, p + i, bytes.len - i);
    }
}
