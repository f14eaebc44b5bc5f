/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key and accept of the WebSocket handshake. The SHA-1 in it (FIPS 180-4) proves that a server has read the key, nothing else: no secret
 * depends on it, so it is here in its shortest form and not in the room that holds the cryptography.
 */
#include "http/websocket.h"

#include <string.h>

#include "base/radix.h"

#define BLOCK 64u

struct sha1 {
    uint32_t h[5];
    uint8_t block[BLOCK];
    uint64_t len;
};

static uint32_t rol(uint32_t v, unsigned n) {
    return v << n | v >> (32 - n);
}

static void rounds(struct sha1 *s) {
    uint32_t w[80], a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3], e = s->h[4];

    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)s->block[4 * i] << 24 | (uint32_t)s->block[4 * i + 1] << 16 |
               (uint32_t)s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
    for (unsigned i = 16; i < 80; i++)
        w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < 80; i++) {
        static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
        uint32_t f = i < 20              ? (b & c) | (~b & d)
                     : i < 40 || i >= 60 ? b ^ c ^ d
                                         : (b & c) | (b & d) | (c & d);
        uint32_t t = rol(a, 5) + f + e + k[i / 20] + w[i];

        e = d;
        d = c;
        c = rol(b, 30);
        b = a;
        a = t;
    }
    s->h[0] += a;
    s->h[1] += b;
    s->h[2] += c;
    s->h[3] += d;
    s->h[4] += e;
}

static void add(struct sha1 *s, const void *bytes, size_t n) {
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++) {
        s->block[s->len++ % BLOCK] = p[i];
        if (s->len % BLOCK == 0)
            rounds(s);
    }
}

static void finish(struct sha1 *s, uint8_t digest[20]) {
    static const uint8_t pad[BLOCK] = { 0x80 };
    uint64_t bits = s->len * 8;
    uint8_t size[8];

    for (unsigned i = 0; i < 8; i++)
        size[i] = (uint8_t)(bits >> (56 - 8 * i));
    add(s, pad, 1 + (BLOCK + 55 - s->len % BLOCK) % BLOCK);
    add(s, size, sizeof(size));
    for (unsigned i = 0; i < 20; i++)
        digest[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void weir_websocket_key(const uint8_t random[16], char ret_key[WEIR_WEBSOCKET_KEY_LEN]) {
    weir_base64_encode(random, 16, ret_key);
}

void weir_websocket_accept(struct weir_slice key, char ret_accept[WEIR_WEBSOCKET_ACCEPT_LEN]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct sha1 s = { .h = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 } };
    uint8_t digest[20];

    add(&s, key.ptr, key.len);
    add(&s, guid, sizeof(guid) - 1);
    finish(&s, digest);
    weir_base64_encode(digest, sizeof(digest), ret_accept);
}
