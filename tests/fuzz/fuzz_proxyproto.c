/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a PROXY header. Held: fewer bytes never mean something else than more do, and what was read is written in both versions so that it
 * is read back.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "http/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written(const struct weir_proxy_header *h, unsigned version) {
    char buf[WEIR_PROXY_WRITE_MAX];
    struct weir_proxy_header back;
    size_t n = weir_proxy_write(buf, version, h);

    assert(n <= sizeof(buf));
    assert(weir_proxy_parse(weir_slice_make(buf, n), &back) == 0);
    assert(back.len == n && back.known == h->known);
    if (!h->known)
        return;
    assert(memcmp(back.src, h->src, 16) == 0 && memcmp(back.dst, h->dst, 16) == 0);
    assert(back.src_port == h->src_port && back.dst_port == h->dst_port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct weir_slice all = weir_slice_make((const char *)data, size);
    struct weir_proxy_header h, part;
    int r = weir_proxy_parse(all, &h);
    size_t end = r == 0 ? h.len : size;

    assert(r == 0 || r == -EAGAIN || r == -EPROTO);
    assert(r != 0 || h.len <= size);
    for (size_t n = 0; n < end; n++) {
        int p = weir_proxy_parse(weir_slice_make(all.ptr, n), &part);
        assert(p == -EAGAIN || (p == -EPROTO && r == -EPROTO));
    }
    if (r == 0) {
        written(&h, 1);
        written(&h, 2);
    }
    return 0;
}
