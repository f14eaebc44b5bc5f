/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the beginning of a TLS connection. Held: fewer bytes never mean something else than more do, names lie within what came,
 * and what was understood is understood alike when it is cut into records elsewhere.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "http/client_hello.h"
#include "http/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char join[WEIR_CLIENT_HELLO_MAX], again[WEIR_CLIENT_HELLO_MAX], copy[WEIR_CLIENT_HELLO_MAX];

/* The handshake messages' bytes, without the records around them. */
static size_t unpack(const uint8_t *data, size_t size) {
    size_t n = 0;

    while (size > 5) {
        size_t len = (size_t)data[3] << 8 | data[4];

        if (len > size - 5)
            len = size - 5;
        if (n + len > sizeof(copy))
            return 0;
        memcpy(copy + n, data + 5, len);
        n += len;
        data += 5 + len;
        size -= 5 + len;
    }
    return n;
}

/* As 1 + n % 64 bytes to a record; 0 = more than fits. */
static size_t cut(size_t n, char *to, size_t room) {
    size_t step = 1 + n % 64, len = 0;

    for (size_t at = 0; at < n; at += step) {
        size_t part = n - at < step ? n - at : step;

        if (len + 5 + part > room)
            return 0;
        memcpy(to + len, "\x16\x03\x03\0", 4);
        to[len + 4] = (char)part;
        memcpy(to + len + 5, copy + at, part);
        len += 5 + part;
    }
    return len;
}

static void check_same(struct weir_slice all, const struct weir_client_hello *hello) {
    static char text[6 * WEIR_CLIENT_HELLO_MAX];
    struct weir_client_hello other;
    size_t n = unpack((const uint8_t *)all.ptr, all.len), len;

    n = n < 4 ? 0
              : 4 + ((size_t)(uint8_t)copy[1] << 16 | (size_t)(uint8_t)copy[2] << 8 |
                     (uint8_t)copy[3]);
    len = n ? cut(n, text, sizeof(text)) : 0;
    if (len == 0)
        return;
    assert(weir_client_hello_parse(weir_slice_make(text, len), again, &other) == 0);
    assert(weir_slice_eq(other.sni, hello->sni) && weir_slice_eq(other.alpn, hello->alpn));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct weir_slice all = weir_slice_make((const char *)data, size);
    struct weir_client_hello hello, part;
    int r = weir_client_hello_parse(all, join, &hello);

    assert(r == 0 || r == -EAGAIN || r == -EINVAL);
    for (size_t n = 0; n < size && n < 512; n++) {
        int p = weir_client_hello_parse(weir_slice_make(all.ptr, n), again, &part);

        assert(p == -EAGAIN || p == r); /* more bytes never mend or break what was decided */
    }
    if (r != 0)
        return 0;
    assert(weir_sniff(all) == WEIR_SNIFF_TLS);
    assert(hello.sni.len < 65536 && !memchr(hello.sni.ptr ? hello.sni.ptr : "", 0, hello.sni.len));
    (void)weir_client_hello_offers(&hello, WEIR_SLICE("h2"));
    check_same(all, &hello);
    return 0;
}
