/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits on the text itself, so that comments, order and quoting of everything else stay. A block
 * collection is told from a flow one ({...}, [...], hence JSON) by its first character. Additions stand in
 * front of the first child and end with its indentation; a removal takes the same away again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "inject/inject_internal.h"

struct text {
    const char *s;
    size_t len;
    size_t *lines; /* offset of each */
    size_t n_lines;
};

/* Replace [at, end) by `put`. */
struct splice {
    size_t at, end;
    struct weir_text_buf put;
};

struct weir_editor {
    struct text text;
    struct splice *splices;
    size_t n, cap;
};

/* ---- places ---- */

/* Bytes of the line break at i as YAML 1.1 knows them (5.4), 0 = none: LF, CR, CRLF, NEL, LS and PS. */
static size_t break_at(const struct text *t, size_t i) {
    static const char *const breaks[] = { "\r\n",     "\r",           "\n",
                                          "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9" };

    for (size_t k = 0; k < WEIR_ARRAY_LEN(breaks); k++) {
        size_t n = strlen(breaks[k]);

        if (n <= t->len - i && memcmp(t->s + i, breaks[k], n) == 0)
            return n;
    }
    return 0;
}

static int find_lines(struct text *t) {
    size_t n = 1, step;

    for (size_t i = 0; i < t->len; i += step ? step : 1)
        n += (step = break_at(t, i)) > 0;
    t->lines = weir_calloc(n, sizeof(*t->lines));
    if (!t->lines)
        return -ENOMEM;
    t->lines[0] = t->len >= 3 && memcmp(t->s, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    t->n_lines = 1;
    for (size_t i = 0; i < t->len; i += step ? step : 1)
        if ((step = break_at(t, i)) > 0)
            t->lines[t->n_lines++] = i + step;
    return 0;
}

/* Columns count characters, from 1. */
static size_t offset_of(const struct text *t, uint32_t line, uint32_t col) {
    size_t i = line - 1 < t->n_lines ? t->lines[line - 1] : t->len;

    for (; i < t->len && col > 1; col--)
        for (i++; i < t->len && ((unsigned char)t->s[i] & 0xc0) == 0x80;)
            i++;
    return i;
}

static size_t value_at(const struct text *t, const struct weir_node *n) {
    return offset_of(t, n->line, n->col);
}

static bool is_flow(const struct text *t, const struct weir_node *n) {
    size_t at = value_at(t, n);

    return at < t->len && (t->s[at] == '{' || t->s[at] == '[');
}

static size_t line_of(const struct text *t, size_t at) {
    while (at > t->lines[0] && t->s[at - 1] != '\n')
        at--;
    return at;
}

/* Only spaces between the line's start and there. */
static bool begins_line(const struct text *t, size_t at) {
    while (at > t->lines[0] && t->s[at - 1] == ' ')
        at--;
    return at == t->lines[0] || t->s[at - 1] == '\n';
}

/* Where a child is written: its key, or the dash of an element of a block list. */
static size_t child_at(const struct text *t, const struct weir_node *parent,
                       const struct weir_node *child) {
    if (parent->type == WEIR_NODE_MAP)
        return offset_of(t, child->key_line, child->key_col);
    if (is_flow(t, parent))
        return value_at(t, child);
    /* All dashes of a list stand in one column, above or left of their values. */
    for (uint32_t line = child->line; line >= parent->line; line--) {
        size_t at = offset_of(t, line, parent->col);

        if (at < t->len && t->s[at] == '-' && at <= value_at(t, child))
            return at;
    }
    return value_at(t, parent);
}

/* The end of the line, or of the text. */
static size_t line_end(const struct text *t, size_t at) {
    while (at < t->len && t->s[at] != '\n')
        at++;
    return at < t->len ? at + 1 : t->len;
}

static size_t spaces(const struct text *t, size_t at) {
    size_t n = 0;

    while (at + n < t->len && t->s[at + n] == ' ')
        n++;
    return n;
}

static bool is_blank_or_comment(const struct text *t, size_t line) {
    size_t at = line + spaces(t, line);

    return at >= t->len || t->s[at] == '\n' || t->s[at] == '\r' || t->s[at] == '#';
}

/*
 * Behind the last line of a block child whose key or dash stands at `at` in column `col`: all that is
 * indented more, and, below a key, a list with its dashes in the key's own column. Blank lines and
 * comments at the end belong to what follows.
 */
static size_t block_end(const struct text *t, size_t at, uint32_t col, bool list_below) {
    size_t end = line_end(t, at);

    for (size_t line = end; line < t->len; line = line_end(t, line)) {
        size_t n = spaces(t, line);
        bool dash = list_below && n + 1 == col && line + n < t->len && t->s[line + n] == '-' &&
                    line + n + 1 < t->len && strchr(" \r\n", t->s[line + n + 1]);

        if (is_blank_or_comment(t, line))
            continue;
        if (n < col && !dash)
            break;
        end = line_end(t, line);
    }
    return end;
}

/* Behind a flow value that begins at `at`: the comma or bracket that follows it. */
static size_t flow_end(const struct text *t, size_t at) {
    unsigned depth = 0;
    char quote = '\0';

    for (; at < t->len; at++) {
        char c = t->s[at];

        if (quote) {
            if (quote == '"' && c == '\\')
                at++;
            else if (c == quote)
                quote = '\0';
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
        } else if (c == ',' && depth == 0) {
            return at;
        }
    }
    return t->len;
}

/* ---- what is put where ---- */

static void put_json(struct weir_text_buf *b, const json_t *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY);

    if (text)
        weir_text_adds(b, text);
    else
        b->failed = true;
    free(text);
}

/* `more`: another addition to the same collection follows. */
static void add_to_flow(const struct text *t, const struct weir_edit *e, bool more,
                        struct splice *s) {
    const struct weir_node *first = e->parent->first;

    s->at = first ? child_at(t, e->parent, first) : value_at(t, e->parent) + 1;
    s->end = s->at;
    if (e->key) {
        weir_text_adds(&s->put, "\"");
        weir_text_adds(&s->put, e->key);
        weir_text_adds(&s->put, "\": ");
    }
    put_json(&s->put, e->value);
    if (!first && !more)
        return;
    weir_text_adds(&s->put, ",");
    if (first && begins_line(t, s->at))
        weir_text_break(&s->put, s->at - line_of(t, s->at));
    else
        weir_text_adds(&s->put, " ");
}

static void add_to_block(const struct text *t, const struct weir_edit *e, struct splice *s) {
    const struct weir_node *first = e->parent->first;
    unsigned indent = (e->key ? first->key_col : e->parent->col) - 1;

    s->at = s->end = child_at(t, e->parent, first);
    if (e->key) {
        weir_yaml_member(&s->put, e->key, e->value, indent);
    } else {
        weir_text_adds(&s->put, "- ");
        weir_yaml_value(&s->put, e->value, indent + 2);
    }
    weir_text_break(&s->put, indent);
}

/* In place of "null", "~" or nothing. */
static void replace_null(const struct text *t, const struct weir_edit *e, struct splice *s) {
    s->at = value_at(t, e->old);
    s->end = s->at + strlen(e->old->text);
    if (s->at > 0 && t->s[s->at - 1] == ':')
        weir_text_adds(&s->put, " ");
    put_json(&s->put, e->value);
}

static void remove_from_flow(const struct text *t, const struct weir_edit *e, struct splice *s) {
    s->at = child_at(t, e->parent, e->old);
    if (e->old->next) {
        s->end = child_at(t, e->parent, e->old->next);
        return;
    }
    s->end = flow_end(t, e->key ? offset_of(t, e->old->line, e->old->col) : s->at);
    while (s->at > 0 && strchr(" \t\r\n", t->s[s->at - 1]))
        s->at--;
    if (s->at > 0 && t->s[s->at - 1] == ',')
        s->at--;
}

static void remove_from_block(const struct text *t, const struct weir_edit *e, struct splice *s) {
    uint32_t col = e->key ? e->old->key_col : e->parent->col;

    s->at = child_at(t, e->parent, e->old);
    if (!begins_line(t, s->at)) {
        /* Behind the dash of a list: what follows moves up. */
        s->end = e->old->next ? child_at(t, e->parent, e->old->next) : line_end(t, s->at);
        return;
    }
    s->end = block_end(t, s->at, col, e->key && e->old->type == WEIR_NODE_LIST);
    s->at = line_of(t, s->at);
}

static void make_splice(const struct text *t, const struct weir_edit *e, bool more,
                        struct splice *s) {
    if (!e->value && is_flow(t, e->parent))
        remove_from_flow(t, e, s);
    else if (!e->value)
        remove_from_block(t, e, s);
    else if (e->old)
        replace_null(t, e, s);
    else if (is_flow(t, e->parent))
        add_to_flow(t, e, more, s);
    else
        add_to_block(t, e, s);
}

struct weir_editor *weir_editor_free(struct weir_editor *ed) {
    if (!ed)
        return NULL;
    for (size_t i = 0; i < ed->n; i++)
        weir_free(ed->splices[i].put.s);
    weir_free(ed->splices);
    weir_free(ed->text.lines);
    return weir_free(ed);
}

struct weir_editor *weir_editor_new(struct weir_slice text) {
    struct weir_editor *ed = weir_calloc(1, sizeof(*ed));

    if (!ed)
        return NULL;
    ed->text.s = text.ptr;
    ed->text.len = text.len;
    return find_lines(&ed->text) < 0 ? weir_editor_free(ed) : ed;
}

int weir_editor_take(struct weir_editor *ed, const struct weir_edit *edits, size_t n) {
    if (n > ed->cap - ed->n) {
        size_t cap = (ed->n + n) * 2;
        struct splice *grown = weir_reallocarray(ed->splices, cap, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        ed->splices = grown;
        ed->cap = cap;
    }
    for (size_t i = 0; i < n; i++) {
        struct splice *s = &ed->splices[ed->n++];

        bool more = i + 1 < n && edits[i + 1].value && edits[i + 1].parent == edits[i].parent;

        *s = (struct splice){ 0 };
        make_splice(&ed->text, &edits[i], more, s);
        if (s->put.failed)
            return -ENOMEM;
    }
    return 0;
}

/* In order of place; of the same place in the order of the edits. They come nearly sorted. */
static void sort(struct splice *splices, size_t n) {
    for (size_t i = 1; i < n; i++) {
        struct splice s = splices[i];
        size_t k = i;

        for (; k > 0 && splices[k - 1].at > s.at; k--)
            splices[k] = splices[k - 1];
        splices[k] = s;
    }
}

int weir_editor_finish(struct weir_editor *ed, char **ret_text) {
    struct text *t = &ed->text;
    struct weir_text_buf out = { 0 };
    size_t at = 0;

    sort(ed->splices, ed->n);
    for (size_t i = 0; i < ed->n; i++) {
        const struct splice *s = &ed->splices[i];

        if (s->at > at)
            weir_text_add(&out, weir_slice_make(t->s + at, s->at - at));
        weir_text_add(&out, weir_slice_make(s->put.s, s->put.len));
        if (s->end > at)
            at = s->end;
    }
    weir_text_add(&out, weir_slice_make(t->s + at, t->len - at));
    if (out.failed) {
        weir_free(out.s);
        return -ENOMEM;
    }
    *ret_text = out.s;
    return 0;
}
