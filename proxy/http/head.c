/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version-neutral head: its field list, and the two closed name spaces weir acts on (field ids,
 * methods).
 *
 * Fields stay in the order they came in; removing one only marks it, so nothing moves and pointers
 * into fields[] stay valid until the next addition. This file knows no syntax: codecs have checked
 * what they add.
 */
#include "http/head.h"

#define FIELDS_FIRST 24u

void weir_head_init(struct weir_head *head, struct weir_arena *arena) {
    *head = (struct weir_head){ .arena = arena, .content_length = UINT64_MAX };
}

int weir_head_grow(struct weir_head *head) {
    if (head->n_fields < head->cap_fields)
        return 0;
    uint32_t cap = head->cap_fields ? 2u * head->cap_fields : FIELDS_FIRST;
    if (cap > UINT16_MAX)
        return -ENOMEM;
    struct weir_field *fields = weir_arena_alloc(head->arena, cap * sizeof(*fields));
    if (!fields)
        return -ENOMEM;
    if (head->n_fields)
        memcpy(fields, head->fields, head->n_fields * sizeof(*fields));
    head->fields = fields;
    head->cap_fields = (uint16_t)cap;
    return 0;
}

int weir_head_add_id(struct weir_head *head, enum weir_field_id id, struct weir_slice name,
                     struct weir_slice value) {
    int r = weir_head_grow(head);
    if (r)
        return r;
    head->fields[head->n_fields++] =
        (struct weir_field){ .name = name, .value = value, .id = (uint8_t)id };
    return 0;
}

int weir_head_add(struct weir_head *head, struct weir_slice name, struct weir_slice value) {
    return weir_head_add_id(head, weir_field_id(name), name, value);
}

int weir_head_set(struct weir_head *head, struct weir_slice name, struct weir_slice value) {
    uint16_t before = head->n_fields;
    int r = weir_head_add(head, name, value);
    if (r)
        return r;
    for (uint16_t i = 0; i < before; i++)
        if (weir_slice_ieq(head->fields[i].name, name))
            head->fields[i].dropped = true;
    return 0;
}

unsigned weir_head_drop(struct weir_head *head, struct weir_slice name) {
    unsigned n = 0;
    for (uint16_t i = 0; i < head->n_fields; i++) {
        struct weir_field *field = &head->fields[i];
        if (!field->dropped && weir_slice_ieq(field->name, name)) {
            field->dropped = true;
            n++;
        }
    }
    return n;
}

const struct weir_field *weir_head_find(const struct weir_head *head, struct weir_slice name) {
    for (uint16_t i = 0; i < head->n_fields; i++) {
        const struct weir_field *field = &head->fields[i];
        if (!field->dropped && weir_slice_ieq(field->name, name))
            return field;
    }
    return NULL;
}

const struct weir_field *weir_head_find_id(const struct weir_head *head, enum weir_field_id id) {
    for (uint16_t i = 0; i < head->n_fields; i++) {
        const struct weir_field *field = &head->fields[i];
        if (field->id == id && !field->dropped)
            return field;
    }
    return NULL;
}

bool weir_head_is_grpc(const struct weir_head *head) {
    static const struct weir_slice grpc = { "application/grpc", 16 };
    const struct weir_field *f = weir_head_find_id(head, WEIR_FIELD_CONTENT_TYPE);

    if (!f || f->value.len < grpc.len ||
        !weir_slice_ieq(weir_slice_make(f->value.ptr, grpc.len), grpc))
        return false;
    return f->value.len == grpc.len || f->value.ptr[grpc.len] == '+' ||
           f->value.ptr[grpc.len] == ';';
}

struct weir_slice weir_head_path(const struct weir_head *head) {
    return weir_slice_make(head->target.ptr, weir_slice_index(head->target, '?'));
}

struct weir_slice weir_head_query(const struct weir_head *head) {
    size_t mark = weir_slice_index(head->target, '?');
    if (mark == head->target.len)
        return WEIR_SLICE_NONE;
    return weir_slice_make(head->target.ptr + mark + 1, head->target.len - mark - 1);
}

/*
 * `lower` is lower case and as long as the name, n bytes. Setting bit 5 folds letters exactly; it
 * also folds CR onto '-' and 0x12 onto '2', which no codec lets into a name and no serialiser out of
 * it. n is a constant wherever this is used, so what is left of it is a few loads and compares.
 */
static inline __attribute__((always_inline)) bool name_is(const char *name, const char *lower,
                                                          size_t n) {
    const uint64_t fold = 0x2020202020202020u;
    uint64_t a, b;

    for (size_t i = 0; i + 8 <= n; i += 8) {
        memcpy(&a, name + i, 8);
        memcpy(&b, lower + i, 8);
        if ((a | fold) != b)
            return false;
    }
    if (n % 8 == 0)
        return true;
    if (n > 8) {
        memcpy(&a, name + n - 8, 8);
        memcpy(&b, lower + n - 8, 8);
        return (a | fold) == b;
    }
    for (size_t i = 0; i < n; i++)
        if ((name[i] | 0x20) != lower[i])
            return false;
    return true;
}

#define TRY(literal, id)                                                                           \
    if (name_is(name.ptr, literal, sizeof(literal) - 1))                                           \
        return id;

enum weir_field_id weir_field_id(struct weir_slice name) {
    switch (name.len) {
    case 2:
        TRY("te", WEIR_FIELD_TE)
        break;
    case 4:
        TRY("host", WEIR_FIELD_HOST)
        TRY("date", WEIR_FIELD_DATE)
        break;
    case 6:
        TRY("cookie", WEIR_FIELD_COOKIE)
        TRY("server", WEIR_FIELD_SERVER)
        TRY("expect", WEIR_FIELD_EXPECT)
        break;
    case 7:
        TRY("upgrade", WEIR_FIELD_UPGRADE)
        TRY("trailer", WEIR_FIELD_TRAILER)
        break;
    case 9:
        TRY("forwarded", WEIR_FIELD_FORWARDED)
        TRY("x-weir-h1", WEIR_FIELD_X_WEIR_H1)
        break;
    case 10:
        TRY("user-agent", WEIR_FIELD_USER_AGENT)
        TRY("connection", WEIR_FIELD_CONNECTION)
        TRY("keep-alive", WEIR_FIELD_KEEP_ALIVE)
        break;
    case 11:
        TRY("traceparent", WEIR_FIELD_TRACEPARENT)
        break;
    case 12:
        TRY("content-type", WEIR_FIELD_CONTENT_TYPE)
        TRY("x-request-id", WEIR_FIELD_X_REQUEST_ID)
        break;
    case 13:
        TRY("authorization", WEIR_FIELD_AUTHORIZATION)
        break;
    case 14:
        TRY("content-length", WEIR_FIELD_CONTENT_LENGTH)
        TRY("http2-settings", WEIR_FIELD_HTTP2_SETTINGS)
        break;
    case 15:
        TRY("x-forwarded-for", WEIR_FIELD_X_FORWARDED_FOR)
        break;
    case 16:
        TRY("x-forwarded-host", WEIR_FIELD_X_FORWARDED_HOST)
        TRY("proxy-connection", WEIR_FIELD_PROXY_CONNECTION)
        break;
    case 17:
        TRY("transfer-encoding", WEIR_FIELD_TRANSFER_ENCODING)
        TRY("x-forwarded-proto", WEIR_FIELD_X_FORWARDED_PROTO)
        break;
    case 23:
        TRY("x-forwarded-client-cert", WEIR_FIELD_X_FORWARDED_CLIENT_CERT)
        break;
    default:
        break;
    }
    return WEIR_FIELD_OTHER;
}

struct weir_slice weir_field_name(enum weir_field_id id) {
#define NAME(id, literal) [id] = { literal, sizeof(literal) - 1 }
    static const struct weir_slice names[WEIR_FIELD_IDS] = {
        NAME(WEIR_FIELD_HOST, "host"),
        NAME(WEIR_FIELD_CONNECTION, "connection"),
        NAME(WEIR_FIELD_CONTENT_LENGTH, "content-length"),
        NAME(WEIR_FIELD_TRANSFER_ENCODING, "transfer-encoding"),
        NAME(WEIR_FIELD_TE, "te"),
        NAME(WEIR_FIELD_TRAILER, "trailer"),
        NAME(WEIR_FIELD_UPGRADE, "upgrade"),
        NAME(WEIR_FIELD_KEEP_ALIVE, "keep-alive"),
        NAME(WEIR_FIELD_PROXY_CONNECTION, "proxy-connection"),
        NAME(WEIR_FIELD_HTTP2_SETTINGS, "http2-settings"),
        NAME(WEIR_FIELD_EXPECT, "expect"),
        NAME(WEIR_FIELD_COOKIE, "cookie"),
        NAME(WEIR_FIELD_DATE, "date"),
        NAME(WEIR_FIELD_SERVER, "server"),
        NAME(WEIR_FIELD_USER_AGENT, "user-agent"),
        NAME(WEIR_FIELD_X_FORWARDED_FOR, "x-forwarded-for"),
        NAME(WEIR_FIELD_X_FORWARDED_PROTO, "x-forwarded-proto"),
        NAME(WEIR_FIELD_X_FORWARDED_HOST, "x-forwarded-host"),
        NAME(WEIR_FIELD_X_FORWARDED_CLIENT_CERT, "x-forwarded-client-cert"),
        NAME(WEIR_FIELD_FORWARDED, "forwarded"),
        NAME(WEIR_FIELD_X_REQUEST_ID, "x-request-id"),
        NAME(WEIR_FIELD_TRACEPARENT, "traceparent"),
        NAME(WEIR_FIELD_AUTHORIZATION, "authorization"),
        NAME(WEIR_FIELD_CONTENT_TYPE, "content-type"),
        NAME(WEIR_FIELD_X_WEIR_H1, "x-weir-h1"),
    };
#undef NAME
    return names[id];
}

enum weir_method weir_method_id(struct weir_slice name) {
    static const struct {
        const char name[8];
        uint8_t len, id;
    } methods[] = {
        { "GET", 3, WEIR_METHOD_GET },         { "POST", 4, WEIR_METHOD_POST },
        { "HEAD", 4, WEIR_METHOD_HEAD },       { "PUT", 3, WEIR_METHOD_PUT },
        { "DELETE", 6, WEIR_METHOD_DELETE },   { "PATCH", 5, WEIR_METHOD_PATCH },
        { "OPTIONS", 7, WEIR_METHOD_OPTIONS }, { "CONNECT", 7, WEIR_METHOD_CONNECT },
        { "TRACE", 5, WEIR_METHOD_TRACE },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(methods); i++)
        if (name.len == methods[i].len && memcmp(name.ptr, methods[i].name, name.len) == 0)
            return methods[i].id;
    return WEIR_METHOD_OTHER;
}
