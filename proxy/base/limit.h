/* SPDX-License-Identifier: Apache-2.0 */
/* A bound on something counted (connections, bytes, streams) with a counter of refusals. One thread. */
#ifndef WEIR_BASE_LIMIT_H
#define WEIR_BASE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct weir_limit {
    uint64_t used;
    uint64_t max;     /* 0 = unlimited */
    uint64_t refused; /* charges that did not fit */
};

static inline bool weir_limit_charge(struct weir_limit *l, uint64_t n) {
    if (l->max != 0 && (n > l->max || l->used > l->max - n)) {
        l->refused++;
        return false;
    }
    l->used += n;
    return true;
}
static inline void weir_limit_release(struct weir_limit *l, uint64_t n) {
    l->used -= n;
}

#endif
