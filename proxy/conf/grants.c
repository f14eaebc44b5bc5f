/* SPDX-License-Identifier: Apache-2.0 */
/* ReferenceGrants: who may refer to an object of another namespace. They are sorted by namespace. */
#include <string.h>

#include "conf/decode_route.h"
#include "conf/link.h"

static bool covers(const struct weir_draft_grant *grant, const struct weir_reference *ref) {
    bool from = false, to = false;

    for (uint32_t i = 0; i < grant->n_from && !from; i++) {
        const struct weir_grant_from *f = &grant->from[i];
        from = strcmp(f->group, "gateway.networking.k8s.io") == 0 &&
               strcmp(f->kind, ref->from_kind) == 0 &&
               strcmp(f->namespace_, ref->from_namespace) == 0;
    }
    for (uint32_t i = 0; i < grant->n_to && !to; i++) {
        const struct weir_grant_to *t = &grant->to[i];
        to = t->group[0] == '\0' && strcmp(t->kind, ref->kind) == 0 &&
             (t->name[0] == '\0' || strcmp(t->name, ref->name) == 0);
    }
    return from && to;
}

bool weir_link_granted(const struct weir_link *l, const struct weir_reference *ref) {
    struct weir_draft *const *sorted = l->sorted[WEIR_KIND_GRANT];
    uint32_t low = 0, end = l->b->drafts[WEIR_KIND_GRANT].n, high = end;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(sorted[middle]->meta.namespace_, ref->namespace_) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < end && strcmp(sorted[low]->meta.namespace_, ref->namespace_) == 0; low++) {
        if (covers((const struct weir_draft_grant *)sorted[low], ref)) {
            return true;
        }
    }
    return false;
}
