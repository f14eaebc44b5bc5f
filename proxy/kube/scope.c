/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/scope.h"

#include <stdio.h>

#include "base/mem.h"
#include "conf/snapshot.h"

#define NAME_MAX_ 400
#define MESH_NS   "weir-system" /* whose policies hold for all */

struct entry {
    struct weir_hnode node;
    struct weir_list age; /* of `called` */
    struct weir_kube_object *object;
    char text[];
};

static void entry_free(struct weir_hnode *n, void *arg) {
    weir_free(WEIR_CONTAINER_OF(n, struct entry, node));
}

static void clear(struct weir_htab *t) {
    uint64_t seed[2] = { t->seed[0], t->seed[1] };

    weir_htab_foreach(t, entry_free, NULL);
    weir_htab_deinit(t);
    weir_htab_init(t, seed);
}

static struct entry *get(const struct weir_htab *t, struct weir_slice key) {
    struct weir_hnode *n = weir_htab_find(t, key);

    return n ? WEIR_CONTAINER_OF(n, struct entry, node) : NULL;
}

static bool has(const struct weir_htab *t, const char *key) {
    return get(t, weir_slice_from_str(key)) != NULL;
}

/* 0, -ENOMEM; one that is there stays. */
static int add(struct weir_htab *t, struct weir_slice key, struct entry **ret_entry) {
    struct entry *e = get(t, key);
    int r = 0;

    if (!e) {
        e = weir_calloc(1, sizeof(*e) + key.len + 1);
        if (!e)
            return -ENOMEM;
        memcpy(e->text, key.ptr, key.len);
        e->node.key = weir_slice_make(e->text, key.len);
        weir_list_init(&e->age);
        r = weir_htab_add(t, &e->node);
        if (r) {
            weir_free(e);
            return r;
        }
    }
    if (ret_entry)
        *ret_entry = e;
    return 0;
}

static int add_text(struct weir_htab *t, const char *key) {
    return add(t, weir_slice_from_str(key), NULL);
}

/* "namespace/name"; false when no name can be that long. */
static bool full_name(char buf[NAME_MAX_], const char *ns, const char *name) {
    int n = snprintf(buf, NAME_MAX_, "%s/%s", ns, name);

    return n > 0 && n < NAME_MAX_;
}

void weir_kube_scope_init(struct weir_kube_scope *s, struct weir_kube_store *store,
                          const uint64_t seed[2]) {
    *s = (struct weir_kube_scope){ .store = store, .dirty = true };
    struct weir_htab *tables[] = { &s->here,  &s->meshed, &s->named,    &s->endpoints,
                                   &s->peers, &s->called, &s->addresses };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(tables); i++)
        weir_htab_init(tables[i], seed);
    weir_list_init(&s->called_age);
}

void weir_kube_scope_deinit(struct weir_kube_scope *s) {
    struct weir_htab *tables[] = { &s->here,  &s->meshed, &s->named,    &s->endpoints,
                                   &s->peers, &s->called, &s->addresses };

    if (!s->store)
        return;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(tables); i++) {
        clear(tables[i]);
        weir_htab_deinit(tables[i]);
    }
}

static json_t *parse(const struct weir_kube_object *o) {
    return json_loadb(o->text, o->text_len, 0, NULL);
}

/* ---- cluster addresses ---- */

static void each_address(const struct weir_kube_object *o,
                         void (*fn)(struct weir_kube_scope *, struct weir_slice,
                                    struct weir_kube_object *),
                         struct weir_kube_scope *s, struct weir_kube_object *arg) {
    json_t *doc = parse(o), *item;
    const json_t *spec = json_object_get(doc, "spec");
    struct weir_ip ip;
    size_t i;

    if (weir_parse_ip(weir_kube_text(spec, "clusterIP", NULL), &ip) == 0)
        fn(s, weir_slice_make((const char *)ip.b, sizeof(ip.b)), arg);
    json_array_foreach(
        json_object_get(spec, "clusterIPs"), i,
        item) if (weir_parse_ip(json_string_value(item) ? json_string_value(item) : "", &ip) == 0)
        fn(s, weir_slice_make((const char *)ip.b, sizeof(ip.b)), arg);
    json_decref(doc);
}

static void address_add(struct weir_kube_scope *s, struct weir_slice ip,
                        struct weir_kube_object *o) {
    struct entry *e;

    if (add(&s->addresses, ip, &e) == 0) /* without memory it is not known by address */
        e->object = o;
}

static void address_remove(struct weir_kube_scope *s, struct weir_slice ip,
                           struct weir_kube_object *o) {
    struct entry *e = get(&s->addresses, ip);

    if (!e)
        return;
    weir_htab_remove(&s->addresses, &e->node);
    weir_free(e);
}

bool weir_kube_scope_call(struct weir_kube_scope *s, const struct weir_ip *ip) {
    struct entry *at = get(&s->addresses, weir_slice_make((const char *)ip->b, sizeof(ip->b)));
    char name[NAME_MAX_];
    struct entry *e;

    if (!at || at->object->used || !full_name(name, at->object->ns, at->object->name))
        return false;
    if (has(&s->called, name) || add(&s->called, weir_slice_from_str(name), &e))
        return false;
    weir_list_push_back(&s->called_age, &e->age);
    if (s->n_called++ == WEIR_KUBE_CALLED_MAX) {
        struct entry *old = WEIR_CONTAINER_OF(s->called_age.next, struct entry, age);

        weir_list_unlink(&old->age);
        weir_htab_remove(&s->called, &old->node);
        weir_free(old);
        s->n_called--;
    }
    s->dirty = true;
    return true;
}

/* ---- what is in scope ---- */

/* What names bring in of Services (docs/adr/0029). */
static bool wants_for_names(const struct weir_kube_scope *s, const struct weir_kube_object *o) {
    return s->names && (s->all_meshed || (strcmp(o->ns, WEIR_DNS_NAMESPACE) == 0 &&
                                          strcmp(o->name, WEIR_DNS_SERVICE) == 0));
}

static bool wants_service(const struct weir_kube_scope *s, const struct weir_kube_object *o) {
    char name[NAME_MAX_];

    if (has(&s->here, o->ns) || (s->all_meshed && has(&s->meshed, o->ns)) || wants_for_names(s, o))
        return true;
    return full_name(name, o->ns, o->name) && (has(&s->named, name) || has(&s->called, name));
}

/* The Service that a slice belongs to; NULL = none that is known. */
static const struct weir_kube_object *service_of(const struct weir_kube_scope *s,
                                                 const struct weir_kube_object *slice) {
    static const char label[] = "\"kubernetes.io/service-name\":\"";
    const char *at = strstr(slice->text, label);
    char name[NAME_MAX_];
    size_t n;

    if (!at)
        return NULL;
    at += sizeof(label) - 1;
    n = strcspn(at, "\""); /* a name has nothing to escape */
    if (n >= sizeof(name))
        return NULL;
    memcpy(name, at, n);
    name[n] = '\0';
    return weir_kube_store_find(s->store, WEIR_KUBE_SERVICE, slice->ns, name);
}

static bool wants_pod(const struct weir_kube_scope *s, const struct weir_kube_object *o) {
    char name[NAME_MAX_];

    return o->source == WEIR_KUBE_OWN || s->all_peers || has(&s->peers, o->ns) ||
           (full_name(name, o->ns, o->name) && has(&s->endpoints, name));
}

static bool wants(const struct weir_kube_scope *s, const struct weir_kube_object *o) {
    const struct weir_kube_object *service;

    if (weir_kube_resource(o->kind)->selector)
        return has(&s->here, o->ns) || strcmp(o->ns, MESH_NS) == 0;
    switch (o->kind) {
    case WEIR_KUBE_SERVICE:
        return wants_service(s, o);
    case WEIR_KUBE_SLICE:
        service = service_of(s, o);
        return service && service->used;
    case WEIR_KUBE_POD:
        return wants_pod(s, o);
    default:
        return true;
    }
}

void weir_kube_scope_changed(void *scope, const struct weir_kube_object *was,
                             struct weir_kube_object *now) {
    struct weir_kube_scope *s = scope;
    const struct weir_kube_object *o = now ? now : was;

    if (o->kind == WEIR_KUBE_SERVICE) {
        if (was)
            each_address(was, address_remove, s, NULL);
        if (now)
            each_address(now, address_add, s, now);
    }
    if (was && now && strcmp(was->text, now->text) == 0)
        return; /* its status */
    if ((was && was->used) || wants(s, o))
        s->dirty = true;
}

/* ---- settling ---- */

static bool says_mode(const char *text) {
    return strstr(text, "\"weir.dev/mode\":") && !strstr(text, "\"weir.dev/mode\":\"off\"");
}

static int settle_namespaces(struct weir_kube_scope *s) {
    int r = 0;

    WEIR_KUBE_FOREACH(it, s->store, WEIR_KUBE_NAMESPACE) {
        if (r == 0 && says_mode(WEIR_KUBE_OBJECT(it)->text))
            r = add_text(&s->meshed, WEIR_KUBE_OBJECT(it)->name);
    }
    WEIR_KUBE_FOREACH(it, s->store, WEIR_KUBE_POD) {
        const struct weir_kube_object *o = WEIR_KUBE_OBJECT(it);

        if (r == 0 && o->source == WEIR_KUBE_OWN)
            r = add_text(&s->here, o->ns);
        if (r == 0 && !has(&s->meshed, o->ns) && says_mode(o->text))
            r = add_text(&s->meshed, o->ns);
    }
    return r;
}

/* A reference to a Service by kind and name: parentRefs, backendRefs, and what else has that shape, at any depth. */
static int name_services(struct weir_kube_scope *s, const json_t *value, const char *ns) {
    const char *name = weir_kube_text(value, "name", NULL),
               *kind = weir_kube_text(value, "kind", NULL),
               *in = weir_kube_text(value, "namespace", NULL), *key;
    bool ref = name[0] &&
               (strcmp(kind, "Service") == 0 ||
                (!kind[0] && (json_object_get(value, "port") || json_object_get(value, "weight"))));
    char text[NAME_MAX_];
    json_t *child;
    size_t i;
    int r = 0;

    if (ref && full_name(text, in[0] ? in : ns, name))
        r = add_text(&s->named, text);
    json_object_foreach((json_t *)value, key, child) if (r == 0) r = name_services(s, child, ns);
    json_array_foreach((json_t *)value, i, child) if (r == 0) r = name_services(s, child, ns);
    return r;
}

static int settle_routes(struct weir_kube_scope *s) {
    static const enum weir_kube_kind kinds[] = { WEIR_KUBE_HTTP_ROUTE, WEIR_KUBE_GRPC_ROUTE,
                                                 WEIR_KUBE_TLS_ROUTE };
    int r = 0;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++) {
        WEIR_KUBE_FOREACH(it, s->store, kinds[i]) {
            const struct weir_kube_object *o = WEIR_KUBE_OBJECT(it);
            json_t *doc = r == 0 ? parse(o) : NULL;

            if (doc)
                r = name_services(s, json_object_get(doc, "spec"), o->ns);
            json_decref(doc);
        }
    }
    return r;
}

/* Are there pods of other namespaces that this policy can mean, or must be known not to? Of its own there always are. */
static bool reaches_out(const struct weir_kube_object *policy) {
    switch (policy->kind) {
    case WEIR_KUBE_AUTHZ:
        return strstr(policy->text, "\"source\":") != NULL;
    case WEIR_KUBE_NETPOL:
        return strstr(policy->text, "\"namespaceSelector\":") != NULL;
    default:
        return true; /* a name that leads to a pod is bound to nothing */
    }
}

static int settle_policies(struct weir_kube_scope *s) {
    static const enum weir_kube_kind kinds[] = { WEIR_KUBE_NETPOL, WEIR_KUBE_AUTHZ,
                                                 WEIR_KUBE_EGRESS_POLICY };
    int r = 0;

    s->all_peers = s->names = false;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++) {
        WEIR_KUBE_FOREACH(it, s->store, kinds[i]) {
            const struct weir_kube_object *o = WEIR_KUBE_OBJECT(it);

            if (r || !wants(s, o))
                continue;
            if (reaches_out(o))
                s->all_peers = true;
            s->names = s->names || o->kind == WEIR_KUBE_EGRESS_POLICY;
            r = add_text(&s->peers, o->ns);
        }
    }
    return r;
}

static void settle_meshed(struct weir_kube_scope *s) {
    uint32_t n = 0;

    WEIR_KUBE_FOREACH(it, s->store, WEIR_KUBE_SERVICE)
    n += s->names || has(&s->meshed, WEIR_KUBE_OBJECT(it)->ns);
    s->n_meshed_services = n;
    s->all_meshed = n <= WEIR_KUBE_MESHED_MAX;
}

static int name_endpoints(struct weir_kube_scope *s, const struct weir_kube_object *slice) {
    json_t *doc = parse(slice), *endpoint;
    char text[NAME_MAX_];
    size_t i;
    int r = 0;

    json_array_foreach(json_object_get(doc, "endpoints"), i, endpoint) {
        const json_t *ref = json_object_get(endpoint, "targetRef");
        const char *ns = weir_kube_text(ref, "namespace", NULL);

        if (r == 0 && strcmp(weir_kube_text(ref, "kind", NULL), "Pod") == 0 &&
            full_name(text, ns[0] ? ns : slice->ns, weir_kube_text(ref, "name", NULL)))
            r = add_text(&s->endpoints, text);
    }
    json_decref(doc);
    return r;
}

static void mark(struct weir_kube_scope *s, enum weir_kube_kind kind) {
    WEIR_KUBE_FOREACH(it, s->store, kind)
    WEIR_KUBE_OBJECT(it)->used = wants(s, WEIR_KUBE_OBJECT(it));
}

int weir_kube_scope_settle(struct weir_kube_scope *s) {
    struct weir_htab *fresh[] = { &s->here, &s->meshed, &s->named, &s->endpoints, &s->peers };
    int r;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(fresh); i++)
        clear(fresh[i]);
    r = settle_namespaces(s);
    if (r == 0)
        r = settle_routes(s);
    if (r == 0)
        r = settle_policies(s);
    settle_meshed(s);
    if (r)
        return r;
    mark(s, WEIR_KUBE_SERVICE);
    mark(s, WEIR_KUBE_SLICE);
    WEIR_KUBE_FOREACH(it, s->store, WEIR_KUBE_SLICE)
    if (r == 0 && WEIR_KUBE_OBJECT(it)->used)
        r = name_endpoints(s, WEIR_KUBE_OBJECT(it));
    for (unsigned kind = 0; r == 0 && kind < WEIR_KUBE_KINDS; kind++)
        if (kind != WEIR_KUBE_SERVICE && kind != WEIR_KUBE_SLICE)
            mark(s, kind);
    s->dirty = r != 0;
    return r;
}
