/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rule gets what from the RoutePolicies: what is said of a rule by its name comes before what
 * is said of its whole route, field by field. Of two policies on one target the older counts.
 */
#include <stdio.h>
#include <string.h>

#include "conf/decode_route.h"
#include "conf/link.h"

/* A target and the policy that has it. */
struct claim {
    struct weir_hnode node; /* "Kind/namespace/name/section" */
    const struct weir_draft *by;
};

struct walk {
    struct weir_link *l;
    struct weir_htab claims;
    const struct weir_draft_route_policy *policy;
    uint32_t index; /* of the targetRef at hand */
};

static int warn(struct walk *w, const char *message, const char *other) {
    const struct weir_policy_target *t = &w->policy->targets[w->index];
    char field[64];

    snprintf(field, sizeof(field), "spec.targetRefs[%u]", w->index);
    return weir_link_warn(w->l, &w->policy->head, &t->place, field, "%s %s/%s%s%s %s%s", t->kind,
                          w->policy->head.meta.namespace_, t->name,
                          t->section[0] != '\0' ? " rule " : "", t->section, message, other);
}

/* The policy that has the target: this one, unless an older one came before. */
static int claim(struct walk *w, const struct weir_draft **ret_by) {
    const struct weir_policy_target *t = &w->policy->targets[w->index];
    struct claim *mine = weir_arena_calloc(&w->l->b->arena, 1, sizeof(*mine));
    const char *key = weir_arena_printf(&w->l->b->arena, "%s/%s/%s/%s", t->kind,
                                        w->policy->head.meta.namespace_, t->name, t->section);
    int r;

    if (mine == NULL || key == NULL) {
        return -ENOMEM;
    }
    mine->node.key = weir_slice_from_str(key);
    mine->by = &w->policy->head;
    r = weir_htab_add(&w->claims, &mine->node);
    if (r == -EEXIST) {
        mine = WEIR_CONTAINER_OF(weir_htab_find(&w->claims, mine->node.key), struct claim, node);
        r = 0;
    }
    *ret_by = mine->by;
    return r;
}

/* What `over` does not state is as `under` says. */
static void lay_under(struct weir_route_policy *over, const struct weir_route_policy *under) {
    if (over->expect == WEIR_EXPECT_UNSET) {
        over->expect = under->expect;
    }
    if (!over->has_max_body && under->has_max_body) {
        over->has_max_body = true;
        over->max_body = under->max_body;
    }
    if (!over->has_min_body_rate && under->has_min_body_rate) {
        over->has_min_body_rate = true;
        over->min_body_rate = under->min_body_rate;
    }
}

/* The rules are the snapshot's: drafts and routes share them. False: no rule of that name. */
static bool apply(struct weir_http_route *route, const char *section,
                  const struct weir_route_policy *policy) {
    bool found = section[0] == '\0';

    for (uint32_t i = 0; i < route->n_rules; i++) {
        if (section[0] == '\0' || strcmp(route->rules[i].name, section) == 0) {
            lay_under(&route->rules[i].policy, policy);
            found = true;
        }
    }
    return found;
}

static int attach(struct walk *w) {
    const struct weir_policy_target *t = &w->policy->targets[w->index];
    struct weir_draft *route =
        weir_link_find(w->l, t->kind, w->policy->head.meta.namespace_, t->name);
    const struct weir_draft *by = NULL;
    int r;

    if (route == NULL) {
        return warn(w, "is not among the documents", "");
    }
    r = claim(w, &by);
    if (r != 0) {
        return r;
    }
    if (by != &w->policy->head) {
        return warn(w, "has an older RoutePolicy, which counts: ", by->meta.name);
    }
    if (!apply(&((struct weir_draft_route *)route)->value, t->section, &w->policy->value)) {
        return warn(w, "is not among its rules", "");
    }
    return 0;
}

/* Those for a named rule, or those for whole routes, the oldest first. */
static int attach_all(struct walk *w, bool named) {
    uint32_t n = w->l->b->drafts[WEIR_KIND_ROUTE_POLICY].n;
    int r = 0;

    for (uint32_t i = 0; i < n; i++) {
        w->policy = (const struct weir_draft_route_policy *)w->l->sorted[WEIR_KIND_ROUTE_POLICY][i];
        for (w->index = 0; w->index < w->policy->n_targets && r == 0; w->index++) {
            if ((w->policy->targets[w->index].section[0] != '\0') == named) {
                r = attach(w);
            }
        }
    }
    return r;
}

int weir_link_route_policies(struct weir_link *l) {
    uint64_t seed[2] = { (uint64_t)(uintptr_t)l, (uint64_t)(uintptr_t)l->b };
    struct walk w = { .l = l };
    int r;

    weir_htab_init(&w.claims, seed);
    r = attach_all(&w, true);
    if (r == 0) {
        r = attach_all(&w, false);
    }
    weir_htab_deinit(&w.claims);
    return r;
}
