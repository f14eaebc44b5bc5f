/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters of a rule and of the backend chosen, in the life of a request: those that answer by
 * themselves before a backend is asked, those that change the heads on their way, and the start of
 * mirrors. What a filter does to a head is route's matter. Only called for routes that have filters.
 */
#include "core/filter.h"

struct filter_list {
    const struct weir_filter *filters;
    uint32_t n;
};

static struct filter_list of_rule(const struct weir_txn *t) {
    return (struct filter_list){ t->decision.rule->filters, t->decision.rule->n_filters };
}

static struct filter_list of_backend(const struct weir_txn *t) {
    return (struct filter_list){ t->backend ? t->backend->filters : NULL,
                                 t->backend ? t->backend->n_filters : 0 };
}

static const struct weir_filter *find(const struct weir_txn *t, enum weir_filter_type type) {
    struct filter_list rule = of_rule(t), backend = of_backend(t);
    const struct weir_filter *f = weir_route_filter(rule.filters, rule.n, type);

    return f ? f : weir_route_filter(backend.filters, backend.n, type);
}

bool weir_filter_answers(struct weir_txn *t) {
    const struct weir_filter *cors = find(t, WEIR_FILTER_CORS);

    if (cors) {
        const struct weir_field *origin = weir_head_find(&t->req, WEIR_SLICE("origin"));

        t->cors = &cors->cors;
        t->origin = origin ? origin->value : WEIR_SLICE_NONE;
    }
    t->answer = cors && weir_cors_is_preflight(&t->req) ? cors : find(t, WEIR_FILTER_REDIRECT);
    return t->answer != NULL;
}

void weir_filter_answered(const struct weir_txn *t, const char **ret_flag,
                          const char **ret_reason) {
    bool redirects = t->answer->type == WEIR_FILTER_REDIRECT;

    *ret_flag = redirects ? "RD" : "PF";
    *ret_reason = redirects ? "redirect" : "preflight";
}

static int redirect(struct weir_txn *t) {
    struct weir_route_origin from = { .tls = t->down->info.tls, .port = t->parent->port };
    const struct weir_rewrite *rw = &t->answer->rewrite;
    struct weir_slice location;
    int r = weir_route_location(rw, t->decision.match, &t->req, &from, &location);

    if (r)
        return r;
    t->res.status = rw->status;
    r = weir_head_add(&t->res, WEIR_SLICE("location"), location);
    return r == 0 ? weir_filter_response(t) : r;
}

static int preflight(struct weir_txn *t) {
    t->res.status = 204;
    return weir_cors_preflight(t->cors, &t->req, &t->res);
}

/* As the answers of http/fault.c; which these are not, for nothing is wrong. */
static int give_reason(struct weir_txn *t, const char *reason, bool content) {
    int r = weir_head_add(&t->res, WEIR_SLICE("x-weir-reason"), weir_slice_from_str(reason));

    return r < 0 || !content ? r
                             : weir_head_add(&t->res, WEIR_SLICE("content-type"),
                                             WEIR_SLICE("text/plain; charset=utf-8"));
}

void weir_filter_answer(struct weir_txn *t) {
    bool redirects = t->answer->type == WEIR_FILTER_REDIRECT;
    const char *flag, *reason;
    int r;

    weir_filter_answered(t, &flag, &reason);
    weir_head_init(&t->res, &t->arena);
    t->res.is_response = true;
    r = give_reason(t, reason, redirects);
    if (r == 0)
        r = redirects ? redirect(t) : preflight(t);
    if (r)
        weir_txn_reply_fault(
            t, r > 0 ? WEIR_FAULT(DOWNSTREAM, BAD_AUTHORITY) : WEIR_FAULT(LOCAL, INTERNAL), "");
    else
        weir_txn_reply_local(
            t, redirects ? WEIR_SLICE("weir: The route redirects this request. (RD redirect)\n")
                         : WEIR_SLICE(""));
}

static int change_request(struct weir_txn *t, struct filter_list list) {
    const struct weir_filter *rewrite =
        weir_route_filter(list.filters, list.n, WEIR_FILTER_REWRITE);
    int r = weir_route_modify(list.filters, list.n, WEIR_FILTER_REQUEST_HEADERS, &t->req);

    if (r || !rewrite)
        return r;
    if (!t->asked_target.ptr) {
        t->asked_target = t->req.target;
        t->asked_authority = t->req.authority;
    }
    return weir_route_rewrite(&rewrite->rewrite, t->decision.match, &t->req);
}

static void start_mirrors(struct weir_txn *t, struct filter_list list) {
    for (uint32_t i = 0; i < list.n; i++)
        if (list.filters[i].type == WEIR_FILTER_MIRROR)
            weir_mirror_start(t, &list.filters[i].mirror);
}

int weir_filter_request(struct weir_txn *t) {
    struct filter_list backend = of_backend(t);
    int r = change_request(t, of_rule(t));

    if (r)
        return r;
    start_mirrors(t, of_rule(t));
    r = change_request(t, backend);
    if (r == 0)
        start_mirrors(t, backend);
    return r;
}

int weir_filter_response(struct weir_txn *t) {
    struct filter_list rule = of_rule(t), backend = of_backend(t);
    int r = weir_route_modify(backend.filters, backend.n, WEIR_FILTER_RESPONSE_HEADERS, &t->res);

    if (r == 0)
        r = weir_route_modify(rule.filters, rule.n, WEIR_FILTER_RESPONSE_HEADERS, &t->res);
    return r == 0 && t->cors ? weir_cors_response(t->cors, t->origin, &t->res) : r;
}
