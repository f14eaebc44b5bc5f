/* SPDX-License-Identifier: Apache-2.0 */
/* The known word nearest to a misspelt one, for messages. */
#ifndef WEIR_CONF_SUGGEST_H
#define WEIR_CONF_SUGGEST_H

#include <stddef.h>

struct weir_suggest {
    const char *word; /* what was written */
    const char *best; /* NULL = nothing is near enough */
    size_t distance;
};

void weir_suggest_init(struct weir_suggest *s, const char *word);
/* Offers one known word, which must outlive *s; the first of equally near ones stays. */
void weir_suggest_offer(struct weir_suggest *s, const char *known);

#endif
