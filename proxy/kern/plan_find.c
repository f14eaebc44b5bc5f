/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From selectors to identities, for thousands of rules over thousands of pods: an index of labels, so that a rule that names one looks at
 * the pods that have it, and one list that grows, so that a set is as large as what it holds.
 */
#include <stdlib.h>
#include <string.h>

#include "kern/plan_build.h"

int weir_plan_find(struct weir_plan_builder *b, uint32_t pod) {
    if (b->identities[pod] == 0)
        return 0;
    if (b->n_found == b->cap_found) {
        uint32_t cap = b->cap_found ? b->cap_found * 2 : 1024;
        uint32_t *found = weir_arena_alloc(&b->arena, cap * sizeof(*found));

        if (!found)
            return -ENOMEM;
        if (b->n_found)
            memcpy(found, b->found, b->n_found * sizeof(*found));
        b->found = found;
        b->cap_found = cap;
    }
    b->found[b->n_found++] = b->identities[pod];
    return 0;
}

int weir_plan_found(struct weir_plan_builder *b, struct weir_plan_ids **ret_ids) {
    struct weir_plan_ids *ids = weir_arena_calloc(&b->arena, 1, sizeof(*ids));

    if (!ids)
        return -ENOMEM;
    ids->v = weir_arena_calloc(&b->arena, b->n_found + 1UL, sizeof(*ids->v));
    if (!ids->v)
        return -ENOMEM;
    for (; ids->n < b->n_found; ids->n++)
        ids->v[ids->n].identity = b->found[ids->n];
    b->n_found = 0;
    weir_plan_ids_settle(ids);
    *ret_ids = ids;
    return 0;
}

static int text_compare(const struct weir_plan_label *a, const char *key, const char *value) {
    int r = strcmp(a->key, key);

    return r ? r : strcmp(a->value, value);
}

static int label_compare(const void *pa, const void *pb) {
    const struct weir_plan_label *a = pa, *b = pb;
    int r = text_compare(a, b->key, b->value);

    return r ? r : (a->pod > b->pod) - (a->pod < b->pod);
}

static int index_labels(struct weir_plan_builder *b) {
    const struct weir_snapshot *s = b->snapshot;
    size_t n = 0;

    for (uint32_t i = 0; i < s->n_pods; i++)
        n += s->pods[i].meta.n_labels;
    b->labels = weir_arena_calloc(&b->arena, n + 1, sizeof(*b->labels));
    if (!b->labels)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_pods; i++)
        for (uint32_t k = 0; k < s->pods[i].meta.n_labels; k++)
            b->labels[b->n_labels++] =
                (struct weir_plan_label){ s->pods[i].meta.labels[k].key,
                                          s->pods[i].meta.labels[k].value, i };
    if (n > 1)
        qsort(b->labels, n, sizeof(*b->labels), label_compare);
    return 0;
}

int weir_plan_labelled(struct weir_plan_builder *b, const char *key, const char *value,
                       uint32_t *ret_first, uint32_t *ret_n) {
    uint32_t low = 0, high;
    int r = b->labels ? 0 : index_labels(b);

    if (r)
        return r;
    for (high = b->n_labels; low < high;) {
        uint32_t mid = low + (high - low) / 2;

        if (text_compare(&b->labels[mid], key, value) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_first = low;
    for (*ret_n = 0; low < b->n_labels && text_compare(&b->labels[low], key, value) == 0; low++)
        ++*ret_n;
    return 0;
}
