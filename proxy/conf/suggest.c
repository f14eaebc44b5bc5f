/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearest known word by edit distance (insert, delete, replace, swap of neighbours), ASCII case
 * ignored. Near enough is one edit per three letters, at least one: "pathh" -> "path", "clusterIp"
 * -> "clusterIP", but never a guess so wild that it confuses. Owns no list of words.
 */
#include "conf/suggest.h"

#include <string.h>

#define MAX_WORD 64

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static size_t min2(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Both at most MAX_WORD long. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m) {
    size_t rows[3][MAX_WORD + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= m; j++) {
        above[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replace = above[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            row[j] = min2(replace, min2(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                row[j] = min2(row[j], before[j - 2] + 1);
            }
        }
        size_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[m];
}

void weir_suggest_init(struct weir_suggest *s, const char *word) {
    *s = (struct weir_suggest){ .word = word, .best = NULL, .distance = 0 };
}

void weir_suggest_offer(struct weir_suggest *s, const char *known) {
    size_t n = strlen(s->word), m = strlen(known);

    if (n > MAX_WORD || m > MAX_WORD) {
        return;
    }
    size_t limit = (n > m ? n : m) / 3;
    size_t distance = edit_distance(s->word, n, known, m);
    if (distance > (limit == 0 ? 1 : limit) || distance == m) {
        return;
    }
    if (s->best == NULL || distance < s->distance) {
        s->best = known;
        s->distance = distance;
    }
}
