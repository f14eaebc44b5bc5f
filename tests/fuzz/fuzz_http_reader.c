/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as both sides of a connection, through the reader that the kernel programs use (include/weir/abi/http.h). The first byte of each
 * piece says who sends it and how long it is. Held: nothing but method and path is kept, within their bounds, no query and no blank in
 * them; what is told has a status; a connection of another protocol stays one.
 */
#include <assert.h>
#include <string.h>

#include "weir/abi/http.h"

static void check(const struct weir_http_conn *c) {
    assert(c->phase <= WEIR_HTTP_DEAF);
    assert(c->x.n_method <= WEIR_HTTP_METHOD && c->x.n_path <= WEIR_HTTP_PATH);
    assert(!memchr(c->x.path, '?', c->x.n_path) && !memchr(c->x.path, ' ', c->x.n_path));
    for (unsigned i = 0; i < c->x.n_method; i++)
        assert(weir_http_is_method((__u8)c->x.method[i]));
}

static void piece(struct weir_http_conn *c, int from_server, const __u8 *bytes, size_t n) {
    int deaf = c->phase == WEIR_HTTP_DEAF, r = weir_http_begin(c, from_server, 1);

    for (size_t i = 0; r == WEIR_HTTP_GO_ON && i < n && i < WEIR_HTTP_LOOK; i++)
        r = weir_http_byte(c, bytes[i]);
    if (r == WEIR_HTTP_GO_ON && n > WEIR_HTTP_LOOK)
        r = weir_http_rest(c);
    assert(!deaf || (c->phase == WEIR_HTTP_DEAF && r == WEIR_HTTP_DONE));
    assert(r != WEIR_HTTP_TELL || (c->x.status >= 101 && c->x.status <= 999 && c->x.n_method > 0));
    check(c);
}

int LLVMFuzzerTestOneInput(const __u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const __u8 *data, size_t size) {
    struct weir_http_conn c = { 0 };

    for (size_t at = 0; at < size;) {
        size_t n = (size_t)(data[at] & 0x3f) * 8 + 1;
        int from_server = data[at] >> 7, missed = data[at] >> 6 & 1;

        at++;
        n = n < size - at ? n : size - at;
        if (missed)
            (void)weir_http_gap(&c, from_server);
        else
            piece(&c, from_server, data + at, n);
        at += n;
    }
    (void)weir_http_end(&c, 2);
    return 0;
}
