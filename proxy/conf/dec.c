/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine under the decoders: walks an object by its table, keeps the field path, words the
 * messages. Knows tables and values, no resource. Every problem is added to the list and decoding
 * goes on, so that one run shows them all; only a lack of memory ends it.
 */
#include "conf/dec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/parse.h"
#include "conf/suggest.h"

#define FIELD_MAX 512

void weir_dec_enter(struct weir_dec *d, const char *key, uint32_t index) {
    if (d->depth < WEIR_DEC_DEPTH) {
        d->path[d->depth] = (struct weir_dec_step){ .key = key, .index = index };
    }
    d->depth++;
}

void weir_dec_leave(struct weir_dec *d) {
    d->depth--;
}

/* "spec.rules[0].matches[1].path"; a key that is not a plain word is quoted:
 * metadata.labels["a/b"]. */
static void format_path(const struct weir_dec *d, const char *last, char *buf, size_t size) {
    uint32_t depth = d->depth < WEIR_DEC_DEPTH ? d->depth : WEIR_DEC_DEPTH;
    size_t n = 0;

    buf[0] = '\0';
    for (uint32_t i = 0; i <= depth && n < size; i++) {
        struct weir_dec_step step = i < depth ? d->path[i] : (struct weir_dec_step){ .key = last };
        int len;
        if (i == depth && last == NULL) {
            break;
        }
        if (step.key == NULL) {
            len = snprintf(buf + n, size - n, "[%u]", step.index);
        } else if (strpbrk(step.key, "./ []\"") != NULL) {
            len = snprintf(buf + n, size - n, "[\"%.100s\"]", step.key);
        } else {
            len = snprintf(buf + n, size - n, "%s%.100s", n == 0 ? "" : ".", step.key);
        }
        n += (size_t)len;
    }
}

struct weir_place weir_dec_place(const struct weir_dec *d, const struct weir_node *n) {
    return (struct weir_place){ .file = d->file, .line = n->line, .col = n->col };
}

/* field is the caller's buffer of FIELD_MAX, filled with the current path and, when not NULL, key. */
static struct weir_problem_at problem_at(const struct weir_dec *d, const struct weir_node *n,
                                         const char *key, char *field) {
    format_path(d, key, field, FIELD_MAX);
    return (struct weir_problem_at){ .severity = WEIR_SEVERITY_ERROR,
                                     .source = d->source,
                                     .place = weir_dec_place(d, n),
                                     .field = field };
}

int weir_dec_error(struct weir_dec *d, const struct weir_node *n, const char *fmt, ...) {
    char field[FIELD_MAX];
    struct weir_problem_at at = problem_at(d, n, NULL, field);
    va_list ap;

    va_start(ap, fmt);
    int r = weir_problem_addv(d->problems, &at, fmt, ap);
    va_end(ap);
    return r;
}

int weir_dec_error_in(struct weir_dec *d, const struct weir_node *n, const char *key,
                      const char *fmt, ...) {
    const struct weir_node *member = weir_node_get(n, key);
    char field[FIELD_MAX];
    struct weir_problem_at at = problem_at(d, n, key, field);
    va_list ap;

    if (member != NULL) {
        at.place.line = member->key_line;
        at.place.col = member->key_col;
    }
    va_start(ap, fmt);
    int r = weir_problem_addv(d->problems, &at, fmt, ap);
    va_end(ap);
    return r;
}

const char *weir_dec_show(const struct weir_node *n, char *buf, size_t size) {
    if (n->text == NULL || n->type == WEIR_NODE_NULL) {
        return weir_node_type_name(n);
    }
    const char *quote = n->type == WEIR_NODE_STRING ? "\"" : "";
    snprintf(buf, size, "%s%.60s%s%s", quote, n->text, strlen(n->text) > 60 ? "..." : "", quote);
    return buf;
}

static const char *type_wanted(enum weir_node_type type) {
    switch (type) {
    case WEIR_NODE_BOOL:
        return "true or false";
    case WEIR_NODE_INT:
        return "an integer";
    case WEIR_NODE_STRING:
        return "a string";
    case WEIR_NODE_LIST:
        return "a list";
    case WEIR_NODE_MAP:
        return "an object";
    default:
        return "a value";
    }
}

bool weir_dec_expect(struct weir_dec *d, const struct weir_node *n, enum weir_node_type type,
                     int *ret_r) {
    *ret_r = 0;
    if (n->type == type) {
        return true;
    }
    if (n->text == NULL || n->type == WEIR_NODE_NULL) {
        *ret_r =
            weir_dec_error(d, n, "expected %s, not %s", type_wanted(type), weir_node_type_name(n));
        return false;
    }
    const char *hint = type == WEIR_NODE_STRING ? "; write it in quotes" : "";
    *ret_r = weir_dec_error(d, n, "expected %s, not %s %s%s", type_wanted(type),
                            weir_node_type_name(n), WEIR_SHOW(n), hint);
    return false;
}

static int unknown_field(struct weir_dec *d, const struct weir_node *n,
                         const struct weir_object *object) {
    char field[FIELD_MAX];
    struct weir_problem_at at = problem_at(d, n, n->key, field);
    struct weir_suggest suggest;

    at.place.line = n->key_line;
    at.place.col = n->key_col;
    weir_suggest_init(&suggest, n->key);
    /* Not for problems that are only counted: the comparison is by far the dearest part of one. */
    bool shown = d->problems->n_errors < WEIR_PROBLEMS_MAX;
    for (uint32_t i = 0; shown && i < object->n_fields; i++) {
        weir_suggest_offer(&suggest, object->fields[i].key);
    }
    if (suggest.best == NULL) {
        return weir_problem_add(d->problems, &at, "unknown field \"%.64s\"", n->key);
    }
    return weir_problem_add(d->problems, &at, "unknown field \"%.64s\"; did you mean \"%s\"?",
                            n->key, suggest.best);
}

/* "Absent" as an API server writes it: null, or an empty list or object. */
static bool says_nothing(const struct weir_node *n) {
    return n->type == WEIR_NODE_NULL ||
           ((n->type == WEIR_NODE_LIST || n->type == WEIR_NODE_MAP) && n->n == 0);
}

static int decode_field(struct weir_dec *d, const struct weir_node *n, const struct weir_field *f,
                        void *out) {
    int r;

    if (f->use == WEIR_FIELD_NO_EFFECT) {
        return 0;
    }
    weir_dec_enter(d, f->key, 0);
    if (f->use == WEIR_FIELD_UNSUPPORTED) {
        r = says_nothing(n) ? 0 : weir_dec_error(d, n, "not supported by this version");
    } else if (f->elem_size != 0) {
        r = f->fn != NULL ? weir_dec_list(d, n, f, out) : weir_dec_strings(d, n, f, out);
    } else {
        r = f->fn(d, n, (char *)out + f->offset);
    }
    weir_dec_leave(d);
    return r;
}

static const struct weir_field *find_field(const struct weir_object *object, const char *key) {
    for (uint32_t i = 0; i < object->n_fields; i++) {
        if (strcmp(object->fields[i].key, key) == 0) {
            return &object->fields[i];
        }
    }
    return NULL;
}

static int check_required(struct weir_dec *d, const struct weir_node *n,
                          const struct weir_object *object) {
    for (uint32_t i = 0; i < object->n_fields; i++) {
        const struct weir_field *f = &object->fields[i];
        if (!f->required) {
            continue;
        }
        const struct weir_node *member = weir_node_get(n, f->key);
        if (member != NULL && member->type != WEIR_NODE_NULL) {
            continue;
        }
        int r = weir_dec_error_in(d, n, f->key, "required, but not given");
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int weir_dec_object(struct weir_dec *d, const struct weir_node *n, const struct weir_object *object,
                    void *out) {
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_MAP, &r)) {
        return r;
    }
    WEIR_NODE_FOREACH(it, n) {
        const struct weir_field *f = find_field(object, it->key);
        if (f == NULL) {
            r = object->lenient ? 0 : unknown_field(d, it, object);
        } else if (it->type != WEIR_NODE_NULL) {
            r = decode_field(d, it, f, out);
        }
        if (r != 0) {
            return r;
        }
    }
    return check_required(d, n, object);
}

/* Memory for the n elements, zeroed, hooked into *out. */
static int new_list(struct weir_dec *d, const struct weir_node *n, const struct weir_field *f,
                    char *out, char **ret_items) {
    char *items = NULL;

    if (n->n > 0) {
        items = weir_arena_calloc(d->arena, n->n, f->elem_size);
        if (items == NULL) {
            return -ENOMEM;
        }
    }
    memcpy(out + f->offset, &items, sizeof(items));
    memcpy(out + f->n_offset, &n->n, sizeof(n->n));
    *ret_items = items;
    return 0;
}

int weir_dec_list(struct weir_dec *d, const struct weir_node *n, const struct weir_field *f,
                  void *out) {
    uint32_t i = 0;
    char *items;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_LIST, &r)) {
        return r;
    }
    r = new_list(d, n, f, out, &items);
    WEIR_NODE_FOREACH(it, n) {
        if (r != 0) {
            break;
        }
        weir_dec_enter(d, NULL, i);
        /* Null would silently mean "all defaults", which in a policy is "everything". */
        if (it->type == WEIR_NODE_NULL) {
            r = weir_dec_error(d, it, "an element of a list may not be null");
        } else {
            r = f->fn(d, it, items + (size_t)i * f->elem_size);
        }
        weir_dec_leave(d);
        i++;
    }
    return r;
}

int weir_dec_copy(struct weir_dec *d, const char *text, const char **ret_copy) {
    if (text[0] == '\0') {
        *ret_copy = "";
        return 0;
    }
    struct weir_slice copy = weir_arena_dup(d->arena, weir_slice_from_str(text));
    if (copy.ptr == NULL) {
        return -ENOMEM;
    }
    *ret_copy = copy.ptr;
    return 0;
}

int weir_dec_strings(struct weir_dec *d, const struct weir_node *n, const struct weir_field *f,
                     void *out) {
    char *items;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_MAP, &r)) {
        return r;
    }
    r = new_list(d, n, f, out, &items);
    struct weir_kv *kv = (struct weir_kv *)(void *)items;
    WEIR_NODE_FOREACH(it, n) {
        if (r != 0) {
            break;
        }
        kv->value = "";
        r = weir_dec_copy(d, it->key, &kv->key);
        if (r == 0) {
            weir_dec_enter(d, it->key, 0);
            r = weir_dec_string(d, it, &kv->value);
            weir_dec_leave(d);
        }
        kv++;
    }
    return r;
}

int weir_dec_nothing(struct weir_dec *d, const struct weir_node *n, void *out) {
    return 0;
}

int weir_dec_string(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    return weir_dec_copy(d, n->text, out);
}

int weir_dec_bool(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r;

    if (weir_dec_expect(d, n, WEIR_NODE_BOOL, &r)) {
        *(bool *)out = n->truth;
    }
    return r;
}

int weir_dec_int(struct weir_dec *d, const struct weir_node *n, int64_t min, int64_t max,
                 int64_t *ret_value) {
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_INT, &r)) {
        return r;
    }
    if (n->ambiguous) {
        return weir_dec_error(
            d, n, "%s has a leading zero, which YAML 1.1 reads as octal; leave the zero out",
            WEIR_SHOW(n));
    }
    if (n->number < min || n->number > max) {
        return weir_dec_error(d, n, "%s is out of range; expected %" PRId64 " to %" PRId64,
                              WEIR_SHOW(n), min, max);
    }
    *ret_value = n->number;
    return 0;
}

int weir_dec_port(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = *(uint16_t *)out;
    int r = weir_dec_int(d, n, 1, 65535, &value);

    *(uint16_t *)out = (uint16_t)value;
    return r;
}

int weir_dec_duration(struct weir_dec *d, const struct weir_node *n, void *out) {
    /* A bare number is the likely slip, so one message says it all. */
    if (n->type != WEIR_NODE_STRING || weir_parse_duration(n->text, out) != 0) {
        return weir_dec_error(
            d, n, "%s is not a duration; expected something like \"10s\", \"1m30s\" or \"500ms\"",
            WEIR_SHOW(n));
    }
    return 0;
}

int weir_dec_ip(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (weir_parse_ip(n->text, out) != 0) {
        return weir_dec_error(d, n, "%s is not an IP address", WEIR_SHOW(n));
    }
    return 0;
}

int weir_dec_cidr(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (weir_parse_cidr(n->text, out) != 0) {
        return weir_dec_error(d, n,
                              "%s is not an address range; expected something like \"10.0.0.0/8\"",
                              WEIR_SHOW(n));
    }
    return 0;
}

int weir_dec_word(struct weir_dec *d, const struct weir_node *n, const char *const *words,
                  unsigned *ret_index) {
    char list[256] = "";
    size_t len = 0;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], n->text) == 0) {
            *ret_index = i;
            return 0;
        }
        const char *join = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
        if (len < sizeof(list)) {
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", join, words[i]);
        }
    }
    return weir_dec_error(d, n, "unknown value %s; expected %s", WEIR_SHOW(n), list);
}
