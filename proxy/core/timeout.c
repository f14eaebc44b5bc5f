/* SPDX-License-Identifier: Apache-2.0 */
/* What a request, an attempt, an answer's head and a wait for a connection may take. */
#include "core/timeout.h"

#include "core/retry.h"
#include "core/upgrade.h"

void weir_txn_arm(struct weir_txn *t) {
    uint64_t due = t->request_due < t->backend_due ? t->request_due : t->backend_due;

    if (t->retry_due < due)
        due = t->retry_due;
    if (t->head_due < due)
        due = t->head_due;
    if (t->waiting_due < due)
        due = t->waiting_due;
    if (due != WEIR_NEVER)
        weir_worker_deadline(t->worker, &t->deadline, due);
}

/* This attempt has taken too long. */
static void give_up(struct weir_txn *t, struct weir_fault why) {
    if (!weir_retry_schedule(t, why))
        weir_txn_reply_fault(t, why, "");
}

void weir_txn_deadline(struct weir_deadline *d) {
    struct weir_txn *t = WEIR_CONTAINER_OF(d, struct weir_txn, deadline);
    uint64_t now = weir_worker_now(t->worker);

    if (t->tunnel) {
        weir_upgrade_look(t);
        return;
    }
    if (now >= t->request_due) {
        weir_txn_reply_fault(t, WEIR_FAULT(LOCAL, TIMEOUT_REQUEST), "");
    } else if (now >= t->retry_due) {
        t->retry_due = WEIR_NEVER;
        weir_txn_arm(t);
        weir_txn_attempt(t);
    } else if (now >= t->waiting_due) {
        weir_txn_reply_fault(t, WEIR_FAULT(UPSTREAM, LIMIT_CONNECTIONS), t->target->name);
    } else if (now >= t->backend_due) {
        give_up(t, WEIR_FAULT(LOCAL, TIMEOUT_BACKEND));
    } else if (now >= t->head_due) {
        give_up(t, WEIR_FAULT(UPSTREAM, TIMEOUT_HEAD));
    } else {
        weir_txn_arm(t);
    }
}

void weir_txn_set_timeouts(struct weir_txn *t) {
    const struct weir_route_rule *rule = t->decision.rule;
    uint64_t us = weir_worker_limits(t->worker)->request_timeout_us;

    if (rule && rule->has_timeout_request)
        us = rule->timeout_request_us;
    if (us != 0)
        t->request_due = t->t_begin + us;
    weir_txn_arm(t);
}

void weir_txn_await_head(struct weir_txn *t) {
    uint64_t us = t->cluster->connection.head_us;

    t->out.done = true;
    if (us == 0 || t->phase != WEIR_TXN_SENT || t->is_mirror)
        return;
    t->head_due = weir_worker_now(t->worker) + us;
    weir_txn_arm(t);
}
