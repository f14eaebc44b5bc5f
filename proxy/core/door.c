/* SPDX-License-Identifier: Apache-2.0 */
#include "core/door.h"

#include "base/mem.h"

#define FIRST_BYTES 512u

void weir_door_u32(char *to, uint32_t value) {
    for (unsigned i = 0; i < 4; i++)
        to[i] = (char)(value >> (24 - 8 * i));
}

uint32_t weir_door_from_u32(const char *from) {
    const uint8_t *b = (const uint8_t *)from;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void weir_door_header(char to[WEIR_DOOR_HEADER], enum weir_door_kind kind, size_t len) {
    weir_door_u32(to, (uint32_t)len);
    weir_door_u32(to + 4, (uint32_t)kind << 16);
}

void weir_door_reader_deinit(struct weir_door_reader *in) {
    in->ptr = weir_free(in->ptr);
    in->len = in->cap = 0;
}

static size_t most(const struct weir_door_reader *in, uint32_t kind) {
    if (in->from_agent && kind == WEIR_DOOR_DOCUMENT)
        return WEIR_DOOR_DOCUMENT_MAX;
    if (in->from_agent && (kind == WEIR_DOOR_SVID || kind == WEIR_DOOR_TRUST))
        return WEIR_DOOR_SVID_MAX;
    return !in->from_agent && kind == WEIR_DOOR_HELLO ? WEIR_DOOR_HELLO_MAX : WEIR_DOOR_SMALL_MAX;
}

static int room(struct weir_door_reader *in, size_t n) {
    size_t cap = in->cap ? in->cap : FIRST_BYTES;
    char *ptr;

    while (cap < in->len + n)
        cap *= 2;
    if (cap == in->cap)
        return 0;
    ptr = weir_reallocarray(in->ptr, cap, 1);
    if (!ptr)
        return -ENOMEM;
    in->ptr = ptr;
    in->cap = cap;
    return 0;
}

/* The length of the message that begins there, its header included; 0: the header is not complete. */
static int whole(const struct weir_door_reader *in, const char *at, size_t n, size_t *ret_len) {
    uint32_t kind;

    *ret_len = 0;
    if (n < WEIR_DOOR_HEADER)
        return 0;
    kind = weir_door_from_u32(at + 4);
    if ((kind & 0xffff) != 0 || weir_door_from_u32(at) > most(in, kind >> 16))
        return -EPROTO;
    *ret_len = WEIR_DOOR_HEADER + weir_door_from_u32(at);
    return 0;
}

int weir_door_read(struct weir_door_reader *in, struct weir_slice bytes,
                   int (*fn)(void *arg, unsigned kind, struct weir_slice content), void *arg) {
    size_t done = 0, len = 0;
    int r = room(in, bytes.len);

    if (r)
        return r;
    memcpy(in->ptr + in->len, bytes.ptr, bytes.len);
    in->len += bytes.len;
    for (;;) {
        const char *at = in->ptr + done;

        r = whole(in, at, in->len - done, &len);
        if (r || len == 0 || len > in->len - done)
            break;
        r = fn(arg, weir_door_from_u32(at + 4) >> 16,
               weir_slice_make(at + WEIR_DOOR_HEADER, len - WEIR_DOOR_HEADER));
        if (r)
            return r; /* its caller may have let go of the whole */
        done += len;
    }
    memmove(in->ptr, in->ptr + done, in->len - done);
    in->len -= done;
    if (in->len == 0)
        weir_door_reader_deinit(in);
    return r;
}
