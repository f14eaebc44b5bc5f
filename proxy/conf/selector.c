/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a LabelSelector of meta/v1 select these labels? All terms must hold; a selector without
 * terms selects everything. Knows labels as text only: not whose they are, nor what being selected
 * means.
 */
#include "conf/model.h"

#include <stddef.h>
#include <string.h>

static const char *label_value(const struct weir_kv *labels, uint32_t n_labels, const char *key) {
    for (uint32_t i = 0; i < n_labels; i++) {
        if (strcmp(labels[i].key, key) == 0) {
            return labels[i].value;
        }
    }
    return NULL;
}

static bool among(const struct weir_selector_term *term, const char *value) {
    for (uint32_t i = 0; i < term->n_values; i++) {
        if (strcmp(term->values[i], value) == 0) {
            return true;
        }
    }
    return false;
}

static bool term_holds(const struct weir_selector_term *term, const char *value) {
    switch (term->op) {
    case WEIR_OP_IN:
        return value != NULL && among(term, value);
    case WEIR_OP_NOT_IN:
        /* As in Kubernetes: an object without the label is "not in". */
        return value == NULL || !among(term, value);
    case WEIR_OP_EXISTS:
        return value != NULL;
    case WEIR_OP_NOT_EXISTS:
        return value == NULL;
    }
    return false;
}

bool weir_selector_matches(const struct weir_selector *s, const struct weir_kv *labels,
                           uint32_t n_labels) {
    for (uint32_t i = 0; i < s->n_terms; i++) {
        if (!term_holds(&s->terms[i], label_value(labels, n_labels, s->terms[i].key))) {
            return false;
        }
    }
    return true;
}
