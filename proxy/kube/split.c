/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/split.h"

#include "base/mem.h"

/*
 * START      before the list's object, or between documents of a stream
 * MEMBER     behind '{' or ',': a key, or '}'
 * KEY        within a key
 * COLON      behind it
 * VALUE      before a member's value
 * ELEMENT    behind '[' or ',' of items: an element, or ']'
 * WITHIN     inside of a value that is gathered
 * NEXT       behind a member: ',' or '}'
 * NEXT_ITEM  behind an element: ',' or ']'
 * DONE       behind the list's object
 */
enum { START, MEMBER, KEY, COLON, VALUE, ELEMENT, WITHIN, NEXT, NEXT_ITEM, DONE };

#define KEEP_BYTES 65536u /* of the buffer, from one value to the next */

void weir_kube_split_init(struct weir_kube_split *s, bool stream, weir_kube_value_fn *fn,
                          void *arg) {
    *s = (struct weir_kube_split){ .fn = fn, .arg = arg, .stream = stream };
}

void weir_kube_split_deinit(struct weir_kube_split *s) {
    s->buf = weir_free(s->buf);
    s->len = s->cap = 0;
}

bool weir_kube_split_whole(const struct weir_kube_split *s) {
    return s->state == (s->stream ? START : DONE);
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static int push(struct weir_kube_split *s, char c) {
    if (s->len == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 4096;
        char *buf;

        if (s->len >= WEIR_KUBE_VALUE_MAX)
            return -EFBIG;
        buf = weir_reallocarray(s->buf, cap, 1);
        if (!buf)
            return -ENOMEM;
        s->buf = buf;
        s->cap = cap;
    }
    s->buf[s->len++] = c;
    return 0;
}

static int deliver(struct weir_kube_split *s) {
    int r = s->fn(s->arg, s->key, weir_slice_make(s->buf, s->len));

    s->len = 0;
    if (s->cap > KEEP_BYTES)
        weir_kube_split_deinit(s);
    s->state = s->stream ? START : s->in_list ? NEXT_ITEM : NEXT;
    return r;
}

static int begin(struct weir_kube_split *s, char c) {
    s->depth = c == '{' || c == '[';
    s->in_string = c == '"';
    s->escaped = false;
    s->scalar = !s->depth && !s->in_string;
    s->state = WITHIN;
    if (s->scalar && (c == ',' || c == '}' || c == ']' || c == ':'))
        return -EBADMSG;
    return push(s, c);
}

/* Takes c into the value, and ends it where it ends. *ret_again: c belongs to what follows. */
static int within(struct weir_kube_split *s, char c, bool *ret_again) {
    int r;

    if (s->scalar && (c == ',' || c == '}' || c == ']' || is_space(c))) {
        *ret_again = true;
        return deliver(s);
    }
    r = push(s, c);
    if (r)
        return r;
    if (s->in_string) {
        bool quote = c == '"' && !s->escaped;

        s->escaped = c == '\\' && !s->escaped;
        s->in_string = !quote;
        return quote && s->depth == 0 ? deliver(s) : 0;
    }
    if (c == '"')
        s->in_string = true;
    else if (c == '{' || c == '[')
        s->depth++;
    else if ((c == '}' || c == ']') && --s->depth == 0)
        return deliver(s);
    return 0;
}

static int key_char(struct weir_kube_split *s, char c) {
    if (c == '"' && !s->escaped) {
        s->key[s->key_len < sizeof(s->key) ? s->key_len : sizeof(s->key) - 1] = '\0';
        s->state = COLON;
        return 0;
    }
    s->escaped = c == '\\' && !s->escaped;
    if (s->key_len < sizeof(s->key) - 1)
        s->key[s->key_len++] = c;
    return 0;
}

static int value_begins(struct weir_kube_split *s, char c) {
    if (c == '[' && strcmp(s->key, "items") == 0) {
        s->in_list = true;
        s->state = ELEMENT;
        return 0;
    }
    return begin(s, c);
}

/* Between values: one character that is not a blank. */
static int between(struct weir_kube_split *s, char c) {
    switch (s->state) {
    case START:
        if (c != '{')
            return -EBADMSG;
        if (s->stream)
            return begin(s, c);
        s->state = MEMBER;
        return 0;
    case MEMBER:
    case NEXT:
        if (c == '}') {
            s->state = DONE;
            return 0;
        }
        if (s->state == NEXT) {
            s->state = MEMBER;
            return c == ',' ? 0 : -EBADMSG;
        }
        s->key_len = 0;
        s->escaped = false;
        s->state = KEY;
        return c == '"' ? 0 : -EBADMSG;
    case COLON:
        s->state = VALUE;
        return c == ':' ? 0 : -EBADMSG;
    case VALUE:
        return value_begins(s, c);
    case ELEMENT:
    case NEXT_ITEM:
        if (c == ']') {
            s->in_list = false;
            s->state = NEXT;
            return 0;
        }
        if (s->state == ELEMENT)
            return begin(s, c);
        s->state = ELEMENT;
        return c == ',' ? 0 : -EBADMSG;
    default:
        return -EBADMSG;
    }
}

static int take(struct weir_kube_split *s, char c) {
    if (s->state == WITHIN) {
        bool again = false;
        int r = within(s, c, &again);

        return r == 0 && again && !is_space(c) ? between(s, c) : r;
    }
    if (s->state == KEY)
        return key_char(s, c);
    return is_space(c) ? 0 : between(s, c);
}

int weir_kube_split_feed(struct weir_kube_split *s, struct weir_slice bytes) {
    int r = 0;

    for (size_t i = 0; r == 0 && i < bytes.len; i++)
        r = take(s, bytes.ptr[i]);
    return r;
}
