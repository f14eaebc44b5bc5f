/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RoutePolicy of weir.dev: what an HTTPRoute or GRPCRoute cannot say of its rules. Each field can be left out;
 * which rule gets what is the matter of route_policies.c.
 */
#include "conf/decode_route.h"

#include <string.h>

static int decode_expect(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "forward", "local", NULL };
    static const enum weir_expect values[] = { WEIR_EXPECT_FORWARD, WEIR_EXPECT_LOCAL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(enum weir_expect *)out = values[i];
    return r;
}

static int decode_max_body(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_route_policy *policy = out;

    policy->value.has_max_body = true;
    return weir_dec_size(d, n, &policy->value.max_body);
}

static int decode_min_rate(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_route_policy *policy = out;

    policy->value.has_min_body_rate = true;
    return weir_dec_ranged(d, n, 0, 100000000, &policy->value.min_body_rate);
}

static bool is_route(const struct weir_policy_target *ref) {
    return strcmp(ref->group, "gateway.networking.k8s.io") == 0 &&
           (strcmp(ref->kind, "HTTPRoute") == 0 || strcmp(ref->kind, "GRPCRoute") == 0);
}

static const struct weir_field target_fields[] = {
    WEIR_F_REQ("group", struct weir_policy_target, group, weir_dec_string),
    WEIR_F_REQ("kind", struct weir_policy_target, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_policy_target, name, weir_dec_string),
    WEIR_F("sectionName", struct weir_policy_target, section, weir_dec_string),
};
static const struct weir_object target_object =
    WEIR_OBJECT("RoutePolicy.spec.targetRefs[]", target_fields);

static int decode_target(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_policy_target *ref = out;
    int r = weir_decode_policy_target(d, n, &target_object, out);

    if (r == 0 && n->type == WEIR_NODE_MAP && ref->kind[0] != '\0' && !is_route(ref)) {
        return weir_dec_error_in(d, n, "kind",
                                 "a RoutePolicy is attached to an HTTPRoute or GRPCRoute of "
                                 "gateway.networking.k8s.io, not to a %.64s of \"%.64s\"",
                                 ref->kind, ref->group);
    }
    return r;
}

static const struct weir_field spec_fields[] = {
    WEIR_F_LIST("targetRefs", struct weir_draft_route_policy, targets, n_targets, decode_target),
    WEIR_F("expectContinue", struct weir_draft_route_policy, value.expect, decode_expect),
    WEIR_F_SELF("maxRequestBody", decode_max_body),
    WEIR_F_SELF("minBodyRate", decode_min_rate),
};
static const struct weir_object spec_object = WEIR_OBJECT("RoutePolicy.spec", spec_fields);

static int decode_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_draft_route_policy *policy = out;
    int r = weir_dec_object(d, n, &spec_object, out);

    if (r == 0 && n->type == WEIR_NODE_MAP && policy->n_targets == 0) {
        return weir_dec_error_in(d, n, "targetRefs", "required: the routes it is for");
    }
    return r;
}

static const struct weir_field policy_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object policy_object = WEIR_OBJECT("RoutePolicy", policy_fields);

int weir_decode_route_policy(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &policy_object, out);
}

const struct weir_object *const *weir_objects_route_policy(void) {
    static const struct weir_object *const objects[] = { &policy_object, &spec_object,
                                                         &target_object, NULL };
    return objects;
}
