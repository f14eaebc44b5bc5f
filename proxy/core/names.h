/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that the configuration's endpoints have, and what their servers last said of them. The control thread's: it asks again when an
 * answer has had its time, and tells when addresses have changed.
 */
#ifndef WEIR_CORE_NAMES_H
#define WEIR_CORE_NAMES_H

#include "core/endpoints.h"
#include "io/loop.h"

struct weir_names;

/* Process-wide figures of them. */
struct weir_names_stats {
    uint64_t answers;  /* with addresses */
    uint64_t negative; /* no such name, or no address */
    uint64_t failures; /* nobody could say */
    uint64_t known,
        stale; /* names now: with addresses; those kept though the last question failed */
};

/* changed: addresses are not what they were, or the last of the wanted names has had its first answer. Not from within a call. */
int weir_names_new(struct weir_loop *loop, void (*changed)(void *arg), void *arg,
                   struct weir_names **ret_names);
/* Takes NULL; returns NULL. */
struct weir_names *weir_names_free(struct weir_names *names);
/*
 * From now on these, asked of those servers; names known before keep what is known of them. 0, -ENOMEM, -EINVAL (servers),
 * -EIO. On failure the old ones stay.
 */
int weir_names_want(struct weir_names *names, const struct weir_dns_spec *spec,
                    const char *const *hosts, uint32_t n);
/* Every name wanted has been answered once, or could not be. */
bool weir_names_settled(const struct weir_names *names);
struct weir_lookup weir_names_lookup(struct weir_names *names);
void weir_names_stats_get(const struct weir_names *names, struct weir_names_stats *ret_stats);

#endif
