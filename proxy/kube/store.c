/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/store.h"

#include <stdio.h>

#include "base/mem.h"

#define KEY_MAX 400

void weir_kube_store_init(struct weir_kube_store *s, const uint64_t seed[2]) {
    *s = (struct weir_kube_store){ 0 };
    weir_htab_init(&s->objects, seed);
    for (unsigned i = 0; i < WEIR_KUBE_KINDS; i++)
        weir_list_init(&s->kinds[i]);
}

void weir_kube_store_deinit(struct weir_kube_store *s) {
    for (unsigned i = 0; i < WEIR_KUBE_KINDS; i++)
        WEIR_LIST_FOREACH_SAFE (it, next, &s->kinds[i])
            weir_free(WEIR_KUBE_OBJECT(it));
    weir_htab_deinit(&s->objects);
}

static struct weir_slice key_of(char *buf, enum weir_kube_kind kind, const char *ns,
                                const char *name) {
    int n = snprintf(buf, KEY_MAX, "%s/%s/%s", weir_kube_resource(kind)->kind, ns, name);

    return n < 0 || n >= KEY_MAX ? WEIR_SLICE_NONE : weir_slice_make(buf, (size_t)n);
}

static struct weir_kube_object *find(const struct weir_kube_store *s, struct weir_slice key) {
    struct weir_hnode *node = key.ptr ? weir_htab_find(&s->objects, key) : NULL;

    return node ? WEIR_CONTAINER_OF(node, struct weir_kube_object, node) : NULL;
}

struct weir_kube_object *weir_kube_store_find(const struct weir_kube_store *s,
                                              enum weir_kube_kind kind, const char *ns,
                                              const char *name) {
    char buf[KEY_MAX];

    return find(s, key_of(buf, kind, ns, name));
}

static void take_out(struct weir_kube_store *s, struct weir_kube_object *o) {
    weir_htab_remove(&s->objects, &o->node);
    weir_list_unlink(&o->link);
    s->n[o->kind]--;
    s->bytes -= o->text_len;
}

/* Routes, and what they refer to. */
static void count(struct weir_kube_store *s, unsigned kind) {
    s->changes += kind == WEIR_KUBE_SERVICE || kind == WEIR_KUBE_HTTP_ROUTE ||
                  kind == WEIR_KUBE_GRPC_ROUTE || kind == WEIR_KUBE_GRANT;
}

static void drop(struct weir_kube_store *s, struct weir_kube_object *o) {
    take_out(s, o);
    count(s, o->kind);
    if (s->changed)
        s->changed(s->arg, o, NULL);
    weir_free(o);
}

/* Names, key and texts behind the struct. */
static struct weir_kube_object *object_new(struct weir_slice key, const char *ns,
                                           struct weir_slice text, struct weir_slice extra) {
    size_t n_ns = strlen(ns);
    struct weir_kube_object *o =
        weir_malloc(sizeof(*o) + key.len + 1 + n_ns + 1 + text.len + 1 + extra.len + 1);
    char *at;

    if (!o)
        return NULL;
    memset(o, 0, sizeof(*o));
    at = (char *)(o + 1);
    memcpy(at, key.ptr, key.len);
    at[key.len] = '\0';
    o->node.key = weir_slice_make(at, key.len);
    o->name = strrchr(at, '/') + 1;
    at += key.len + 1;
    memcpy(at, ns, n_ns + 1);
    o->ns = at;
    at += n_ns + 1;
    memcpy(at, text.ptr, text.len);
    at[text.len] = '\0';
    o->text = at;
    o->text_len = (uint32_t)text.len;
    at += text.len + 1;
    if (extra.len > 0)
        memcpy(at, extra.ptr, extra.len);
    at[extra.len] = '\0';
    o->extra = at;
    weir_list_init(&o->link);
    return o;
}

static int replace(struct weir_kube_store *s, struct weir_kube_object *old,
                   struct weir_kube_object *o) {
    int r;

    if (old)
        take_out(s, old);
    r = weir_htab_add(&s->objects, &o->node);
    if (r) { /* room for one more: nothing else can be */
        if (old && s->changed)
            s->changed(s->arg, old, NULL);
        weir_free(old);
        weir_free(o);
        return r;
    }
    weir_list_push_back(&s->kinds[o->kind], &o->link);
    s->n[o->kind]++;
    s->bytes += o->text_len;
    o->used = old && old->used;
    /* What was refused is so until the document changes; its status is not part of that. */
    if (old && strcmp(old->text, o->text) == 0)
        o->refused = old->refused;
    count(s, o->kind);
    if (s->changed)
        s->changed(s->arg, old, o);
    weir_free(old);
    return 0;
}

static int put_text(struct weir_kube_store *s, const struct weir_kube_put *how, const json_t *meta,
                    struct weir_slice text, struct weir_slice extra) {
    const char *ns = weir_kube_resource(how->kind)->cluster_scoped
                         ? ""
                         : weir_kube_text(meta, "namespace", NULL);
    const char *version = weir_kube_text(meta, "resourceVersion", NULL);
    uint64_t number = 0;
    char buf[KEY_MAX];
    struct weir_slice key = key_of(buf, how->kind, ns, weir_kube_text(meta, "name", NULL));
    struct weir_kube_object *old = find(s, key), *o;

    if (!key.ptr)
        return -EINVAL;
    (void)weir_slice_to_u64(weir_slice_from_str(version), &number);
    if (old && !how->listed && number && number < old->version)
        return 0;
    if (old && strcmp(old->text, text.ptr) == 0 && strcmp(old->extra, extra.ptr) == 0) {
        old->seen = how->seen;
        old->source = how->source;
        old->version = number;
        return 0;
    }
    o = object_new(key, ns, text, extra);
    if (!o)
        return -ENOMEM;
    o->kind = (uint8_t)how->kind;
    o->source = how->source;
    o->seen = how->seen;
    o->version = number;
    return replace(s, old, o);
}

/* {"generation": N, "parents": [...]} of a kind into whose status weir writes. NULL = no memory. */
static char *extra_of(enum weir_kube_kind kind, const json_t *object) {
    const json_t *parents = weir_kube_get(object, "status", "parents", NULL);
    const json_t *generation = weir_kube_get(object, "metadata", "generation", NULL);
    json_t *extra;
    char *text;

    if (!weir_kube_resource(kind)->status)
        return calloc(1, 1);
    extra = json_pack("{s:I, s:O*}", "generation", json_integer_value(generation), "parents",
                      (json_t *)parents);
    text = extra ? json_dumps(extra, JSON_COMPACT) : NULL;
    json_decref(extra);
    return text;
}

int weir_kube_store_put(struct weir_kube_store *s, const struct weir_kube_put *how,
                        const json_t *object, const char **ret_why) {
    json_t *pruned = weir_kube_prune(how->kind, how->own, object, ret_why);
    char *text, *extra;
    int r = -ENOMEM;

    if (!pruned)
        return *ret_why ? -EINVAL : -ENOMEM;
    text = json_dumps(pruned, JSON_COMPACT);
    extra = extra_of(how->kind, object);
    if (text && extra)
        r = put_text(s, how, json_object_get(object, "metadata"), weir_slice_from_str(text),
                     weir_slice_from_str(extra));
    *ret_why = r == -EINVAL ? "its name is longer than a name can be" : NULL;
    free(text);
    free(extra);
    json_decref(pruned);
    return r;
}

void weir_kube_store_delete(struct weir_kube_store *s, const struct weir_kube_put *how,
                            const json_t *object) {
    const json_t *meta = json_object_get(object, "metadata");
    const char *ns = weir_kube_resource(how->kind)->cluster_scoped
                         ? ""
                         : weir_kube_text(meta, "namespace", NULL);
    struct weir_kube_object *o =
        weir_kube_store_find(s, how->kind, ns, weir_kube_text(meta, "name", NULL));

    if (o && o->source == how->source)
        drop(s, o);
}

void weir_kube_store_sweep(struct weir_kube_store *s, const struct weir_kube_put *how) {
    WEIR_LIST_FOREACH_SAFE (it, next, &s->kinds[how->kind]) {
        struct weir_kube_object *o = WEIR_KUBE_OBJECT(it);

        if (o->source == how->source && o->seen != how->seen)
            drop(s, o);
    }
}
