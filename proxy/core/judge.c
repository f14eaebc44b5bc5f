/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What policies say of a request or of a relayed connection, at a server's sidecar and at a gateway: NetworkPolicy
 * again on the proven identity, then AuthorizationPolicy. Both must allow. Counts; does not answer.
 */
#include "core/txn.h"
#include "sys/log.h"

/* NetworkPolicy on the certificate: only its own sidecar (inbound) says no. */
static bool network_allows(const struct weir_conn *c, const struct weir_runtime *rt,
                           const char **ret_policy) {
    const struct weir_stream_info *info = &c->info;
    struct weir_authz_flow f = { .source = info->remote,
                                 .port = info->local_port,
                                 .proven = info->peer != NULL };

    if (c->dir != WEIR_DIR_INBOUND || !rt->authz)
        return true;
    if (info->peer) {
        f.ns = weir_slice_from_str(info->peer->ns);
        f.account = weir_slice_from_str(info->peer->account);
    }
    return weir_authz_allows(rt->authz, &f, ret_policy);
}

static void ask(const struct weir_conn *c, const struct weir_parent *p,
                const struct weir_head *head, struct weir_rbac_answer *ret) {
    const struct weir_stream_info *info = &c->info;
    struct weir_rbac_flow f = { .source = info->remote,
                                .client = info->remote,
                                .destination = info->local,
                                .port = p->port,
                                .proven = info->peer != NULL,
                                .sni = info->sni };

    if (c->source) { /* info->remote is what a PROXY header says */
        struct weir_stream_info below;

        weir_stream_info(c->stream, &below);
        f.source = below.remote;
    }
    if (info->peer) {
        f.domain = weir_slice_from_str(info->peer->trust_domain);
        f.ns = weir_slice_from_str(info->peer->ns);
        f.account = weir_slice_from_str(info->peer->account);
    }
    weir_rbac_decide(p->rbac, &f, head, ret);
}

static void tally(struct weir_worker *w, const struct weir_rbac_answer *a) {
    if (!a->allowed)
        weir_count(&w->metrics, WEIR_C_AUTHZ_DENIED, 1);
    if (a->would_deny[0])
        weir_count(&w->metrics, WEIR_C_AUTHZ_WOULD_DENY, 1);
    if (a->noted[0])
        weir_count(&w->metrics, WEIR_C_AUTHZ_AUDITED, 1);
}

bool weir_judge_relay(struct weir_conn *c, const char **ret_policy) {
    const struct weir_parent *p = weir_down_parent(c);
    struct weir_rbac_answer a;

    if (!network_allows(c, c->worker->epoch->rt, ret_policy))
        return false;
    if (!p || !p->rbac)
        return true;
    ask(c, p, NULL, &a);
    tally(c->worker, &a);
    if (a.allowed && (a.would_deny[0] || a.noted[0]))
        weir_log(WEIR_LOG_INFO, "policy_audit", "conn=%llu service=%s would_deny=%s audited=%s",
                 (unsigned long long)c->id, p->name, a.would_deny, a.noted);
    *ret_policy = a.policy;
    return a.allowed;
}

/* True: it may go on; else *ret_fault and *ret_policy say why not. */
static bool still_allowed(struct weir_conn *c, struct weir_fault *ret_fault,
                          const char **ret_policy) {
    const struct weir_parent *p = weir_down_parent(c);

    if (!p)
        return true; /* its port is declared by nobody any more: no policy of ours */
    *ret_fault = WEIR_FAULT(DOWNSTREAM, IDENTITY);
    if (!c->info.peer && p->mtls == WEIR_MTLS_STRICT)
        return false;
    *ret_fault = WEIR_FAULT(DOWNSTREAM, DENIED);
    return weir_judge_relay(c, ret_policy);
}

void weir_judge_again(struct weir_worker *w) {
    WEIR_LIST_FOREACH_SAFE (it, next, &w->downs) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, node);
        const char *policy = "";
        struct weir_fault fault;

        if (c->state != WEIR_CONN_RELAY || c->dir != WEIR_DIR_INBOUND ||
            still_allowed(c, &fault, &policy))
            continue;
        weir_log(WEIR_LOG_INFO, "relay_revoked", "conn=%llu policy=%s", (unsigned long long)c->id,
                 policy[0] ? policy : "-");
        weir_conn_fail(c, fault);
    }
}

struct weir_fault weir_judge_txn(struct weir_txn *t) {
    const struct weir_fault denied = WEIR_FAULT(DOWNSTREAM, DENIED);
    struct weir_rbac_answer *a;

    if (!network_allows(t->down, t->epoch->rt, &t->fault_detail)) {
        if (!t->identified)
            return denied;
        weir_count(&t->worker->metrics, WEIR_C_IDENTITY_REFUSED, 1);
        return WEIR_FAULT(DOWNSTREAM, IDENTITY);
    }
    if (!t->parent->rbac)
        return WEIR_FAULT(LOCAL, NONE);
    a = weir_arena_alloc(&t->arena, sizeof(*a));
    if (!a)
        return WEIR_FAULT(LOCAL, INTERNAL);
    ask(t->down, t->parent, &t->req, a);
    tally(t->worker, a);
    t->judged = a;
    if (a->allowed)
        return WEIR_FAULT(LOCAL, NONE);
    t->fault_detail = a->policy;
    return denied;
}
