/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that want to switch protocols, and the tunnels they become. */
#ifndef WEIR_CORE_UPGRADE_H
#define WEIR_CORE_UPGRADE_H

#include "core/txn.h"

/* Before the head goes upstream. 0, -ENOMEM. */
int weir_upgrade_request(struct weir_txn *t);
/* The final answer: may it be passed on? Kind NONE = yes. */
struct weir_fault weir_upgrade_response(struct weir_txn *t);
/* A tunnel in which nothing moves for limits.tunnelTimeout is ended: begins the watch; its deadline. */
void weir_upgrade_watch(struct weir_txn *t);
void weir_upgrade_look(struct weir_txn *t);

#endif
