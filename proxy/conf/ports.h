/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of ports as annotations write them: "22,3306,8000-8010". */
#ifndef WEIR_CONF_PORTS_H
#define WEIR_CONF_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_PORT_RANGES_MAX 16

struct weir_port_range {
    uint16_t first, last; /* both included */
};

struct weir_port_ranges {
    struct weir_port_range items[WEIR_PORT_RANGES_MAX]; /* as written */
    uint32_t n;
};

/* Spaces around a part are let through; an empty text is no port. 0 or -EINVAL (nothing is written): not
 * that grammar, a port outside of 1..65535, a range that goes down, or too many parts. */
int weir_parse_port_ranges(const char *text, struct weir_port_ranges *ret_ranges);
bool weir_port_ranges_have(const struct weir_port_ranges *ranges, uint16_t port);

#endif
