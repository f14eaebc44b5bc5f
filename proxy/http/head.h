/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message head, whatever HTTP version carried it (RFC 9110's words). Codecs fill it, routing reads it, filters
 * change it, codecs write it out again. All slices are borrowed: from the chunk they were read into (which the reader
 * of the head keeps a reference on, `keep`) or from the txn's arena; both live until the txn ends.
 */
#ifndef WEIR_HTTP_HEAD_H
#define WEIR_HTTP_HEAD_H

#include "base/arena.h"
#include "base/bufq.h"
#include "base/slice.h"

enum weir_version { WEIR_HTTP_NONE, WEIR_HTTP_10, WEIR_HTTP_11, WEIR_HTTP_2 };

enum weir_method {
    WEIR_METHOD_GET,
    WEIR_METHOD_HEAD,
    WEIR_METHOD_POST,
    WEIR_METHOD_PUT,
    WEIR_METHOD_DELETE,
    WEIR_METHOD_CONNECT,
    WEIR_METHOD_OPTIONS,
    WEIR_METHOD_TRACE,
    WEIR_METHOD_PATCH,
    WEIR_METHOD_OTHER, /* known to the codec by name only */
};

/* How the length of the content is known (RFC 9112 6.3). */
enum weir_body {
    WEIR_BODY_NONE,   /* no content */
    WEIR_BODY_LENGTH, /* exactly content_length bytes */
    WEIR_BODY_STREAM, /* until its end is signalled: chunked, or HTTP/2 without content-length */
    WEIR_BODY_CLOSE,  /* HTTP/1 response until close */
    WEIR_BODY_TUNNEL, /* after 101 or 2xx to CONNECT: bytes both ways until close */
};

/* Field names weir acts on; everything else is WEIR_FIELD_OTHER. */
enum weir_field_id {
    WEIR_FIELD_OTHER,
    WEIR_FIELD_HOST,
    WEIR_FIELD_CONNECTION,
    WEIR_FIELD_CONTENT_LENGTH,
    WEIR_FIELD_TRANSFER_ENCODING,
    WEIR_FIELD_TE,
    WEIR_FIELD_TRAILER,
    WEIR_FIELD_UPGRADE,
    WEIR_FIELD_KEEP_ALIVE,
    WEIR_FIELD_PROXY_CONNECTION,
    WEIR_FIELD_HTTP2_SETTINGS,
    WEIR_FIELD_EXPECT,
    WEIR_FIELD_COOKIE,
    WEIR_FIELD_DATE,
    WEIR_FIELD_SERVER,
    WEIR_FIELD_USER_AGENT,
    WEIR_FIELD_X_FORWARDED_FOR,
    WEIR_FIELD_X_FORWARDED_PROTO,
    WEIR_FIELD_X_FORWARDED_HOST,
    WEIR_FIELD_X_FORWARDED_CLIENT_CERT,
    WEIR_FIELD_FORWARDED,
    WEIR_FIELD_X_REQUEST_ID,
    WEIR_FIELD_TRACEPARENT,
    WEIR_FIELD_AUTHORIZATION,
    WEIR_FIELD_CONTENT_TYPE,
    WEIR_FIELD_X_WEIR_H1, /* http/carry.h: between two weir proxies only */
    WEIR_FIELD_IDS,
};

struct weir_field {
    struct weir_slice name;  /* as received; HTTP/2 names are lower case */
    struct weir_slice value; /* without surrounding OWS */
    uint8_t id;              /* enum weir_field_id */
    bool dropped;            /* removed: writers skip it */
};

struct weir_head {
    struct weir_arena *arena; /* where fields[] and rewritten text live */
    uint8_t version;          /* enum weir_version: how it was received */
    uint8_t method;           /* requests: enum weir_method */
    uint8_t body;             /* enum weir_body */
    bool is_response;
    bool keep_alive;      /* the peer's connection may be used again after this message (HTTP/1) */
    bool expect_continue; /* requests: Expect: 100-continue */
    bool te_trailers;     /* requests: TE has "trailers" */
    bool wants_upgrade;   /* requests: Connection: upgrade and an Upgrade field, HTTP/1.1 */
    uint16_t status;      /* responses */
    uint64_t
        content_length; /* with WEIR_BODY_LENGTH; also what HEAD/304 announced, else UINT64_MAX */
    struct weir_slice method_name;
    struct weir_slice scheme; /* "http" or "https"; absolute-form or :scheme, else empty */
    struct weir_slice
        authority; /* Host, :authority or absolute-form, as received; empty = none (HTTP/1.0) */
    struct weir_slice
        target; /* request target in origin-form ("/p?q"), "*", or authority-form for CONNECT */
    struct weir_slice protocol; /* :protocol of extended CONNECT, or the Upgrade value */
    struct weir_slice reason;   /* HTTP/1 reason phrase; may be empty */
    struct weir_field
        *fields; /* n_fields, in order; Host/:authority is not among them but in `authority` */
    uint16_t n_fields, cap_fields;
    uint32_t size; /* bytes of the head as received */
};

void weir_head_init(struct weir_head *head, struct weir_arena *arena);
/* Room for one more field behind the last. 0, -ENOMEM. */
int weir_head_grow(struct weir_head *head);
/* Appends a field; the slices are borrowed. 0, -ENOMEM. */
int weir_head_add(struct weir_head *head, struct weir_slice name, struct weir_slice value);
/* The same where weir_field_id(name) is known already. */
int weir_head_add_id(struct weir_head *head, enum weir_field_id id, struct weir_slice name,
                     struct weir_slice value);
/* Drops every field of that name and appends one. 0, -ENOMEM. */
int weir_head_set(struct weir_head *head, struct weir_slice name, struct weir_slice value);
/* Marks every field of that name dropped; returns how many. */
unsigned weir_head_drop(struct weir_head *head, struct weir_slice name);
/* First field of that name, or NULL. Borrowed. */
const struct weir_field *weir_head_find(const struct weir_head *head, struct weir_slice name);
const struct weir_field *weir_head_find_id(const struct weir_head *head, enum weir_field_id id);
/* The path part of target, before '?'. */
struct weir_slice weir_head_path(const struct weir_head *head);
/* The query part of target, behind '?'; ptr NULL = none. */
struct weir_slice weir_head_query(const struct weir_head *head);

/* content-type is application/grpc, with or without a format or parameters. */
bool weir_head_is_grpc(const struct weir_head *head);

/* Whatever the case of its letters. */
enum weir_field_id weir_field_id(struct weir_slice name);
/* That name in lower case, bytes that outlive everything; empty for WEIR_FIELD_OTHER. */
struct weir_slice weir_field_name(enum weir_field_id id);
enum weir_method weir_method_id(struct weir_slice name);

#endif
