/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs what HTTP/2 cannot say of an HTTP/1 head and puts it back. Names are the bulk of it: nearly every client spells
 * them all in one of two styles, so the style is said once and only the others are listed, in the order of the fields, so
 * that a name that stands twice keeps both spellings.
 */
#include "http/carry.h"

#include "http/status.h"
#include "http/uri.h"

#define NAMES_MAX 2048u /* bytes of names that follow no style; the rest takes the style */

/* Bits: which style a name follows. Without letters it follows both. */
enum { TITLE = 1, LOWER = 2 };

static unsigned styles_of(struct weir_slice name) {
    unsigned styles = TITLE | LOWER;
    bool first = true;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';

        if (upper)
            styles &= first ? TITLE : 0u;
        else if (lower && first)
            styles &= LOWER;
        first = c == '-';
    }
    return styles;
}

/* Added on the way, in lower case: not worth a word. */
static bool is_ours(const struct weir_field *field, unsigned styles) {
    switch (field->id) {
    case WEIR_FIELD_X_FORWARDED_FOR:
    case WEIR_FIELD_X_FORWARDED_PROTO:
    case WEIR_FIELD_X_FORWARDED_CLIENT_CERT:
    case WEIR_FIELD_X_REQUEST_ID:
        return styles & LOWER;
    default:
        return false;
    }
}

/* Is it passed on as a field of its own? */
static bool travels(const struct weir_field *field) {
    switch (field->id) {
    case WEIR_FIELD_HOST:
    case WEIR_FIELD_UPGRADE:
    case WEIR_FIELD_X_WEIR_H1:
        return false;
    default:
        return !field->dropped;
    }
}

/* The style that leaves the fewer names to list; *ret_bytes of them. */
static unsigned style_of(const struct weir_head *head, size_t *ret_bytes) {
    size_t title = 0, lower = 0;

    for (uint16_t i = 0; i < head->n_fields; i++) {
        const struct weir_field *field = &head->fields[i];
        unsigned styles = styles_of(field->name);

        if (!travels(field) || is_ours(field, styles))
            continue;
        title += styles & TITLE ? 0 : field->name.len + 1;
        lower += styles & LOWER ? 0 : field->name.len + 1;
    }
    *ret_bytes = lower < title ? lower : title;
    return lower < title ? LOWER : TITLE;
}

/* More than is_listed() can ask for, when so many bytes of names follow no style. */
static size_t names_room(const struct weir_head *head, size_t bytes) {
    size_t room = 0;

    for (uint16_t i = 0; bytes && i < head->n_fields; i++)
        room += head->fields[i].name.len + 1;
    return room < NAMES_MAX ? room : NAMES_MAX;
}

static char *put(char *p, struct weir_slice s) {
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return p + s.len;
}

/*
 * Must this field's name be listed? One that follows no style, and one before such a one that is the same but for its
 * case: the other end would give it the spelling of that.
 */
static bool is_listed(const struct weir_head *head, uint16_t i, unsigned style) {
    const struct weir_field *field = &head->fields[i];
    unsigned styles = styles_of(field->name);

    if (!travels(field) || is_ours(field, styles))
        return false;
    if (!(styles & style))
        return true;
    for (uint16_t k = (uint16_t)(i + 1); k < head->n_fields; k++)
        if (head->fields[k].name.len == field->name.len && travels(&head->fields[k]) &&
            !(styles_of(head->fields[k].name) & style) &&
            weir_slice_ieq(head->fields[k].name, field->name))
            return true;
    return false;
}

static char *put_names(char *p, const struct weir_head *head, unsigned style) {
    const char *start = p;

    for (uint16_t i = 0; i < head->n_fields; i++) {
        const struct weir_field *field = &head->fields[i];

        if (!is_listed(head, i, style))
            continue;
        if ((size_t)(p - start) + field->name.len + 1 > NAMES_MAX)
            break;
        *p++ = ',';
        p = put(p, field->name);
    }
    return p;
}

int weir_carry_pack(const struct weir_head *head, bool not_switched, struct weir_slice *ret_value) {
    struct weir_slice usual = weir_status_reason(head->status), reason = WEIR_SLICE_NONE;
    bool odd_method = !head->is_response && head->wants_upgrade && head->method != WEIR_METHOD_GET;
    size_t bytes;
    unsigned style = style_of(head, &bytes);
    char *value, *p;

    if (head->is_response && !weir_slice_eq(head->reason, usual))
        reason = weir_slice_trim(head->reason);
    if (bytes == 0 && !not_switched && !odd_method && reason.len == 0 &&
        (head->is_response || head->authority.len) && head->version == WEIR_HTTP_11) {
        *ret_value = style == TITLE ? WEIR_SLICE("1t") : WEIR_SLICE("1l");
        return 0;
    }
    value = p = weir_arena_alloc(head->arena, names_room(head, bytes) + reason.len +
                                                  (odd_method ? head->method_name.len : 0) + 8);
    if (!value)
        return -ENOMEM;
    *p++ = head->version == WEIR_HTTP_10 ? '0' : '1';
    *p++ = style == TITLE ? 't' : 'l';
    if (!head->is_response && head->authority.len == 0)
        *p++ = 'n';
    if (not_switched)
        *p++ = 'p';
    if (odd_method) {
        *p++ = ':';
        p = put(p, head->method_name);
    }
    p = put_names(p, head, style);
    if (reason.len) {
        *p++ = ';';
        p = put(p, reason);
    }
    *ret_value = weir_slice_make(value, (size_t)(p - value));
    return 0;
}

/* ---- and back ---- */

struct carried {
    bool http10, lower, no_host, not_switched;
    struct weir_slice method, names, reason; /* names: "A,B" */
};

/* Cuts off what stands before the first `c`; all of it when there is none. */
static struct weir_slice until(struct weir_slice *rest, char c) {
    size_t n = weir_slice_index(*rest, c);
    struct weir_slice part = weir_slice_make(rest->ptr, n);

    if (n < rest->len)
        n++;
    *rest = weir_slice_make(rest->ptr + n, rest->len - n);
    return part;
}

static bool parse(struct weir_slice value, struct carried *ret) {
    struct weir_slice rest = value, names, flags;

    if (value.len < 2 || (value.ptr[0] != '0' && value.ptr[0] != '1') ||
        (value.ptr[1] != 't' && value.ptr[1] != 'l'))
        return false;
    *ret = (struct carried){ .http10 = value.ptr[0] == '0', .lower = value.ptr[1] == 'l' };
    names = until(&rest, ';');
    ret->reason = rest;
    flags = until(&names, ',');
    ret->names = names;
    names = flags;
    flags = until(&names, ':');
    ret->method = names;
    for (size_t i = 2; i < flags.len; i++) {
        if (flags.ptr[i] == 'n')
            ret->no_host = true;
        else if (flags.ptr[i] == 'p')
            ret->not_switched = true;
        else
            return false;
    }
    return ret->method.len == 0 || weir_chars_are(ret->method, WEIR_CHAR_TOKEN);
}

/*
 * This field's spelling, if it is listed. Names that stand twice are told apart by their order; one whose field was moved
 * or lost on the way stays and does no harm.
 */
static bool listed(struct weir_slice *rest, struct weir_slice *name) {
    struct weir_slice ahead = *rest, spelling;
    bool next = true;

    for (; ahead.len; next = false) {
        spelling = until(&ahead, ',');
        if (!weir_slice_ieq(spelling, *name))
            continue;
        *name = spelling;
        if (next)
            *rest = ahead;
        return true;
    }
    return false;
}

static void title(char *to, struct weir_slice name) {
    bool first = true;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        to[i] = first && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        first = c == '-';
    }
}

static int restore_names(struct weir_head *head, const struct carried *c) {
    struct weir_slice rest = c->names;
    size_t bytes = 0;
    char *text = NULL;

    for (uint16_t i = 0; i < head->n_fields; i++)
        bytes += head->fields[i].name.len;
    if (!c->lower && bytes) {
        text = weir_arena_alloc(head->arena, bytes);
        if (!text)
            return -ENOMEM;
    }
    for (uint16_t i = 0; i < head->n_fields; i++) {
        struct weir_slice *name = &head->fields[i].name;

        if ((rest.len && listed(&rest, name)) || c->lower)
            continue;
        title(text, *name);
        name->ptr = text;
        text += name->len;
    }
    return 0;
}

static bool take(struct weir_head *head, struct carried *ret) {
    bool found = false;

    for (uint16_t i = 0; i < head->n_fields; i++) {
        struct weir_field *field = &head->fields[i];

        if (field->id != WEIR_FIELD_X_WEIR_H1 || field->dropped)
            continue;
        found = parse(field->value, ret);
        field->dropped = true;
    }
    return found;
}

int weir_carry_unpack(struct weir_head *head) {
    struct carried c;

    if (!take(head, &c))
        return 1;
    if (restore_names(head, &c) < 0)
        return -ENOMEM;
    head->version = c.http10 ? WEIR_HTTP_10 : WEIR_HTTP_11;
    if (head->is_response) {
        if (weir_chars_are(c.reason, WEIR_CHAR_VALUE))
            head->reason = c.reason;
        return 0;
    }
    if (c.no_host)
        head->authority = WEIR_SLICE_NONE;
    if (c.method.len && head->wants_upgrade) {
        head->method_name = c.method;
        head->method = (uint8_t)weir_method_id(c.method);
    }
    return 0;
}

bool weir_carry_not_switched(const struct weir_head *head) {
    const struct weir_field *field = weir_head_find_id(head, WEIR_FIELD_X_WEIR_H1);
    struct carried c;

    return field && parse(field->value, &c) && c.not_switched;
}
