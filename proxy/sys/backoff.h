/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before the next attempt: doubling between two bounds, a fifth to either side by chance, so that many who lost the same peer
 * do not come back in step. */
#ifndef WEIR_SYS_BACKOFF_H
#define WEIR_SYS_BACKOFF_H

#include <stdint.h>

struct weir_backoff {
    uint64_t least_us, most_us; /* set by the owner */
    uint64_t us;                /* of the last wait, without chance; 0 = it went well: begin anew */
};

/* us to wait now. */
uint64_t weir_backoff_next(struct weir_backoff *b);

#endif
