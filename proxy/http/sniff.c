/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises what a connection carries by its first bytes. Only says what they are: what to do with
 * an opaque or undecided connection, and how long to wait, is the caller's to know. Nothing is
 * consumed; call again with all bytes so far.
 */
#include "http/sniff.h"

#include <errno.h>

#include "http/uri.h"

#define DECIDE_WITHIN 24u

/* RFC 8446 5.1: type handshake, legacy version 3.x, then (after the length) a client_hello. */
static enum weir_sniff sniff_tls(struct weir_slice s) {
    const unsigned char *p = (const unsigned char *)s.ptr;
    if (s.len > 1 && p[1] != 3)
        return WEIR_SNIFF_OPAQUE;
    if (s.len > 2 && p[2] > 4)
        return WEIR_SNIFF_OPAQUE;
    if (s.len > 4 && (p[3] << 8 | p[4]) < 4)
        return WEIR_SNIFF_OPAQUE;
    if (s.len > 5)
        return p[5] == 1 ? WEIR_SNIFF_TLS : WEIR_SNIFF_OPAQUE;
    return WEIR_SNIFF_MORE;
}

/* Is s, as far as it goes, this text (letters in any case)? */
static bool agrees(struct weir_slice s, struct weir_slice text) {
    if (s.len > text.len)
        s.len = text.len;
    return weir_slice_ieq(s, weir_slice_make(text.ptr, s.len));
}

/* What follows the method: all forms of RFC 9112 3.2. */
static enum weir_sniff sniff_target(struct weir_slice method, struct weir_slice rest) {
    static const struct weir_slice schemes[] = { { "http://", 7 }, { "https://", 8 } };
    if (rest.len == 0)
        return WEIR_SNIFF_MORE;
    if (rest.ptr[0] == '/')
        return WEIR_SNIFF_H1;
    if (rest.ptr[0] == '*') {
        if (rest.len == 1)
            return WEIR_SNIFF_MORE;
        return rest.ptr[1] == ' ' ? WEIR_SNIFF_H1 : WEIR_SNIFF_OPAQUE;
    }
    if (weir_slice_eq(method, WEIR_SLICE("CONNECT")))
        return weir_char_class[(unsigned char)rest.ptr[0]] & WEIR_CHAR_HOST || rest.ptr[0] == '['
                   ? WEIR_SNIFF_H1
                   : WEIR_SNIFF_OPAQUE;
    for (size_t i = 0; i < 2; i++)
        if (agrees(rest, schemes[i]))
            return rest.len >= schemes[i].len ? WEIR_SNIFF_H1 : WEIR_SNIFF_MORE;
    return WEIR_SNIFF_OPAQUE;
}

static enum weir_sniff sniff_h1(struct weir_slice s) {
    static const char blank[] = "\r\n\r\n";
    /* RFC 9112 2.2: up to two empty lines may come first. */
    size_t start = 0;
    while (start < s.len && start < 4 && s.ptr[start] == blank[start])
        start++;
    if (start == s.len)
        return WEIR_SNIFF_MORE;
    if (start % 2)
        return WEIR_SNIFF_OPAQUE;
    size_t i = start;
    while (i < s.len && weir_char_class[(unsigned char)s.ptr[i]] & WEIR_CHAR_TOKEN)
        i++;
    if (i == s.len)
        return WEIR_SNIFF_MORE;
    if (i == start || s.ptr[i] != ' ')
        return WEIR_SNIFF_OPAQUE;
    return sniff_target(weir_slice_make(s.ptr + start, i - start),
                        weir_slice_make(s.ptr + i + 1, s.len - i - 1));
}

enum weir_sniff weir_sniff(struct weir_slice bytes) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    if (bytes.len == 0)
        return WEIR_SNIFF_MORE;
    if (bytes.len > DECIDE_WITHIN)
        bytes.len = DECIDE_WITHIN;
    if (bytes.ptr[0] == 0x16)
        return sniff_tls(bytes);
    if (memcmp(bytes.ptr, preface, bytes.len) == 0)
        return bytes.len == DECIDE_WITHIN ? WEIR_SNIFF_H2 : WEIR_SNIFF_MORE;
    enum weir_sniff found = sniff_h1(bytes);
    return found == WEIR_SNIFF_MORE && bytes.len == DECIDE_WITHIN ? WEIR_SNIFF_OPAQUE : found;
}

/* A cursor over TLS presentation language: each take fails for good once bytes are short. */
struct cursor {
    const unsigned char *p;
    size_t left;
    bool ok;
};

static struct cursor take(struct cursor *c, size_t n) {
    if (!c->ok || n > c->left) {
        c->ok = false;
        return (struct cursor){ 0 };
    }
    struct cursor part = { c->p, n, true };
    c->p += n;
    c->left -= n;
    return part;
}

static size_t take_uint(struct cursor *c, size_t n) {
    struct cursor part = take(c, n);
    size_t value = 0;
    for (size_t i = 0; i < part.left; i++)
        value = value << 8 | part.p[i];
    return value;
}

/* A vector with a length prefix of n bytes. */
static struct cursor take_vec(struct cursor *c, size_t n) {
    return take(c, take_uint(c, n));
}

static struct weir_slice cursor_slice(const struct cursor *c) {
    return weir_slice_make((const char *)c->p, c->left);
}

/* RFC 6066 3: one host_name. */
static bool sni_read(struct cursor ext, struct weir_slice *ret_name) {
    struct cursor list = take_vec(&ext, 2);
    size_t type = take_uint(&list, 1);
    struct cursor name = take_vec(&list, 2);
    if (!name.ok || type != 0 || list.left != 0 || ext.left != 0 || name.left == 0 ||
        memchr(name.p, 0, name.left))
        return false;
    *ret_name = cursor_slice(&name);
    return true;
}

/* RFC 7301 3.1: every name has at least one byte. */
static bool alpn_read(struct cursor ext, struct weir_slice *ret_list) {
    struct cursor list = take_vec(&ext, 2);
    if (!list.ok || list.left == 0 || ext.left != 0)
        return false;
    *ret_list = cursor_slice(&list);
    while (list.ok && list.left > 0)
        if (take_vec(&list, 1).left == 0)
            return false;
    return list.ok;
}

static bool extensions_read(struct cursor all, struct weir_client_hello *hello) {
    bool sni = false, alpn = false;
    while (all.left > 0) {
        size_t type = take_uint(&all, 2);
        struct cursor ext = take_vec(&all, 2);
        if (!ext.ok)
            return false;
        if (type == 0 && (sni || !(sni = sni_read(ext, &hello->sni))))
            return false;
        if (type == 16 && (alpn || !(alpn = alpn_read(ext, &hello->alpn))))
            return false;
    }
    return true;
}

int weir_client_hello_parse(struct weir_slice bytes, struct weir_client_hello *ret_hello) {
    struct cursor in = { (const unsigned char *)bytes.ptr, bytes.len, true };
    enum weir_sniff first = weir_sniff(bytes);
    if (first == WEIR_SNIFF_MORE && (bytes.len == 0 || in.p[0] == 0x16))
        return -EAGAIN;
    if (first != WEIR_SNIFF_TLS)
        return -EINVAL;
    take(&in, 3);
    size_t record_len = take_uint(&in, 2);
    if (record_len > in.left) {
        /* What is claimed inside must fit, or waiting for more would be in vain. */
        size_t hello_len = in.left >= 4 ? (size_t)(in.p[1] << 16 | in.p[2] << 8 | in.p[3]) : 0;
        return record_len > (1 << 14) + 256 || hello_len + 4 > record_len ? -EINVAL : -EAGAIN;
    }
    struct cursor record = take(&in, record_len);
    take(&record, 1);
    struct cursor body = take_vec(&record, 3);
    take(&body, 2 + 32);
    take_vec(&body, 1); /* session id */
    take_vec(&body, 2); /* cipher suites */
    take_vec(&body, 1); /* compression methods */
    struct weir_client_hello hello = { 0 };
    if (!body.ok)
        return -EINVAL;
    if (body.left > 0) {
        struct cursor extensions = take_vec(&body, 2);
        if (!extensions.ok || body.left != 0 || !extensions_read(extensions, &hello))
            return -EINVAL;
    }
    *ret_hello = hello;
    return 0;
}

bool weir_client_hello_offers(const struct weir_client_hello *hello, struct weir_slice name) {
    struct weir_slice list = hello->alpn;
    while (list.len > 0) {
        size_t n = (unsigned char)list.ptr[0];
        if (n + 1 > list.len)
            return false;
        if (weir_slice_eq(weir_slice_make(list.ptr + 1, n), name))
            return true;
        list = weir_slice_make(list.ptr + 1 + n, list.len - 1 - n);
    }
    return false;
}
