/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that TLS session tickets are sealed with: one ring for the whole process, so that a client may come back to any worker and
 * after any reload. A key seals for one period and opens for one more; then it is gone from memory, and what was sealed with it is
 * nobody's to open. Who rotates, and when, is the owner's affair.
 */
#ifndef WEIR_TLS_TICKETS_H
#define WEIR_TLS_TICKETS_H

#include <stdint.h>

struct weir_tickets; /* shared across threads, reference counted */

/* With a first key. 0, -ENOMEM or -EIO (no randomness). */
int weir_tickets_new(struct weir_tickets **ret_tickets);
struct weir_tickets *weir_tickets_ref(struct weir_tickets *t);
/* Takes NULL; returns NULL. */
struct weir_tickets *weir_tickets_unref(struct weir_tickets *t);
/* A new key; the one before it opens tickets until the next call. One thread at a time. 0, -EIO: the keys stay. */
int weir_tickets_rotate(struct weir_tickets *t);

#endif
