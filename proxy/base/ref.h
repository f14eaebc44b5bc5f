/* SPDX-License-Identifier: Apache-2.0 */
/* Reference count for what crosses threads (snapshots, TLS contexts). Things of one thread use owner trees instead. */
#ifndef WEIR_BASE_REF_H
#define WEIR_BASE_REF_H

#include <stdatomic.h>
#include <stdbool.h>

struct weir_ref {
    atomic_uint n;
};

static inline void weir_ref_init(struct weir_ref *r) {
    atomic_init(&r->n, 1);
}
static inline void weir_ref_inc(struct weir_ref *r) {
    atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed);
}
/* True when this was the last reference. */
static inline bool weir_ref_dec(struct weir_ref *r) {
    return atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel) == 1;
}

#endif
