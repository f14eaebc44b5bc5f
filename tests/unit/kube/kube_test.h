/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KUBE_TEST_H
#define KUBE_TEST_H

#include "kube/store.h"

#include "weir_test.h"

static const uint64_t kube_seed[2] = { 1, 2 };

/* Puts one object given as text; the store's answer. */
static WEIR_UNUSED int kube_put(struct weir_kube_store *s, struct weir_kube_put how,
                                const char *text) {
    json_t *object = json_loads(text, 0, NULL);
    const char *why;
    int r;

    assert_non_null(object);
    r = weir_kube_store_put(s, &how, object, &why);
    json_decref(object);
    return r;
}

#endif
