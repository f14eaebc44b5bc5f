/* SPDX-License-Identifier: Apache-2.0 */
/* Time in microseconds. Nothing on the request path asks for it more than once per loop turn. */
#ifndef WEIR_SYS_CLOCK_H
#define WEIR_SYS_CLOCK_H

#include <stdint.h>

/* Never goes back; counts from some moment of this boot. */
uint64_t weir_clock_mono_us(void);
/* Since 1970-01-01T00:00:00Z. */
uint64_t weir_clock_wall_us(void);

#endif
