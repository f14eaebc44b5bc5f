/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes PROXY headers. Nothing is repaired: who may send one is a proxy that can write it, and what lies behind a doubtful one would be
 * taken for somebody else's request.
 */
#include "http/proxyproto.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define V1_MAX    107u /* its longest line, with CR LF */
#define V2_FIXED  16u
#define TEXT_MAX  46u
#define TLV_FIXED 3u

static const char signature[12] = { 13, 10, 13, 10, 0, 13, 10, 'Q', 'U', 'I', 'T', 10 };
static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* ---- version 1 ---- */

static bool read_address(struct weir_slice text, bool v6, uint8_t to[16]) {
    char z[TEXT_MAX];

    if (text.len == 0 || text.len >= sizeof(z))
        return false;
    memcpy(z, text.ptr, text.len);
    z[text.len] = '\0';
    if (strlen(z) != text.len)
        return false;
    if (v6)
        return inet_pton(AF_INET6, z, to) == 1;
    memcpy(to, mapped, sizeof(mapped));
    return inet_pton(AF_INET, z, to + 12) == 1;
}

static bool read_port(struct weir_slice text, uint16_t *to) {
    uint32_t n = 0;

    if (text.len == 0 || text.len > 5 || (text.ptr[0] == '0' && text.len > 1))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *to = (uint16_t)n;
    return n <= UINT16_MAX;
}

/* The line without CR LF. */
static bool read_line(struct weir_slice line, struct weir_proxy_header *h) {
    struct weir_slice part[6];
    size_t n = 0;

    if (weir_slice_eq(line, WEIR_SLICE("PROXY UNKNOWN")) ||
        weir_slice_starts_with(line, WEIR_SLICE("PROXY UNKNOWN "))) {
        h->known = false;
        return true;
    }
    while (n < 6 && weir_slice_split(&line, ' ', &part[n]))
        n++;
    if (n != 6 || line.ptr != NULL)
        return false;
    bool v6 = weir_slice_eq(part[1], WEIR_SLICE("TCP6"));

    h->known = true;
    return (v6 || weir_slice_eq(part[1], WEIR_SLICE("TCP4"))) &&
           read_address(part[2], v6, h->src) && read_address(part[3], v6, h->dst) &&
           read_port(part[4], &h->src_port) && read_port(part[5], &h->dst_port);
}

static int parse_v1(struct weir_slice bytes, struct weir_proxy_header *h) {
    size_t max = bytes.len < V1_MAX ? bytes.len : V1_MAX;
    const char *cr = memchr(bytes.ptr, '\r', max);

    if (!cr)
        return bytes.len < V1_MAX ? -EAGAIN : -EPROTO;
    size_t n = (size_t)(cr - bytes.ptr);

    if (n + 1 == bytes.len)
        return n + 2 <= V1_MAX ? -EAGAIN : -EPROTO;
    if (n + 2 > V1_MAX || cr[1] != '\n' || !read_line(weir_slice_make(bytes.ptr, n), h))
        return -EPROTO;
    h->len = n + 2;
    return 0;
}

/* ---- version 2 ---- */

static uint16_t be16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* They say nothing we use, but what does not add up was not written by a proxy. */
static bool tlvs_ok(const uint8_t *p, size_t n) {
    while (n > 0) {
        if (n < TLV_FIXED || be16(p + 1) > n - TLV_FIXED)
            return false;
        size_t one = TLV_FIXED + be16(p + 1);

        p += one;
        n -= one;
    }
    return true;
}

static bool read_addresses(const uint8_t *p, size_t n, uint8_t family,
                           struct weir_proxy_header *h) {
    size_t size = family == 0x11 ? 4 : 16, all = 2 * size + 4;

    if (n < all || !tlvs_ok(p + all, n - all))
        return false;
    memcpy(h->src, mapped, sizeof(mapped));
    memcpy(h->dst, mapped, sizeof(mapped));
    memcpy(h->src + 16 - size, p, size);
    memcpy(h->dst + 16 - size, p + size, size);
    h->src_port = be16(p + 2 * size);
    h->dst_port = be16(p + 2 * size + 2);
    h->known = true;
    return true;
}

static int parse_v2(struct weir_slice bytes, struct weir_proxy_header *h) {
    const uint8_t *p = (const uint8_t *)bytes.ptr;

    if (bytes.len < V2_FIXED)
        return -EAGAIN;
    uint8_t command = p[12], family = p[13];
    size_t n = be16(p + 14);

    if ((command != 0x20 && command != 0x21) || V2_FIXED + n > WEIR_PROXY_HEADER_MAX)
        return -EPROTO;
    if (bytes.len < V2_FIXED + n)
        return -EAGAIN;
    h->len = V2_FIXED + n;
    h->known = false;
    if (command == 0x20) /* LOCAL: the hop before speaks for itself; the rest is to be ignored */
        return 0;
    switch (family) {
    case 0x11: /* TCP over IPv4 */
    case 0x21: /* and IPv6 */
        return read_addresses(p + V2_FIXED, n, family, h) ? 0 : -EPROTO;
    case 0x00: /* not told */
    case 0x31: /* a unix socket */
        return 0;
    default: /* datagrams, or nothing that exists */
        return -EPROTO;
    }
}

int weir_proxy_parse(struct weir_slice bytes, struct weir_proxy_header *ret_header) {
    struct weir_proxy_header h = { 0 };
    size_t n = bytes.len < sizeof(signature) ? bytes.len : sizeof(signature);
    size_t v1 = bytes.len < 6 ? bytes.len : 6;
    int r = -EPROTO;

    if (bytes.len == 0)
        return -EAGAIN;
    if (memcmp(bytes.ptr, "PROXY ", v1) == 0)
        r = v1 < 6 ? -EAGAIN : parse_v1(bytes, &h);
    else if (memcmp(bytes.ptr, signature, n) == 0)
        r = n < sizeof(signature) ? -EAGAIN : parse_v2(bytes, &h);
    if (r == 0)
        *ret_header = h;
    return r;
}

/* ---- writing ---- */

static bool is_v4(const uint8_t a[16]) {
    return memcmp(a, mapped, sizeof(mapped)) == 0;
}

static size_t write_v1(char *buf, const struct weir_proxy_header *h, bool v4) {
    char src[TEXT_MAX], dst[TEXT_MAX];

    if (!h->known)
        return (size_t)snprintf(buf, WEIR_PROXY_WRITE_MAX, "PROXY UNKNOWN\r\n");
    inet_ntop(v4 ? AF_INET : AF_INET6, h->src + (v4 ? 12 : 0), src, sizeof(src));
    inet_ntop(v4 ? AF_INET : AF_INET6, h->dst + (v4 ? 12 : 0), dst, sizeof(dst));
    return (size_t)snprintf(buf, WEIR_PROXY_WRITE_MAX, "PROXY %s %s %s %u %u\r\n",
                            v4 ? "TCP4" : "TCP6", src, dst, h->src_port, h->dst_port);
}

static char *put16(char *p, size_t v) {
    p[0] = (char)(v >> 8);
    p[1] = (char)v;
    return p + 2;
}

static size_t write_v2(char *buf, const struct weir_proxy_header *h, bool v4) {
    size_t size = v4 ? 4 : 16;
    char *p = buf;

    memcpy(p, signature, sizeof(signature));
    p += sizeof(signature);
    *p++ = h->known ? 0x21 : 0x20;
    *p++ = (char)(!h->known ? 0x00 : v4 ? 0x11 : 0x21);
    p = put16(p, h->known ? 2 * size + 4 : 0);
    if (h->known) {
        memcpy(p, h->src + 16 - size, size);
        memcpy(p + size, h->dst + 16 - size, size);
        p = put16(put16(p + 2 * size, h->src_port), h->dst_port);
    }
    return (size_t)(p - buf);
}

size_t weir_proxy_write(char *buf, unsigned version, const struct weir_proxy_header *header) {
    bool v4 = is_v4(header->src) && is_v4(header->dst);

    return version == 1 ? write_v1(buf, header, v4) : write_v2(buf, header, v4);
}
