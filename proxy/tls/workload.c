/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/workload.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/err.h"
#include "base/mem.h"
#include "tls/pem.h"

/* Wire types of protobuf; 3 and 4 are groups, which proto3 has not. */
enum { VARINT = 0, I64 = 1, LEN = 2, I32 = 5 };

struct field {
    uint64_t number;
    unsigned type;
    struct weir_slice content; /* of LEN */
};

static bool take(struct weir_slice *rest, uint64_t n) {
    if (n > rest->len)
        return false;
    *rest = weir_slice_make(rest->ptr + n, rest->len - n);
    return true;
}

static bool varint(struct weir_slice *rest, uint64_t *ret) {
    uint64_t value = 0;

    for (unsigned i = 0; i < 10 && i < rest->len; i++) {
        uint8_t byte = (uint8_t)rest->ptr[i];

        if (i == 9 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *ret = value;
            return take(rest, i + 1);
        }
    }
    return false;
}

/* The next field of a message that is not at its end. */
static bool next(struct weir_slice *rest, struct field *f) {
    uint64_t tag, n;

    if (!varint(rest, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
        return false;
    f->number = tag >> 3;
    f->type = tag & 7;
    if (f->type == VARINT)
        return varint(rest, &n);
    if (f->type == I64 || f->type == I32)
        return take(rest, f->type == I64 ? 8 : 4);
    if (f->type != LEN || !varint(rest, &n))
        return false;
    f->content = weir_slice_make(rest->ptr, n);
    return take(rest, n);
}

static int bad(const char **ret_why, const char *why) {
    *ret_why = why;
    return WEIR_WORKLOAD_BAD;
}

static int read_svid(struct weir_slice rest, struct weir_workload_svid *svid,
                     const char **ret_why) {
    struct weir_slice *const fields[] = { NULL, &svid->id, &svid->chain, &svid->key,
                                          &svid->bundle };
    struct field f;

    while (rest.len > 0) {
        if (!next(&rest, &f))
            return bad(ret_why, "its SVID is not protobuf");
        if (f.number >= 5)
            continue;
        if (f.type != LEN)
            return bad(ret_why, "a field of its SVID is of another type");
        *fields[f.number] = f.content;
    }
    if (svid->id.len == 0 || svid->id.len > WEIR_WORKLOAD_ID_MAX ||
        memchr(svid->id.ptr, 0, svid->id.len))
        return bad(ret_why, "its SVID has no SPIFFE id of 1 to 2048 bytes");
    if (svid->chain.len == 0)
        return bad(ret_why, "its SVID has no certificate");
    if (svid->key.len == 0)
        return bad(ret_why, "its SVID has no key");
    return svid->bundle.len > 0 ? 0 : bad(ret_why, "its SVID has no trust bundle");
}

int weir_workload_read(struct weir_slice message, struct weir_workload_svid *ret_svid,
                       const char **ret_why) {
    struct weir_workload_svid svid = { 0 };
    struct weir_slice first = { 0 };
    unsigned n = 0;
    struct field f;
    int r;

    if (message.len > WEIR_WORKLOAD_MESSAGE_MAX)
        return bad(ret_why, "its message is larger than 4 MiB");
    while (message.len > 0) {
        if (!next(&message, &f))
            return bad(ret_why, "its message is not protobuf");
        if (f.number != 1)
            continue;
        if (f.type != LEN)
            return bad(ret_why, "a field of its message is of another type");
        if (n++ == 0)
            first = f.content;
    }
    if (n == 0)
        return bad(ret_why, "its message holds no SVID");
    r = read_svid(first, &svid, ret_why);
    if (r)
        return r;
    svid.others = n - 1;
    *ret_svid = svid;
    return 0;
}

int weir_workload_pem(struct weir_slice certificates, char **ret_pem) {
    const unsigned char *at = (const unsigned char *)certificates.ptr;
    const unsigned char *end = at + certificates.len;
    BIO *bio = BIO_new(BIO_s_mem());
    int r = bio ? 0 : -ENOMEM;

    if (certificates.len == 0 || certificates.len > WEIR_WORKLOAD_MESSAGE_MAX)
        r = -EINVAL;
    while (r == 0 && at < end) {
        X509 *x = d2i_X509(NULL, &at, end - at);

        if (!x)
            r = -EINVAL;
        else if (PEM_write_bio_X509(bio, x) != 1)
            r = -ENOMEM;
        X509_free(x);
    }
    if (r == 0) {
        *ret_pem = weir_pem_of(bio);
        r = *ret_pem ? 0 : -ENOMEM;
    }
    BIO_free(bio);
    ERR_clear_error();
    return r;
}
