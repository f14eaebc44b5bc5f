/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name and address -> object, for a snapshot. Owns the keys; entries and keys lie in the snapshot's
 * arena, only the slot arrays on the heap. Which of two objects deserves an address is decided by
 * who adds them.
 */
#include "conf/index.h"

#include <stdio.h>
#include <string.h>

#define NAME_KEY_MAX 320
#define IP_KEY_LEN   18

/* A snapshot's keys come from whoever may write configuration; where it lies in memory is not known
 * to them. */
static void seed_for(const struct weir_snapshot *s, uint64_t seed[2]) {
    seed[0] = (uint64_t)(uintptr_t)s * 0x9e3779b97f4a7c15ULL;
    seed[1] = (uint64_t)(uintptr_t)&seed ^ 0x5851f42d4c957f2dULL;
}

struct weir_index *weir_index_new(struct weir_snapshot *s) {
    struct weir_index *index = weir_arena_calloc(&s->arena, 1, sizeof(*index));
    uint64_t seed[2];

    if (index == NULL) {
        return NULL;
    }
    seed_for(s, seed);
    weir_htab_init(&index->namespaces, seed);
    weir_htab_init(&index->services, seed);
    weir_htab_init(&index->pods, seed);
    weir_htab_init(&index->service_ips, seed);
    weir_htab_init(&index->pod_ips, seed);
    weir_htab_init(&index->peer_auths, seed);
    return index;
}

void weir_index_deinit(struct weir_index *index) {
    if (index == NULL) {
        return;
    }
    weir_htab_deinit(&index->namespaces);
    weir_htab_deinit(&index->services);
    weir_htab_deinit(&index->pods);
    weir_htab_deinit(&index->service_ips);
    weir_htab_deinit(&index->pod_ips);
    weir_htab_deinit(&index->peer_auths);
}

/* "namespace/name" in buf; NONE when it is longer than any name can be. */
static struct weir_slice name_key(char *buf, const char *ns, const char *name) {
    int len = snprintf(buf, NAME_KEY_MAX, "%s/%s", ns, name);

    return len < 0 || len >= NAME_KEY_MAX ? WEIR_SLICE_NONE : weir_slice_make(buf, (size_t)len);
}

static struct weir_slice ip_key(char *buf, const struct weir_ip *ip, uint16_t port) {
    memcpy(buf, ip->b, 16);
    buf[16] = (char)(port >> 8);
    buf[17] = (char)port;
    return weir_slice_make(buf, IP_KEY_LEN);
}

static int add(struct weir_snapshot *s, struct weir_htab *table, struct weir_slice key,
               const void *value, struct weir_index_entry **ret_entry) {
    struct weir_hnode *old = weir_htab_find(table, key);

    if (old != NULL) {
        *ret_entry = WEIR_CONTAINER_OF(old, struct weir_index_entry, node);
        return -EEXIST;
    }
    struct weir_index_entry *entry = weir_arena_calloc(&s->arena, 1, sizeof(*entry));
    if (entry == NULL) {
        return -ENOMEM;
    }
    entry->node.key = weir_arena_dup(&s->arena, key);
    if (entry->node.key.ptr == NULL) {
        return -ENOMEM;
    }
    entry->value = value;
    int r = weir_htab_add(table, &entry->node);
    if (r == 0) {
        *ret_entry = entry;
    }
    return r;
}

static int add_named(struct weir_snapshot *s, struct weir_htab *table, const struct weir_meta *meta,
                     const void *value) {
    char buf[NAME_KEY_MAX];
    struct weir_index_entry *entry;

    return add(s, table, name_key(buf, meta->namespace_, meta->name), value, &entry);
}

int weir_index_add_namespace(struct weir_snapshot *s, const struct weir_namespace *ns) {
    struct weir_index_entry *entry;

    return add(s, &s->index->namespaces, weir_slice_from_str(ns->meta.name), ns, &entry);
}

int weir_index_add_service(struct weir_snapshot *s, const struct weir_service *service) {
    return add_named(s, &s->index->services, &service->meta, service);
}

int weir_index_add_pod(struct weir_snapshot *s, const struct weir_pod *pod) {
    return add_named(s, &s->index->pods, &pod->meta, pod);
}

int weir_index_add_service_ip(struct weir_snapshot *s, const struct weir_service *service,
                              const struct weir_ip *ip, const struct weir_service_port *port,
                              struct weir_index_entry **ret_entry) {
    char buf[IP_KEY_LEN];
    int r = add(s, &s->index->service_ips, ip_key(buf, ip, port->port), service, ret_entry);

    if (r == 0) {
        (*ret_entry)->port = port;
    }
    return r;
}

int weir_index_add_pod_ip(struct weir_snapshot *s, const struct weir_pod *pod,
                          const struct weir_ip *ip, struct weir_index_entry **ret_entry) {
    return add(s, &s->index->pod_ips, weir_slice_make((const char *)ip->b, sizeof(ip->b)), pod,
               ret_entry);
}

int weir_index_add_peer_auths(struct weir_snapshot *s, const struct weir_peer_auth *first,
                              uint32_t n) {
    struct weir_index_entry *entry;
    int r =
        add(s, &s->index->peer_auths, weir_slice_from_str(first->meta.namespace_), first, &entry);

    if (r == 0) {
        entry->n = n;
    }
    return r;
}

static const struct weir_index_entry *find(const struct weir_htab *table, struct weir_slice key) {
    struct weir_hnode *node = key.ptr == NULL ? NULL : weir_htab_find(table, key);

    return node == NULL ? NULL : WEIR_CONTAINER_OF(node, struct weir_index_entry, node);
}

static const void *find_named(const struct weir_htab *table, const char *ns, const char *name) {
    char buf[NAME_KEY_MAX];
    const struct weir_index_entry *entry = find(table, name_key(buf, ns, name));

    return entry == NULL ? NULL : entry->value;
}

const struct weir_service *weir_snapshot_service(const struct weir_snapshot *s, const char *ns,
                                                 const char *name) {
    return find_named(&s->index->services, ns, name);
}

const struct weir_pod *weir_snapshot_pod(const struct weir_snapshot *s, const char *ns,
                                         const char *name) {
    return find_named(&s->index->pods, ns, name);
}

const struct weir_namespace *weir_snapshot_namespace(const struct weir_snapshot *s,
                                                     const char *name) {
    const struct weir_index_entry *entry = find(&s->index->namespaces, weir_slice_from_str(name));

    return entry == NULL ? NULL : entry->value;
}

const struct weir_service *weir_snapshot_service_by_ip(const struct weir_snapshot *s,
                                                       const struct weir_ip *ip, uint16_t port,
                                                       const struct weir_service_port **ret_port) {
    char buf[IP_KEY_LEN];
    const struct weir_index_entry *entry = find(&s->index->service_ips, ip_key(buf, ip, port));

    if (entry == NULL) {
        return NULL;
    }
    if (ret_port != NULL) {
        *ret_port = entry->port;
    }
    return entry->value;
}

const struct weir_pod *weir_snapshot_pod_by_ip(const struct weir_snapshot *s,
                                               const struct weir_ip *ip) {
    const struct weir_index_entry *entry =
        find(&s->index->pod_ips, weir_slice_make((const char *)ip->b, sizeof(ip->b)));

    return entry == NULL ? NULL : entry->value;
}

/* What one policy says for that port; UNSET = nothing. */
static enum weir_mtls_mode mode_of(const struct weir_peer_auth *auth, uint16_t port) {
    for (uint32_t i = 0; i < auth->n_ports; i++) {
        if (auth->ports[i].port == port && auth->ports[i].mode != WEIR_MTLS_UNSET) {
            return auth->ports[i].mode;
        }
    }
    return auth->mode;
}

/* The first, hence oldest, policy of the namespace of that reach that says anything about the pod's
 * port. */
static enum weir_mtls_mode mode_in(const struct weir_snapshot *s, const char *ns,
                                   const struct weir_pod *pod, uint16_t port, bool of_workload) {
    const struct weir_index_entry *entry = find(&s->index->peer_auths, weir_slice_from_str(ns));
    const struct weir_peer_auth *auths = entry != NULL ? entry->value : NULL;

    for (uint32_t i = 0; entry != NULL && i < entry->n; i++) {
        if (auths[i].pods.given != of_workload ||
            !weir_selector_matches(&auths[i].pods, pod->meta.labels, pod->meta.n_labels)) {
            continue;
        }
        enum weir_mtls_mode mode = mode_of(&auths[i], port);
        if (mode != WEIR_MTLS_UNSET) {
            return mode;
        }
    }
    return WEIR_MTLS_UNSET;
}

enum weir_mtls_mode weir_snapshot_mtls(const struct weir_snapshot *s, const struct weir_pod *pod,
                                       uint16_t port) {
    enum weir_mtls_mode mode = mode_in(s, pod->meta.namespace_, pod, port, true);

    if (mode == WEIR_MTLS_UNSET) {
        mode = mode_in(s, pod->meta.namespace_, pod, port, false);
    }
    if (mode == WEIR_MTLS_UNSET) {
        mode = mode_in(s, "weir-system", pod, port, false);
    }
    return mode == WEIR_MTLS_UNSET ? WEIR_MTLS_PERMISSIVE : mode;
}
