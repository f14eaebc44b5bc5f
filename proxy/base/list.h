/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked ring. A head and an unlinked node both point at themselves. */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct weir_list {
    struct weir_list *prev, *next;
};

static inline void weir_list_init(struct weir_list *l) {
    l->prev = l->next = l;
}
static inline bool weir_list_empty(const struct weir_list *l) {
    return l->next == l;
}
static inline void weir_list_unlink(struct weir_list *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = n;
}
static inline void weir_list_push_back(struct weir_list *head, struct weir_list *n) {
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
static inline void weir_list_push_front(struct weir_list *head, struct weir_list *n) {
    weir_list_push_back(head->next, n);
}
#define WEIR_LIST_FOREACH(it, head)                                                                \
    for (struct weir_list *it = (head)->next; it != (head); it = it->next)
/* The current node may be unlinked or freed. */
#define WEIR_LIST_FOREACH_SAFE(it, nxt, head)                                                      \
    for (struct weir_list *it = (head)->next, *nxt = it->next; it != (head);                       \
         it = nxt, nxt = it->next)

#endif
