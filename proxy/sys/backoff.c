/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/backoff.h"

#include "sys/entropy.h"

uint64_t weir_backoff_next(struct weir_backoff *b) {
    if (b->us == 0)
        b->us = b->least_us;
    else
        b->us = b->us < b->most_us / 2 ? b->us * 2 : b->most_us;
    return weir_random_between(b->us / 5 * 4, b->us / 5 * 6);
}
