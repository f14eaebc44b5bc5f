/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of the cluster: one compact document per object, by kind, namespace and name. A list marks what it names
 * and sweeps the rest; two sources of one kind (the Pods of this node, the others) take nothing from each other. Pure.
 */
#ifndef WEIR_KUBE_STORE_H
#define WEIR_KUBE_STORE_H

#include "base/htab.h"
#include "base/list.h"
#include "kube/resource.h"

/* One heap block; text and extra end with a NUL that is not counted. */
struct weir_kube_object {
    struct weir_hnode node; /* "Kind/namespace/name" */
    struct weir_list link;  /* of its kind */
    uint64_t version;       /* resourceVersion as a number; 0 = not one */
    uint64_t written;       /* the version whose status was written: the owner's */
    uint32_t seen;          /* the list that named it last */
    uint8_t kind, source;
    bool used;       /* in the configuration in force: the owner's of the store */
    uint8_t refused; /* how often by the decoder, as it stands: the owner's */
    uint32_t text_len;
    const char *ns, *name; /* ns "" = cluster scoped */
    const char *text;      /* the document */
    const char *extra;     /* generation and status, of kinds with `status`; "" else */
};

struct weir_kube_store {
    struct weir_htab objects;
    struct weir_list kinds[WEIR_KUBE_KINDS];
    uint32_t n[WEIR_KUBE_KINDS];
    uint64_t bytes;   /* of all documents */
    uint64_t changes; /* of what the status of routes depends on */
    /* A document came, changed or went (now NULL). was: as it stood, NULL = new; valid until return. A change of extra
     * alone is told with the same text. */
    void (*changed)(void *arg, const struct weir_kube_object *was, struct weir_kube_object *now);
    void *arg;
};

void weir_kube_store_init(struct weir_kube_store *s, const uint64_t seed[2]);
void weir_kube_store_deinit(struct weir_kube_store *s);

struct weir_kube_put {
    enum weir_kube_kind kind;
    uint8_t source;
    uint32_t seen;
    bool own;
    bool listed; /* a list is the truth: also when its numbers are smaller (a restored etcd) */
};
/*
 * Takes what is kept of the object in. From a watch, one whose resourceVersion is a smaller number than what is held is old news
 * and left out. 0, -ENOMEM, -EINVAL (no name: *ret_why).
 */
int weir_kube_store_put(struct weir_kube_store *s, const struct weir_kube_put *how,
                        const json_t *object, const char **ret_why);
/* Of that source only: what another one holds by now stays. */
void weir_kube_store_delete(struct weir_kube_store *s, const struct weir_kube_put *how,
                            const json_t *object);
/* What of kind and source has another mark goes. */
void weir_kube_store_sweep(struct weir_kube_store *s, const struct weir_kube_put *how);
/* NULL = none. Borrowed. */
struct weir_kube_object *weir_kube_store_find(const struct weir_kube_store *s,
                                              enum weir_kube_kind kind, const char *ns,
                                              const char *name);

#define WEIR_KUBE_FOREACH(it, s, kind) WEIR_LIST_FOREACH (it, &(s)->kinds[kind])
#define WEIR_KUBE_OBJECT(it)           WEIR_CONTAINER_OF(it, struct weir_kube_object, link)

#endif
