/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BackendPolicy of weir.dev/v1alpha1: what a Service cannot say about how its endpoints are talked to. What it does not
 * state stays WEIR_UNSET_*; who it is for is linked in backends.c.
 */
#include <string.h>

#include "conf/build.h"
#include "conf/syntax.h"

int weir_decode_policy_target(struct weir_dec *d, const struct weir_node *n,
                              const struct weir_object *object, struct weir_policy_target *out) {
    int r;

    *out = (struct weir_policy_target){ .group = "", .kind = "", .name = "", .section = "" };
    r = weir_dec_object(d, n, object, out);
    out->place = weir_dec_place(d, n);
    return r;
}

static const struct weir_field target_fields[] = {
    WEIR_F("group", struct weir_policy_target, group, weir_dec_string),
    WEIR_F_REQ("kind", struct weir_policy_target, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_policy_target, name, weir_dec_string),
    WEIR_F("sectionName", struct weir_policy_target, section, weir_dec_string),
};
static const struct weir_object target_object =
    WEIR_OBJECT("BackendPolicy.spec.targetRefs[]", target_fields);

static int decode_target(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_policy_target *target = out;
    int r = weir_decode_policy_target(d, n, &target_object, target);

    if (r != 0 || target->kind[0] == '\0') {
        return r;
    }
    if (strcmp(target->kind, "Service") != 0) {
        return weir_dec_error_in(d, n, "kind", "a BackendPolicy is for a Service, not for a %.64s",
                                 target->kind);
    }
    if (target->group[0] != '\0' && strcmp(target->group, "core") != 0) {
        return weir_dec_error_in(d, n, "group", "a Service is of group \"\", not of %.64s",
                                 target->group);
    }
    return 0;
}

static int decode_positive(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_duration(d, n, out);

    return r == 0 && *(uint64_t *)out == 0 ? weir_dec_error(d, n, "must be longer than 0") : r;
}

static int decode_at_least(struct weir_dec *d, const struct weir_node *n, uint32_t *out,
                           int64_t min) {
    int64_t value = min;
    int r = weir_dec_int(d, n, min, 100000000, &value);

    *out = (uint32_t)value;
    return r;
}

static int decode_count(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_at_least(d, n, out, 1);
}

static int decode_count_or_none(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_at_least(d, n, out, 0);
}

#define CONNECTION(key, member, fn) WEIR_F(key, struct weir_connection_spec, member, fn)
static const struct weir_field connection_fields[] = {
    CONNECTION("connectTimeout", connect_us, decode_positive),
    CONNECTION("idleTimeout", idle_us, decode_positive),
    CONNECTION("maxLifetime", lifetime_us, weir_dec_duration),
    CONNECTION("headerTimeout", head_us, weir_dec_duration),
    CONNECTION("maxConnections", connections, decode_count),
    CONNECTION("maxPending", pending, decode_count_or_none),
    CONNECTION("maxRequestsPerConnection", requests, decode_count_or_none),
};
static const struct weir_object connection_object =
    WEIR_OBJECT("BackendPolicy.spec.connection", connection_fields);

static int decode_connection(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &connection_object, out);
}

static int decode_balancer(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Random", "LeastConnections", "Latency", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(enum weir_balancer *)out = (enum weir_balancer)(WEIR_BALANCER_RANDOM + i);
    return r;
}

#define SPEC(key, member, fn) WEIR_F(key, struct weir_backend_policy, member, fn)
static const struct weir_field spec_fields[] = {
    WEIR_F_LIST("targetRefs", struct weir_backend_policy, targets, n_targets, decode_target),
    SPEC("connection", connection, decode_connection),
    SPEC("balancer", balancer, decode_balancer),
};
static const struct weir_object spec_object = WEIR_OBJECT("BackendPolicy.spec", spec_fields);

static int decode_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_backend_policy *policy = out;
    int r = weir_dec_object(d, n, &spec_object, out);

    if (r == 0 && policy->n_targets == 0 && weir_node_get(n, "targetRefs") == NULL) {
        return weir_dec_error_in(d, n, "targetRefs", "required, but not given");
    }
    return r;
}

static const struct weir_field policy_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_REQ("spec", struct weir_draft_backend_policy, value, decode_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object policy_object = WEIR_OBJECT("BackendPolicy", policy_fields);

int weir_decode_backend_policy(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_backend_policy *policy = out;

    policy->value.connection = (struct weir_connection_spec){
        .connect_us = WEIR_UNSET_64,
        .idle_us = WEIR_UNSET_64,
        .lifetime_us = WEIR_UNSET_64,
        .head_us = WEIR_UNSET_64,
        .connections = WEIR_UNSET_32,
        .pending = WEIR_UNSET_32,
        .requests = WEIR_UNSET_32,
    };
    return weir_dec_object(d, n, &policy_object, policy);
}

const struct weir_object *const *weir_objects_backend(void) {
    static const struct weir_object *const objects[] = { &policy_object, &spec_object,
                                                         &target_object, &connection_object, NULL };
    return objects;
}
