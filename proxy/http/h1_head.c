/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads and trailers: llhttp's callbacks, and what llhttp answers turned into outcomes.
 *
 * llhttp runs strictly and only over start lines and field sections; it is stopped at the empty
 * line and never told what follows. Text is borrowed from the chunk being fed. Only when a head
 * does not lie in one piece is it copied to the head's arena: at the end of the feed, and the text
 * that was cut grows there by doubling, so bytes that come one at a time cost no more than linear
 * work. What the fields mean is h1_check.c's.
 */
#include "http/h1_internal.h"

#include "http/hop.h"
#include "http/uri.h"

#define STOP        (-1)
#define GROW_FIRST  64u
#define FIELD_OWNED (1u << WEIR_H1_NAME | 1u << WEIR_H1_VALUE)

static struct weir_h1 *of(llhttp_t *parser) {
    return parser->data;
}

static struct weir_head *head_of(struct weir_h1 *h) {
    return h->state == WEIR_H1_TRAILERS ? h->cs.trailers : h->cs.head;
}

static int found(struct weir_h1 *h, enum weir_fault_kind kind) {
    h->found = (uint8_t)kind;
    return STOP;
}

static int no_memory(struct weir_h1 *h) {
    h->no_memory = true;
    return STOP;
}

static uint32_t offset_of(const struct weir_h1 *h, const char *at) {
    return h->head_size + (uint32_t)(at - h->fed);
}

static uint32_t head_limit(const struct weir_h1 *h) {
    return h->state == WEIR_H1_TRAILERS ? h->base.limits->trailer_bytes
                                        : h->base.limits->head_bytes;
}

/* ---- text that may come in pieces ---- */

/* The text cut by the end of an earlier feed goes on; its beginning is in the arena. */
static int text_append(struct weir_h1 *h, struct weir_slice *text, struct weir_slice piece) {
    size_t len = text->len + piece.len;
    if (len > h->span_cap) {
        /* Doubling, but never room for more than the head may still bring. */
        size_t most = text->len + head_limit(h) - h->head_size;
        size_t cap = len * 2 < GROW_FIRST ? GROW_FIRST : len * 2;
        if (cap > most)
            cap = most;
        char *grown = weir_arena_alloc(head_of(h)->arena, cap);
        if (!grown)
            return no_memory(h);
        memcpy(grown, text->ptr, text->len);
        text->ptr = grown;
        h->span_cap = (uint32_t)cap;
    }
    memcpy((char *)(uintptr_t)text->ptr + text->len, piece.ptr, piece.len);
    text->len = len;
    return 0;
}

static int text_take(struct weir_h1 *h, enum weir_h1_span span, struct weir_slice *text,
                     const char *at, size_t len) {
    if (h->span == span && text->len > 0)
        return len ? text_append(h, text, weir_slice_make(at, len)) : 0;
    h->span = (uint8_t)span;
    h->span_cap = 0;
    h->text_owned &= (uint8_t) ~(1u << span);
    *text = weir_slice_make(at, len);
    return 0;
}

static int own(struct weir_h1 *h, enum weir_h1_span span, struct weir_slice *text) {
    if (text->len == 0 || h->text_owned & 1u << span)
        return 0;
    struct weir_slice copy = weir_arena_dup(head_of(h)->arena, *text);
    if (!copy.ptr)
        return -ENOMEM;
    *text = copy;
    h->text_owned |= (uint8_t)(1u << span);
    if (h->span == span)
        h->span_cap = (uint32_t)copy.len;
    return 0;
}

int weir_h1_head_own(struct weir_h1 *h) {
    struct weir_head *head = head_of(h);
    for (; h->n_owned < head->n_fields; h->n_owned++) {
        struct weir_field *field = &head->fields[h->n_owned];
        struct weir_slice name = weir_arena_dup(head->arena, field->name);
        struct weir_slice value = weir_arena_dup(head->arena, field->value);
        if (!name.ptr || !value.ptr)
            return -ENOMEM;
        field->name = name;
        field->value = value;
    }
    int r = own(h, WEIR_H1_URL, &head->target);
    if (r == 0)
        r = own(h, WEIR_H1_REASON, &head->reason);
    if (r == 0 && (h->span == WEIR_H1_NAME || h->span == WEIR_H1_VALUE)) {
        r = own(h, WEIR_H1_NAME, &head->fields[head->n_fields].name);
        if (r == 0 && h->span == WEIR_H1_VALUE)
            r = own(h, WEIR_H1_VALUE, &head->fields[head->n_fields].value);
    }
    if (r == 0 && head->authority.len && !(h->seen & WEIR_H1_HOST_OWNED)) {
        head->authority = weir_arena_dup(head->arena, head->authority);
        h->seen |= WEIR_H1_HOST_OWNED;
        r = head->authority.ptr ? 0 : -ENOMEM;
    }
    return r;
}

/* ---- llhttp's callbacks ---- */

static int on_url(llhttp_t *parser, const char *at, size_t len) {
    struct weir_h1 *h = of(parser);
    if (h->state == WEIR_H1_TRAILERS)
        return 0;
    if (h->span != WEIR_H1_URL) {
        struct weir_slice method = weir_slice_from_str(llhttp_method_name(parser->method));
        h->cs.head->method_name = method;
        if (offset_of(h, at) != method.len + 1)
            h->seen |= WEIR_H1_BAD_LINE;
    }
    h->mark = offset_of(h, at) + (uint32_t)len;
    return text_take(h, WEIR_H1_URL, &h->cs.head->target, at, len);
}

static int on_status(llhttp_t *parser, const char *at, size_t len) {
    struct weir_h1 *h = of(parser);
    return text_take(h, WEIR_H1_REASON, &head_of(h)->reason, at, len);
}

/* llhttp takes "RTSP/" too, and any number of blanks before it. */
static bool behind_http(const struct weir_h1 *h, const char *at) {
    char before[WEIR_H1_TAIL];
    size_t here = (size_t)(at - h->fed);
    if (here > WEIR_H1_TAIL)
        here = WEIR_H1_TAIL;
    memcpy(before, h->tail + here, WEIR_H1_TAIL - here);
    memcpy(before + WEIR_H1_TAIL - here, at - here, here);
    return memcmp(before, " HTTP/", WEIR_H1_TAIL) == 0 &&
           offset_of(h, at) == h->mark + WEIR_H1_TAIL;
}

static int on_version(llhttp_t *parser, const char *at, size_t len) {
    struct weir_h1 *h = of(parser);
    if (!weir_h1_is_server(h) || h->state == WEIR_H1_TRAILERS || h->span == WEIR_H1_NO_SPAN)
        return 0;
    h->span = WEIR_H1_NO_SPAN;
    if (!behind_http(h, at))
        h->seen |= WEIR_H1_BAD_PROTOCOL;
    return 0;
}

static int on_version_complete(llhttp_t *parser) {
    struct weir_h1 *h = of(parser);
    h->seen |= WEIR_H1_SAW_VERSION;
    if (h->state == WEIR_H1_TRAILERS)
        return 0;
    if (parser->http_major != 1 || h->seen & WEIR_H1_BAD_PROTOCOL || parser->method == HTTP_PRI)
        return found(h, h->seen & WEIR_H1_BAD_LINE ? WEIR_FAULT_BAD_REQUEST_LINE
                                                   : WEIR_FAULT_BAD_VERSION);
    if (h->seen & WEIR_H1_BAD_LINE)
        return found(h, WEIR_FAULT_BAD_REQUEST_LINE);
    if (weir_h1_is_server(h) && h->cs.head->target.len > h->base.limits->target_bytes)
        return found(h, WEIR_FAULT_TARGET_TOO_LONG);
    h->cs.head->version = parser->http_minor ? WEIR_HTTP_11 : WEIR_HTTP_10;
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t len) {
    struct weir_h1 *h = of(parser);
    struct weir_head *head = head_of(h);
    if (h->span != WEIR_H1_NAME && weir_head_grow(head) < 0)
        return no_memory(h);
    return text_take(h, WEIR_H1_NAME, &head->fields[head->n_fields].name, at, len);
}

static int on_value(llhttp_t *parser, const char *at, size_t len) {
    struct weir_h1 *h = of(parser);
    struct weir_head *head = head_of(h);
    return text_take(h, WEIR_H1_VALUE, &head->fields[head->n_fields].value, at, len);
}

/* The one place where a field is complete, whatever way its bytes came. */
static int on_value_complete(llhttp_t *parser) {
    struct weir_h1 *h = of(parser);
    struct weir_head *head = head_of(h);
    struct weir_field *field = &head->fields[head->n_fields];
    bool keep;

    /* Fields behind a request line without a version: llhttp's HTTP/0.9. */
    if (!(h->seen & WEIR_H1_SAW_VERSION))
        return found(h, WEIR_FAULT_BAD_VERSION);
    /* llhttp leaves blanks at the end. */
    while (field->value.len > 0 && (field->value.ptr[field->value.len - 1] == ' ' ||
                                    field->value.ptr[field->value.len - 1] == '\t'))
        field->value.len--;
    h->span = WEIR_H1_NO_SPAN;
    field->id = (uint8_t)weir_field_id(field->name);
    field->dropped = false;
    if (h->state == WEIR_H1_TRAILERS)
        keep = weir_trailer_allowed(field->name);
    else if (weir_h1_field_check(h, head, field, &keep) < 0)
        return STOP;
    if (keep && head->n_fields >= h->base.limits->fields)
        return found(h, WEIR_FAULT_TOO_MANY_FIELDS);
    /* Both parts were cut: what own() copied and text_append() completed is not copied again. */
    if (keep && (h->text_owned & FIELD_OWNED) == FIELD_OWNED && h->n_owned == head->n_fields)
        h->n_owned++;
    head->n_fields += keep;
    return 0;
}

static int on_headers_complete(llhttp_t *parser) {
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_status = on_status,
    .on_version = on_version,
    .on_version_complete = on_version_complete,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
};

/* ---- driving it ---- */

static void parser_begin(struct weir_h1 *h) {
    if (!h->parser.settings)
        llhttp_init(&h->parser, weir_h1_is_server(h) ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    else
        llhttp_reset(&h->parser);
    h->parser.data = h;
    h->head_size = 0;
    h->mark = 0;
    h->span = WEIR_H1_NO_SPAN;
    h->text_owned = 0;
    h->n_owned = 0;
    h->seen = 0;
    h->found = WEIR_FAULT_NONE;
    h->no_memory = false;
}

void weir_h1_head_begin(struct weir_h1 *h) {
    struct weir_head *head = h->cs.head;
    struct weir_field *fields = head->fields;
    uint16_t cap = head->cap_fields;

    /* A 1xx head came before: its field array is used again. */
    weir_head_init(head, head->arena);
    if (h->informational > 0) {
        head->fields = fields;
        head->cap_fields = cap;
    }
    head->is_response = !weir_h1_is_server(h);
    parser_begin(h);
    h->state = WEIR_H1_HEAD;
}

int weir_h1_trailers_begin(struct weir_h1 *h) {
    struct weir_slice line =
        weir_h1_is_server(h) ? WEIR_SLICE("GET / HTTP/1.1\r\n") : WEIR_SLICE("HTTP/1.1 200 OK\r\n");
    struct weir_head *trailers = weir_arena_alloc(h->cs.head->arena, sizeof(*trailers));
    if (!trailers)
        return -ENOMEM;
    weir_head_init(trailers, h->cs.head->arena);
    trailers->is_response = !weir_h1_is_server(h);
    h->cs.trailers = trailers;
    parser_begin(h);
    h->state = WEIR_H1_TRAILERS;
    /* A field section has the same syntax wherever it stands; llhttp only needs a start line before
     * it. */
    h->fed = line.ptr;
    llhttp_execute(&h->parser, line.ptr, line.len);
    trailers->reason = WEIR_SLICE_NONE;
    h->span = WEIR_H1_NO_SPAN;
    return 0;
}

/* What llhttp found wrong, in our words. */
static enum weir_fault_kind kind_of(const struct weir_h1 *h, llhttp_errno_t e, const char *pos) {
    if (!weir_h1_is_server(h) && !(h->seen & WEIR_H1_SAW_VERSION) && e != HPE_INVALID_VERSION)
        return WEIR_FAULT_BAD_RESPONSE;
    switch (e) {
    case HPE_INVALID_METHOD:
        /* Judged by the bytes read so far, so that it does not matter how many were there. */
        return pos && weir_char_class[(unsigned char)*pos] & WEIR_CHAR_TOKEN
                   ? WEIR_FAULT_METHOD_UNKNOWN
                   : WEIR_FAULT_BAD_REQUEST_LINE;
    case HPE_INVALID_URL:
        return WEIR_FAULT_BAD_TARGET;
    case HPE_INVALID_CONSTANT:
        if (h->parser.method >= HTTP_DESCRIBE && h->parser.method <= HTTP_FLUSH)
            return WEIR_FAULT_METHOD_UNKNOWN;
        return WEIR_FAULT_BAD_VERSION;
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE:
        return WEIR_FAULT_BAD_VERSION;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
        return WEIR_FAULT_BAD_FRAMING;
    case HPE_INVALID_STATUS:
        return WEIR_FAULT_BAD_RESPONSE;
    default:
        return h->seen & WEIR_H1_SAW_VERSION ? WEIR_FAULT_BAD_FIELD : WEIR_FAULT_BAD_REQUEST_LINE;
    }
}

static int failed(struct weir_h1 *h, llhttp_errno_t e) {
    if (h->no_memory)
        return -ENOMEM;
    if (h->found == WEIR_FAULT_NONE)
        h->found = (uint8_t)kind_of(h, e, llhttp_get_error_pos(&h->parser));
    return -EPROTO;
}

static void tail_keep(struct weir_h1 *h, size_t len) {
    if (len >= WEIR_H1_TAIL) {
        memcpy(h->tail, h->fed + len - WEIR_H1_TAIL, WEIR_H1_TAIL);
        return;
    }
    memmove(h->tail, h->tail + len, WEIR_H1_TAIL - len);
    memcpy(h->tail + WEIR_H1_TAIL - len, h->fed, len);
}

int weir_h1_head_read(struct weir_h1 *h, const char **p, const char *end) {
    uint32_t limit = head_limit(h);
    size_t len = (size_t)(end - *p);
    if (len > limit - h->head_size)
        len = limit - h->head_size;
    if (len == 0) {
        h->found = weir_h1_is_server(h) && !(h->seen & WEIR_H1_SAW_VERSION)
                       ? WEIR_FAULT_TARGET_TOO_LONG
                       : WEIR_FAULT_HEAD_TOO_LARGE;
        return -EPROTO;
    }
    h->fed = *p;
    llhttp_errno_t e = llhttp_execute(&h->parser, *p, len);
    if (e == HPE_OK) {
        tail_keep(h, len);
        h->head_size += (uint32_t)len;
        *p += len;
        return weir_h1_head_own(h);
    }
    if (e != HPE_PAUSED)
        return failed(h, e);
    h->head_size += (uint32_t)(llhttp_get_error_pos(&h->parser) - *p);
    *p = llhttp_get_error_pos(&h->parser);
    return 1;
}
