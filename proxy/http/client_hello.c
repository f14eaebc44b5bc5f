/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ClientHello read without ending its TLS: strict about every length, blind to what does not decide where a connection goes. Its
 * records are followed, since a client may cut it anywhere (RFC 8446 5.1), even within the length.
 */
#include "http/client_hello.h"

#include <errno.h>

#define RECORD_MAX (1u << 14)

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

/* The handshake message in the records so far. */
struct message {
    const char *first;  /* of one record: where it lies there */
    char *join;         /* of several: its bytes one behind the other */
    size_t have, total; /* total 0 = its length is not known yet */
};

/* Knows the type and length as soon as they are there. False = no ClientHello, or too long a one. */
static bool measure(struct message *m, bool joined) {
    const unsigned char *p = (const unsigned char *)(joined ? m->join : m->first);

    if (m->have > 0 && p[0] != 1)
        return false;
    if (m->have >= 4)
        m->total = 4 + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
    return m->total <= WEIR_CLIENT_HELLO_MAX;
}

/* Takes the next record, or what is there of it. 0 = taken, -EAGAIN, -EINVAL. */
static int take_record(struct cursor *in, struct message *m) {
    const unsigned char *p = in->p;
    size_t len, part;

    if ((in->left > 0 && p[0] != 0x16) || (in->left > 1 && p[1] != 3) || (in->left > 2 && p[2] > 4))
        return -EINVAL;
    if (in->left < 5)
        return -EAGAIN;
    len = (size_t)p[3] << 8 | p[4];
    if (len == 0 || len > RECORD_MAX)
        return -EINVAL;
    in->p += 5;
    in->left -= 5;
    part = len < in->left ? len : in->left;
    if (!m->first) {
        m->first = (const char *)in->p;
    } else {
        if (m->have + part > WEIR_CLIENT_HELLO_MAX)
            return -EINVAL;
        memcpy(m->join + m->have, in->p, part);
    }
    m->have += part;
    in->p += part;
    in->left -= part;
    return part < len ? -EAGAIN : 0;
}

/* The whole message in *ret; nothing may stand behind it in its last record. */
static int collect(struct weir_slice bytes, char *join, struct cursor *ret) {
    struct cursor in = { (const unsigned char *)bytes.ptr, bytes.len, true };
    struct message m = { .join = join };
    bool joined = false;
    int r;

    do {
        if (m.first && !joined) { /* a second record: the first one's bytes go before its */
            memcpy(join, m.first, m.have);
            joined = true;
        }
        r = take_record(&in, &m);
        if (r == -EINVAL || !measure(&m, joined) || (m.total && m.have > m.total))
            return -EINVAL;
    } while (r == 0 && (m.total == 0 || m.have < m.total));
    if (r == 0)
        *ret = (struct cursor){ (const unsigned char *)(joined ? join : m.first), m.have, true };
    return r;
}

int weir_client_hello_parse(struct weir_slice bytes, char *join,
                            struct weir_client_hello *ret_hello) {
    struct weir_client_hello hello = { 0 };
    struct cursor message, body;
    int r = collect(bytes, join, &message);

    if (r < 0)
        return r;
    take(&message, 1);
    body = take_vec(&message, 3);
    take(&body, 2 + 32);
    take_vec(&body, 1); /* session id */
    take_vec(&body, 2); /* cipher suites */
    take_vec(&body, 1); /* compression methods */
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
