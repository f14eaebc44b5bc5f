/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a decoded HTTP/2 header list to the version-neutral head (RFC 9113 8.2, 8.3).
 *
 * nghttp2 has already refused, as malformed and without asking us: names that are not lower-case
 * tokens, values with CR, LF, NUL or outer blanks, pseudo-header fields that are unknown, empty,
 * repeated, late or missing, connection- specific fields, te other than trailers, and a
 * content-length that is doubled, no number or not the content's. Here stands what it leaves to its
 * user: the limits, the syntax of target and authority, Host, cookies, methods. The first thing
 * found wrong is kept in st->bad and nothing more is stored. All text is copied to the head's
 * arena, but for names weir knows and what lies in nghttp2's static table. Sends nothing and decides no status.
 */
#include "http/h2_internal.h"

#include "http/carry.h"
#include "http/hop.h"
#include "http/uri.h"

#define FIELD_OVERHEAD 32u /* RFC 9113 6.5.2 */
#define BOMB_FACTOR    4u  /* beyond that many limits the peer is not mistaken but hostile */

void weir_h2_head_begin(struct weir_h2 *h, struct weir_h2_stream *st) {
    weir_head_init(st->cs.head, st->cs.head->arena);
    st->cs.head->is_response = !weir_h2_is_server(h);
    weir_h2_list_begin(st);
}

void weir_h2_list_begin(struct weir_h2_stream *st) {
    st->list_size = 0;
    st->n_cookies = 0;
    st->bad = WEIR_FAULT_NONE;
    st->host = WEIR_SLICE_NONE;
}

static void blame(struct weir_h2_stream *st, enum weir_fault_kind kind) {
    if (st->bad == WEIR_FAULT_NONE)
        st->bad = (uint8_t)kind;
}

static struct weir_slice text_of(nghttp2_rcbuf *buf) {
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(buf);
    return weir_slice_make((const char *)vec.base, vec.len);
}

/* Charges one field against the limit of the list. False = do not store it. */
static bool charge(struct weir_h2 *h, struct weir_h2_stream *st, size_t bytes, uint32_t limit) {
    if (bytes > UINT32_MAX / 2 || st->list_size > UINT32_MAX / 2)
        return false;
    st->list_size += (uint32_t)bytes + FIELD_OVERHEAD;
    if (st->list_size > limit) {
        blame(st, WEIR_FAULT_HEAD_TOO_LARGE);
        if (st->list_size / BOMB_FACTOR > limit)
            weir_h2_flood(h, h->guard.culprit);
    }
    return st->bad == WEIR_FAULT_NONE;
}

/* Into the arena, unless it lies in the static table. NULL ptr = no memory. */
static struct weir_slice keep(struct weir_arena *arena, nghttp2_rcbuf *buf,
                              struct weir_slice text) {
    if (text.len == 0 || nghttp2_rcbuf_is_static(buf))
        return text;
    char *to = weir_arena_alloc(arena, text.len);
    return weir_slice_make(to ? memcpy(to, text.ptr, text.len) : NULL, text.len);
}

/* A field of the list into the head: the names weir knows are not copied. */
static int keep_field(struct weir_head *head, nghttp2_rcbuf *name, struct weir_slice name_text,
                      nghttp2_rcbuf *value, struct weir_slice value_text) {
    enum weir_field_id id = weir_field_id(name_text);
    struct weir_slice kept_value = keep(head->arena, value, value_text);
    struct weir_slice kept_name =
        id != WEIR_FIELD_OTHER ? weir_field_name(id) : keep(head->arena, name, name_text);

    if (!kept_name.ptr || !kept_value.ptr)
        return -ENOMEM;
    return weir_head_add_id(head, id, kept_name, kept_value);
}

static void request_pseudo(struct weir_head *head, struct weir_slice name,
                           struct weir_slice value) {
    switch (name.ptr[1]) {
    case 'm':
        head->method_name = value;
        break;
    case 's':
        head->scheme = value;
        break;
    case 'a':
        head->authority = value;
        break;
    case 'p':
        if (name.len == 5)
            head->target = value;
        else /* ":protocol" */
            head->protocol = value;
        break;
    default:
        break;
    }
}

static void response_status(struct weir_h2_stream *st, struct weir_slice value) {
    uint64_t status;

    if (value.len != 3 || weir_slice_to_u64(value, &status) || status < 100) {
        blame(st, WEIR_FAULT_BAD_RESPONSE);
        return;
    }
    st->cs.head->status = (uint16_t)status;
}

/* What the field just added means to us; some are taken out of the list again. */
static void field_meaning(struct weir_h2_stream *st, struct weir_head *head) {
    struct weir_field *field = &head->fields[head->n_fields - 1];

    switch (field->id) {
    case WEIR_FIELD_OTHER:
        if (weir_hop_imitates_framing(field->name))
            blame(st, WEIR_FAULT_BAD_FRAMING);
        break;
    case WEIR_FIELD_HOST:
        if (!head->is_response) {
            st->host = field->value;
            head->n_fields--;
        }
        break;
    case WEIR_FIELD_TE:
        head->te_trailers = true;
        head->n_fields--;
        break;
    case WEIR_FIELD_HTTP2_SETTINGS:
        head->n_fields--;
        break;
    case WEIR_FIELD_COOKIE:
        st->n_cookies++;
        break;
    case WEIR_FIELD_CONTENT_LENGTH:
        if (weir_slice_to_u64(field->value, &head->content_length))
            blame(st, WEIR_FAULT_BAD_FRAMING);
        break;
    case WEIR_FIELD_EXPECT:
        if (head->is_response)
            break;
        if (weir_slice_ieq(field->value, WEIR_SLICE("100-continue")))
            head->expect_continue = true;
        else
            blame(st, WEIR_FAULT_EXPECTATION);
        break;
    default:
        break;
    }
}

static int pseudo_field(struct weir_h2 *h, struct weir_h2_stream *st, struct weir_slice name,
                        nghttp2_rcbuf *value, struct weir_slice text) {
    if (name.len == 5 && text.len > h->base.limits->target_bytes) {
        blame(st, WEIR_FAULT_TARGET_TOO_LONG);
        return 0;
    }
    if (!weir_h2_is_server(h)) {
        response_status(st, text);
        return 0;
    }
    text = keep(st->cs.head->arena, value, text);
    if (!text.ptr)
        return -ENOMEM;
    request_pseudo(st->cs.head, name, text);
    return 0;
}

int weir_h2_head_field(struct weir_h2 *h, struct weir_h2_stream *st, nghttp2_rcbuf *name,
                       nghttp2_rcbuf *value) {
    const struct weir_codec_limits *limits = h->base.limits;
    struct weir_head *head = st->cs.head;
    struct weir_slice n = text_of(name), v = text_of(value);

    if (!charge(h, st, n.len + v.len, limits->head_bytes))
        return 0;
    if (n.ptr[0] == ':')
        return pseudo_field(h, st, n, value, v);
    /* Cookie crumbs will be one field; the size of the list bounds their number. */
    if (head->n_fields - st->n_cookies >= limits->fields) {
        blame(st, WEIR_FAULT_TOO_MANY_FIELDS);
        return 0;
    }
    if (keep_field(head, name, n, value, v) < 0)
        return -ENOMEM;
    field_meaning(st, head);
    return 0;
}

int weir_h2_head_trailer(struct weir_h2 *h, struct weir_h2_stream *st, nghttp2_rcbuf *name,
                         nghttp2_rcbuf *value) {
    const struct weir_codec_limits *limits = h->base.limits;
    struct weir_head *trailers = st->cs.trailers;
    struct weir_slice n = text_of(name), v = text_of(value);

    if (!charge(h, st, n.len + v.len, limits->trailer_bytes))
        return 0;
    if (!weir_trailer_allowed(n))
        return 0;
    if (trailers->n_fields >= limits->fields) {
        blame(st, WEIR_FAULT_TOO_MANY_FIELDS);
        return 0;
    }
    return keep_field(trailers, name, n, value, v);
}

/*
 * RFC 9113 8.2.3: one field, crumbs joined with "; ", at the place of the first. An empty crumb says nothing, and would leave a blank at
 * the end, which is malformed when it goes on over HTTP/2.
 */
static int join_cookies(struct weir_head *head) {
    struct weir_field *first = NULL;
    size_t size = 0, used = 0;
    uint16_t n = 0;

    for (uint16_t i = 0; i < head->n_fields; i++)
        if (head->fields[i].id == WEIR_FIELD_COOKIE)
            size += head->fields[i].value.len + 2;
    char *text = weir_arena_alloc(head->arena, size);
    if (!text)
        return -ENOMEM;
    for (uint16_t i = 0; i < head->n_fields; i++) {
        struct weir_field *field = &head->fields[i];
        if (field->id != WEIR_FIELD_COOKIE || !first) {
            head->fields[n] = *field;
            if (field->id == WEIR_FIELD_COOKIE)
                first = &head->fields[n];
            n++;
        }
        if (field->id != WEIR_FIELD_COOKIE || field->value.len == 0)
            continue;
        if (used) {
            memcpy(text + used, "; ", 2);
            used += 2;
        }
        memcpy(text + used, field->value.ptr, field->value.len);
        used += field->value.len;
    }
    first->value = weir_slice_make(text, used);
    head->n_fields = n;
    return 0;
}

/* The methods HTTP/1's parser knows: the same request gets the same answer in either version. */
static bool method_known(struct weir_slice name) {
    static const char *const others[] = {
        "COPY",     "LOCK",       "MKCOL",    "MOVE",   "PROPFIND",  "PROPPATCH",   "SEARCH",
        "UNLOCK",   "BIND",       "REBIND",   "UNBIND", "ACL",       "REPORT",      "MKACTIVITY",
        "CHECKOUT", "MERGE",      "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE",
        "LINK",     "MKCALENDAR", "UNLINK",   "SOURCE", "QUERY",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(others); i++)
        if (weir_slice_eq(name, weir_slice_from_str(others[i])))
            return true;
    return false;
}

/* A name as in Upgrade, one, and not HTTP/2 inside HTTP/2. */
static bool protocol_ok(struct weir_slice protocol) {
    struct weir_slice rest = protocol, part;

    if (weir_slice_ieq(protocol, WEIR_SLICE("h2c")))
        return false;
    while (weir_slice_split(&rest, '/', &part))
        if (!weir_chars_are(part, WEIR_CHAR_TOKEN))
            return false;
    return true;
}

/* RFC 8441 4, in the shape of HTTP/1's request to upgrade. */
static void extended_connect(struct weir_h2_stream *st, struct weir_head *head) {
    st->upgrade = WEIR_H2_UPGRADE_ASKED;
    head->method = WEIR_METHOD_GET;
    head->method_name = WEIR_SLICE("GET");
    head->wants_upgrade = true;
    head->content_length = UINT64_MAX;
    head->body = WEIR_BODY_NONE;
}

static enum weir_fault_kind check_request(struct weir_h2_stream *st, struct weir_head *head) {
    if (head->method == WEIR_METHOD_OTHER && !method_known(head->method_name))
        return WEIR_FAULT_METHOD_UNKNOWN;
    if (st->host.ptr) {
        if (head->authority.len == 0)
            head->authority = st->host;
        else if (!weir_slice_ieq(head->authority, st->host))
            return WEIR_FAULT_BAD_AUTHORITY;
    }
    if (!weir_authority_valid(head->authority))
        return WEIR_FAULT_BAD_AUTHORITY;
    if (head->method == WEIR_METHOD_CONNECT && !head->protocol.ptr) {
        head->target = head->authority;
        return WEIR_FAULT_NONE;
    }
    if (head->protocol.ptr && !protocol_ok(head->protocol))
        return WEIR_FAULT_BAD_PSEUDO;
    if (!weir_slice_ieq(head->scheme, WEIR_SLICE("https")) &&
        !weir_slice_ieq(head->scheme, WEIR_SLICE("http")))
        return WEIR_FAULT_BAD_PSEUDO;
    bool asterisk =
        head->method == WEIR_METHOD_OPTIONS && weir_slice_eq(head->target, WEIR_SLICE("*"));
    if (!asterisk && !weir_target_valid(head->target))
        return WEIR_FAULT_BAD_TARGET;
    return WEIR_FAULT_NONE;
}

int weir_h2_head_request(struct weir_h2_stream *st, bool end) {
    struct weir_head *head = st->cs.head;

    head->version = WEIR_HTTP_2;
    head->keep_alive = true;
    head->size = st->list_size;
    if (st->bad != WEIR_FAULT_NONE)
        return 0;
    head->method = (uint8_t)weir_method_id(head->method_name);
    blame(st, check_request(st, head));
    if (st->n_cookies > 1 && st->bad == WEIR_FAULT_NONE && join_cookies(head) < 0)
        return -ENOMEM;
    if (head->method == WEIR_METHOD_CONNECT && head->protocol.ptr) {
        extended_connect(st, head);
        return 0;
    }
    if (head->method == WEIR_METHOD_CONNECT)
        head->content_length = UINT64_MAX; /* RFC 9110 9.3.6: none there */
    if (head->content_length != UINT64_MAX)
        head->body = WEIR_BODY_LENGTH;
    else
        head->body = end ? WEIR_BODY_NONE : WEIR_BODY_STREAM;
    if (end && head->expect_continue) { /* RFC 9110 10.1.1: nothing to wait for */
        head->expect_continue = false;
        (void)weir_head_drop(head, WEIR_SLICE("expect"));
    }
    return 0;
}

void weir_h2_head_response(struct weir_h2 *h, struct weir_h2_stream *st, bool end) {
    struct weir_head *head = st->cs.head;

    head->version = WEIR_HTTP_2;
    head->keep_alive = true;
    head->size = st->list_size;
    if (st->bad != WEIR_FAULT_NONE)
        return;
    if (st->upgrade == WEIR_H2_UPGRADE_ASKED && head->status >= 200) {
        bool taken = head->status < 300 && !weir_carry_not_switched(head);

        st->upgrade = taken ? WEIR_H2_UPGRADE_TUNNEL : WEIR_H2_UPGRADE_NO;
        if (taken) {
            st->cs.send_done = false;
            head->status = 101;
            head->protocol = st->protocol;
            head->content_length = UINT64_MAX;
            head->body = WEIR_BODY_TUNNEL;
            return;
        }
        weir_h2_wake(h, st); /* the end of the request, which was kept back */
    }
    if (head->status < 200 || head->status == 204 || head->status == 304 || st->no_content)
        head->body = WEIR_BODY_NONE;
    else if (head->content_length != UINT64_MAX)
        head->body = WEIR_BODY_LENGTH;
    else
        head->body = end ? WEIR_BODY_NONE : WEIR_BODY_STREAM;
}
