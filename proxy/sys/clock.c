/* SPDX-License-Identifier: Apache-2.0 */
/* The two kernel clocks as one number each. Who caches them, and for how long, is the caller's
 * affair. */
#include "sys/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t id) {
    struct timespec ts = { 0 };
    clock_gettime(id, &ts); /* cannot fail for these clocks */
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t weir_clock_mono_us(void) {
    return read_us(CLOCK_MONOTONIC);
}

uint64_t weir_clock_wall_us(void) {
    return read_us(CLOCK_REALTIME);
}
