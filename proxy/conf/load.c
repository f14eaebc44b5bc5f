/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML (hence JSON) text -> one tree per document, by libyaml's events. Owns the allowed subset:
 * UTF-8, plain scalars typed by the YAML 1.2 core schema, quoted ones always strings, no anchors or
 * aliases (so no document is larger than its text), no duplicate keys, bounded depth and number of
 * values. Knows nothing of Kubernetes: what a document means is the decoder's matter. libyaml
 * allocates by itself; its failure is reported as -ENOMEM like ours.
 */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "conf/node.h"
#include "conf/scalar.h"

#define MAX_DEPTH  100
#define MAX_NODES  (4U * 1000 * 1000) /* about 400 MiB */
#define TREE_BLOCK 65536

struct level {
    struct weir_node *node, *last; /* the open list or map and its newest child */
    const char *key;               /* waiting for its value */
    uint32_t key_line, key_col;
};

struct loader {
    const struct weir_load *params;
    struct weir_arena arena; /* of the current document's tree */
    yaml_parser_t parser;
    struct weir_node *root;
    struct level levels[MAX_DEPTH];
    uint32_t depth, n_nodes;
    bool stop; /* this text cannot be read further */
};

static int report(struct loader *l, yaml_mark_t mark, const char *fmt, ...) WEIR_PRINTF(3, 4);
static int report(struct loader *l, yaml_mark_t mark, const char *fmt, ...) {
    struct weir_problem_at at = {
        .severity = WEIR_SEVERITY_ERROR,
        .source = l->params->index,
        .place = { l->params->file, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1 },
        .field = "",
    };
    va_list ap;

    va_start(ap, fmt);
    int r = weir_problem_addv(l->params->problems, &at, fmt, ap);
    va_end(ap);
    return r;
}

/* A problem after which nothing that follows can be understood. */
#define REFUSE(l, mark, ...) ((l)->stop = true, report((l), (mark), __VA_ARGS__))

const struct weir_node *weir_node_get(const struct weir_node *n, const char *key) {
    if (n == NULL || n->type != WEIR_NODE_MAP) {
        return NULL;
    }
    WEIR_NODE_FOREACH(it, n) {
        if (strcmp(it->key, key) == 0) {
            return it;
        }
    }
    return NULL;
}

const char *weir_node_text(const struct weir_node *n, const char *key) {
    const struct weir_node *value = weir_node_get(n, key);

    return value && value->type == WEIR_NODE_STRING ? value->text : "";
}

const char *weir_node_type_name(const struct weir_node *n) {
    switch (n->type) {
    case WEIR_NODE_NULL:
        return "null";
    case WEIR_NODE_BOOL:
        return "a boolean";
    case WEIR_NODE_INT:
        return "an integer";
    case WEIR_NODE_FLOAT:
        return "a number";
    case WEIR_NODE_STRING:
        return "a string";
    case WEIR_NODE_LIST:
        return "a list";
    case WEIR_NODE_MAP:
        return "an object";
    }
    return "";
}

static int compare_keys(const void *va, const void *vb) {
    const struct weir_node *a = *(struct weir_node *const *)va, *b = *(struct weir_node *const *)vb;
    int r = strcmp(a->key, b->key);

    if (r != 0) {
        return r;
    }
    if (a->key_line != b->key_line) {
        return a->key_line < b->key_line ? -1 : 1;
    }
    return a->key_col < b->key_col ? -1 : a->key_col > b->key_col;
}

/* Reports the members of a map, sorted, that repeat a key, and takes their key away. */
static int report_duplicates(struct loader *l, struct weir_node **sorted, uint32_t n,
                             bool *ret_any) {
    uint32_t first = 0;

    for (uint32_t i = 1; i < n; i++) {
        if (strcmp(sorted[first]->key, sorted[i]->key) != 0) {
            first = i;
            continue;
        }
        yaml_mark_t mark = { .line = sorted[i]->key_line - 1, .column = sorted[i]->key_col - 1 };
        int r = report(l, mark, "duplicate key \"%.64s\", first given on line %u", sorted[i]->key,
                       sorted[first]->key_line);
        if (r != 0) {
            return r;
        }
        sorted[i]->key = NULL;
        *ret_any = true;
    }
    return 0;
}

/* A decoder may rely on meeting each key once. */
static void remove_duplicates(struct weir_node *map) {
    struct weir_node **link = &map->first;

    while (*link != NULL) {
        if ((*link)->key == NULL) {
            *link = (*link)->next;
            map->n--;
        } else {
            link = &(*link)->next;
        }
    }
}

/* Sorted rather than hashed: no seed is needed to be safe against chosen keys. */
static int check_duplicates(struct loader *l, struct weir_node *map) {
    struct weir_node *few[16], **sorted = few;
    bool any = false;
    uint32_t n = 0;

    if (map->n > WEIR_ARRAY_LEN(few)) {
        sorted = weir_arena_calloc(&l->arena, map->n, sizeof(struct weir_node *));
        if (sorted == NULL) {
            return -ENOMEM;
        }
    }
    for (struct weir_node *it = map->first; it != NULL; it = it->next) {
        sorted[n++] = it;
    }
    qsort(sorted, n, sizeof(struct weir_node *), compare_keys);
    int r = report_duplicates(l, sorted, n, &any);
    if (any) {
        remove_duplicates(map);
    }
    return r;
}

/* A new value in its place in the tree; NULL with *ret_r set when there is no memory or too many
 * values. */
static struct weir_node *add_node(struct loader *l, yaml_mark_t mark, int *ret_r) {
    *ret_r = 0;
    if (++l->n_nodes > MAX_NODES) {
        *ret_r = REFUSE(l, mark, "the document has more than %u values", MAX_NODES);
        return NULL;
    }
    struct weir_node *n = weir_arena_calloc(&l->arena, 1, sizeof(*n));
    if (n == NULL) {
        *ret_r = -ENOMEM;
        return NULL;
    }
    n->line = (uint32_t)mark.line + 1;
    n->col = (uint32_t)mark.column + 1;
    if (l->depth == 0) {
        l->root = n;
        return n;
    }
    struct level *up = &l->levels[l->depth - 1];
    n->key = up->key;
    n->key_line = up->key_line;
    n->key_col = up->key_col;
    up->key = NULL;
    if (up->last != NULL) {
        up->last->next = n;
    } else {
        up->node->first = n;
    }
    up->last = n;
    up->node->n++;
    return n;
}

static bool awaits_key(const struct loader *l) {
    return l->depth > 0 && l->levels[l->depth - 1].node->type == WEIR_NODE_MAP &&
           l->levels[l->depth - 1].key == NULL;
}

static int check_subset(struct loader *l, const yaml_event_t *e, const yaml_char_t *anchor) {
    if (!l->params->share && (e->type == YAML_ALIAS_EVENT || anchor != NULL)) {
        return REFUSE(l, e->start_mark,
                      "YAML anchors and aliases are not accepted; write the value out");
    }
    return 0;
}

static int on_key(struct loader *l, const yaml_event_t *e, struct weir_slice text) {
    struct level *up = &l->levels[l->depth - 1];
    struct weir_slice key = weir_arena_dup(&l->arena, text);

    if (key.ptr == NULL) {
        return -ENOMEM;
    }
    up->key = key.ptr;
    up->key_line = (uint32_t)e->start_mark.line + 1;
    up->key_col = (uint32_t)e->start_mark.column + 1;
    return 0;
}

static int on_scalar(struct loader *l, const yaml_event_t *e) {
    struct weir_slice text = { (const char *)e->data.scalar.value, e->data.scalar.length };
    const char *tag = (const char *)e->data.scalar.tag;
    int r = check_subset(l, e, e->data.scalar.anchor);

    if (r != 0 || l->stop) {
        return r;
    }
    if (memchr(text.ptr, '\0', text.len) != NULL) {
        return REFUSE(l, e->start_mark, "a text may not contain the character NUL");
    }
    if (awaits_key(l)) {
        return on_key(l, e, text);
    }
    struct weir_node *n = add_node(l, e->start_mark, &r);
    if (n == NULL) {
        return r;
    }
    struct weir_slice copy = weir_arena_dup(&l->arena, text);
    if (copy.ptr == NULL) {
        return -ENOMEM;
    }
    n->text = copy.ptr;
    n->shared = e->data.scalar.anchor != NULL;
    if (!weir_scalar_resolve(n, e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE, tag)) {
        return report(l, e->start_mark, "the tag %.64s does not fit this value", tag);
    }
    return 0;
}

static int on_alias(struct loader *l, const yaml_event_t *e) {
    struct weir_node *n;
    int r = check_subset(l, e, NULL);

    if (r != 0 || l->stop) {
        return r;
    }
    if (awaits_key(l)) {
        return REFUSE(l, e->start_mark, "a key must be a string");
    }
    n = add_node(l, e->start_mark, &r);
    if (n != NULL) {
        n->type = WEIR_NODE_NULL;
        n->text = "";
        n->shared = true;
    }
    return r;
}

static int on_open(struct loader *l, const yaml_event_t *e, enum weir_node_type type) {
    bool map = type == WEIR_NODE_MAP;
    const char *tag = (const char *)(map ? e->data.mapping_start.tag : e->data.sequence_start.tag);
    int r = check_subset(l, e, map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor);

    if (r != 0 || l->stop) {
        return r;
    }
    if (tag != NULL && strcmp(tag, map ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq") != 0) {
        return REFUSE(l, e->start_mark, "the tag %.64s is not accepted here", tag);
    }
    if (awaits_key(l)) {
        return REFUSE(l, e->start_mark, "a key must be a string");
    }
    if (l->depth == MAX_DEPTH) {
        return REFUSE(l, e->start_mark, "nested deeper than %d levels", MAX_DEPTH);
    }
    struct weir_node *n = add_node(l, e->start_mark, &r);
    if (n == NULL) {
        return r;
    }
    n->type = type;
    n->shared = (map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor) != NULL;
    l->levels[l->depth++] = (struct level){ .node = n };
    return 0;
}

static int on_close(struct loader *l) {
    struct weir_node *n = l->levels[--l->depth].node;

    return n->type == WEIR_NODE_MAP ? check_duplicates(l, n) : 0;
}

static int on_document_end(struct loader *l) {
    struct weir_node *root = l->root;
    int r = 0;

    l->root = NULL;
    /* An empty document (a file that begins or ends with "---") says nothing. */
    if (root != NULL && root->type != WEIR_NODE_NULL) {
        r = l->params->fn(root, l->params->arg);
    }
    l->n_nodes = 0;
    weir_arena_reset(&l->arena);
    return r;
}

static int on_event(struct loader *l, const yaml_event_t *e) {
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(l, e);
    case YAML_ALIAS_EVENT:
        return on_alias(l, e);
    case YAML_MAPPING_START_EVENT:
        return on_open(l, e, WEIR_NODE_MAP);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(l, e, WEIR_NODE_LIST);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_close(l);
    case YAML_DOCUMENT_END_EVENT:
        return on_document_end(l);
    case YAML_STREAM_END_EVENT:
        l->stop = true;
        return 0;
    default:
        return 0;
    }
}

/* The byte order mark some editors write; libyaml would count it as a column. */
static struct weir_slice skip_mark(const struct weir_source *source) {
    static const char mark[] = "\xef\xbb\xbf";
    struct weir_slice text = { source->text, source->len };

    if (weir_slice_starts_with(text, weir_slice_make(mark, 3))) {
        text.ptr += 3;
        text.len -= 3;
    }
    return text;
}

/* libyaml gives only a byte offset for text it could not decode. */
static yaml_mark_t mark_of_offset(struct weir_slice text, size_t offset) {
    yaml_mark_t mark = { 0 };

    for (size_t i = 0; i < offset && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '\n') {
            mark.line++;
            mark.column = 0;
        } else if ((c & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static int report_syntax(struct loader *l) {
    const yaml_parser_t *p = &l->parser;
    const char *problem = p->problem != NULL ? p->problem : "syntax error";

    if (p->error == YAML_MEMORY_ERROR) {
        return -ENOMEM;
    }
    if (p->error == YAML_READER_ERROR) {
        return REFUSE(l, mark_of_offset(skip_mark(l->params->source), p->problem_offset),
                      "not UTF-8 text: %s", problem);
    }
    if (p->context != NULL) {
        return REFUSE(l, p->problem_mark, "%s (%s that begins on line %u)", problem, p->context,
                      (unsigned)p->context_mark.line + 1);
    }
    return REFUSE(l, p->problem_mark, "%s", problem);
}

int weir_load(const struct weir_load *params) {
    struct loader l = { .params = params };
    yaml_event_t event;
    int r = 0;

    if (!yaml_parser_initialize(&l.parser)) {
        return -ENOMEM;
    }
    weir_arena_init(&l.arena, TREE_BLOCK);
    yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
    struct weir_slice text = skip_mark(params->source);
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)text.ptr, text.len);
    while (r == 0 && !l.stop) {
        if (!yaml_parser_parse(&l.parser, &event)) {
            r = report_syntax(&l);
            break;
        }
        r = on_event(&l, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&l.parser);
    weir_arena_deinit(&l.arena);
    return r;
}
