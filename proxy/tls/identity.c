/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPIFFE ids: parsing and checking as SPIFFE-ID section 2 says. Bytes only: it knows no certificate
 * and no trust, so that configuration and policies use the same rules as the handshake does. An id
 * that is not exactly in the canonical form is refused rather than normalised: two spellings of one
 * id would be two principals to a policy.
 */
#include "tls/tls.h"

#include "base/err.h"
#include "base/mem.h"

#define SCHEME           "spiffe://"
#define ID_MAX           2048u
#define TRUST_DOMAIN_MAX 255u

static bool is_domain_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_path_char(char c) {
    return is_domain_char(c) || (c >= 'A' && c <= 'Z');
}

static bool domain_ok(struct weir_slice domain) {
    if (domain.len == 0 || domain.len > TRUST_DOMAIN_MAX) {
        return false;
    }
    for (size_t i = 0; i < domain.len; i++) {
        if (!is_domain_char(domain.ptr[i])) {
            return false;
        }
    }
    return true;
}

static bool segment_ok(struct weir_slice segment) {
    if (segment.len == 0 || weir_slice_eq(segment, WEIR_SLICE(".")) ||
        weir_slice_eq(segment, WEIR_SLICE(".."))) {
        return false;
    }
    for (size_t i = 0; i < segment.len; i++) {
        if (!is_path_char(segment.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* Takes the next segment off *path, which starts with '/'. */
static struct weir_slice next_segment(struct weir_slice *path) {
    size_t end = 1;
    while (end < path->len && path->ptr[end] != '/') {
        end++;
    }
    struct weir_slice segment = weir_slice_make(path->ptr + 1, end - 1);
    *path = weir_slice_make(path->ptr + end, path->len - end);
    return segment;
}

/* First four segments of a path of `/a/b/c` form; *ret_n counts all of them. */
static bool split_path(struct weir_slice path, struct weir_slice segments[4], size_t *ret_n) {
    size_t n = 0;
    while (path.len > 0) {
        struct weir_slice segment = next_segment(&path);
        if (!segment_ok(segment)) {
            return false;
        }
        if (n < 4) {
            segments[n] = segment;
        }
        n++;
    }
    *ret_n = n;
    return true;
}

static const char *put(char **cursor, struct weir_slice s) {
    char *start = *cursor;
    if (s.len > 0) {
        memcpy(start, s.ptr, s.len);
    }
    start[s.len] = '\0';
    *cursor = start + s.len + 1;
    return start;
}

int weir_identity_new(struct weir_slice uri, struct weir_identity **ret_id) {
    const struct weir_slice scheme = WEIR_SLICE(SCHEME);
    if (uri.len <= scheme.len || uri.len > ID_MAX || memcmp(uri.ptr, SCHEME, scheme.len) != 0) {
        return -EINVAL;
    }
    struct weir_slice rest = weir_slice_make(uri.ptr + scheme.len, uri.len - scheme.len);
    size_t domain_len = 0;
    while (domain_len < rest.len && rest.ptr[domain_len] != '/') {
        domain_len++;
    }
    struct weir_slice domain = weir_slice_make(rest.ptr, domain_len);
    struct weir_slice path = weir_slice_make(rest.ptr + domain_len, rest.len - domain_len);
    struct weir_slice segments[4];
    size_t n_segments;
    if (!domain_ok(domain) || !split_path(path, segments, &n_segments)) {
        return -EINVAL;
    }
    struct weir_slice ns = WEIR_SLICE(""), account = WEIR_SLICE("");
    if (n_segments == 4 && weir_slice_eq(segments[0], WEIR_SLICE("ns")) &&
        weir_slice_eq(segments[2], WEIR_SLICE("sa"))) {
        ns = segments[1];
        account = segments[3];
    }
    struct weir_identity *id =
        weir_malloc(sizeof(*id) + uri.len + domain.len + ns.len + account.len + 4);
    if (id == NULL) {
        return -ENOMEM;
    }
    char *cursor = (char *)(id + 1);
    id->uri = put(&cursor, uri);
    id->trust_domain = put(&cursor, domain);
    id->ns = put(&cursor, ns);
    id->account = put(&cursor, account);
    *ret_id = id;
    return 0;
}
