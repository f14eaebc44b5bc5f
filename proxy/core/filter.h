/* SPDX-License-Identifier: Apache-2.0 */
/* What a route's filters do in the life of a request: answer it, change it, copy it. */
#ifndef WEIR_CORE_FILTER_H
#define WEIR_CORE_FILTER_H

#include "core/txn.h"

/* filter.c: what the filters of the rule and of the backend do. 0 or -ENOMEM. */
int weir_filter_request(struct weir_txn *t);
int weir_filter_response(struct weir_txn *t);
/* Is there a filter that answers the request itself (redirect, preflight)? Sets t->answer. */
bool weir_filter_answers(struct weir_txn *t);
/* With t->answer: the flag and the reason of that answer, for the access line. */
void weir_filter_answered(const struct weir_txn *t, const char **ret_flag, const char **ret_reason);
void weir_filter_answer(struct weir_txn *t);

/* mirror.c: copies of requests whose answers are thrown away. */
void weir_mirror_start(struct weir_txn *t, const struct weir_mirror *mirror);
void weir_mirror_data(struct weir_txn *t, struct weir_chunk *chunk, struct weir_slice bytes);
void weir_mirror_end(struct weir_txn *t);
/* The request is over: copies that have all of it go on alone. */
void weir_mirror_leave(struct weir_txn *t);
/* Events of a copy. */
void weir_mirror_response(struct weir_txn *m, bool end);
void weir_mirror_unblock(struct weir_txn *m);
void weir_mirror_drop(struct weir_txn *m);
void weir_mirror_done(struct weir_txn *m);

#endif
