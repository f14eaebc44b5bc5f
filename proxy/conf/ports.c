/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/ports.h"

#include "base/err.h"
#include "base/slice.h"

static bool parse_port(struct weir_slice text, uint16_t *ret_port) {
    uint64_t value = 0;

    if (weir_slice_to_u64(weir_slice_trim(text), &value) < 0 || value < 1 || value > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)value;
    return true;
}

static bool parse_range(struct weir_slice text, struct weir_port_range *range) {
    size_t dash = weir_slice_index(text, '-');

    if (dash >= text.len) {
        if (!parse_port(text, &range->first))
            return false;
        range->last = range->first;
        return true;
    }
    return parse_port(weir_slice_make(text.ptr, dash), &range->first) &&
           parse_port(weir_slice_make(text.ptr + dash + 1, text.len - dash - 1), &range->last) &&
           range->first <= range->last;
}

int weir_parse_port_ranges(const char *text, struct weir_port_ranges *ret_ranges) {
    struct weir_slice rest = weir_slice_trim(weir_slice_from_str(text)), part;
    struct weir_port_ranges ranges = { 0 };

    if (rest.len > 0 && rest.ptr[rest.len - 1] == ',')
        return -EINVAL;
    while (rest.len > 0 && weir_slice_split(&rest, ',', &part)) {
        if (ranges.n == WEIR_PORT_RANGES_MAX || !parse_range(part, &ranges.items[ranges.n]))
            return -EINVAL;
        ranges.n++;
    }
    *ret_ranges = ranges;
    return 0;
}

bool weir_port_ranges_have(const struct weir_port_ranges *ranges, uint16_t port) {
    for (uint32_t i = 0; i < ranges->n; i++)
        if (port >= ranges->items[i].first && port <= ranges->items[i].last)
            return true;
    return false;
}
