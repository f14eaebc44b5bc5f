/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS to the endpoints of Services, as BackendTLSPolicies say: contexts made once per policy and protocol. A policy that leads to no
 * certificate to trust leaves its clusters without endpoints, so that nothing is sent in the clear.
 */
#include <stdio.h>

#include "base/mem.h"
#include "core/runtime_build.h"

enum kind { KIND_ANY, KIND_H2, KIND_TCP, KINDS };

static const struct weir_slice alpn_of[KINDS] = {
    [KIND_ANY] = { "\x02h2\x08http/1.1", 12 },
    [KIND_H2] = { "\x02h2", 3 },
    [KIND_TCP] = { "", 0 },
};

static int say(const struct weir_backend_tls *policy, const char *why, char **ret_why) {
    *ret_why =
        weir_asprintf("BackendTLSPolicy %s/%s: %s%s%s", policy->meta.namespace_, policy->meta.name,
                      policy->ca_file, policy->ca_file[0] ? ": " : "", why);
    return *ret_why ? WEIR_RUNTIME_CERTIFICATE : -ENOMEM;
}

static int make(const struct weir_backend_tls *policy, enum kind kind,
                const struct weir_runtime_params *params, struct weir_tls_ctx **ret_ctx,
                char **ret_why) {
    struct weir_tls_params tp = { .mode = WEIR_TLS_CLIENT, .alpn = alpn_of[kind] };
    struct weir_tls_san *sans = weir_calloc(policy->n_sans + 1, sizeof(*sans));
    const char *why = "cannot read the file";
    size_t n = 0;
    char *file = NULL;
    int r = -ENOMEM;

    if (!sans)
        return r;
    for (; tp.n_sans < policy->n_sans; tp.n_sans++)
        sans[tp.n_sans] =
            (struct weir_tls_san){ policy->sans[tp.n_sans].uri, policy->sans[tp.n_sans].value };
    tp.sans = sans;
    tp.material.ca = weir_slice_from_str(policy->ca);
    if (policy->ca_file[0]) {
        file = params->read_file(policy->ca_file, &n);
        tp.material.ca = weir_slice_make(file, n);
    }
    r = policy->ca_file[0] && !file ? 1 : weir_tls_ctx_new(&tp, ret_ctx, &why);
    weir_free(file);
    weir_free(sans);
    return r > 0 ? say(policy, why, ret_why) : r;
}

static int context(struct weir_runtime *rt, const struct weir_runtime_params *params,
                   const struct weir_backend_tls *policy, enum kind kind, char **ret_why) {
    uint32_t i = (uint32_t)(policy - rt->snapshot->backend_tls) * KINDS + kind;

    return rt->backend_tls[i] ? 0 : make(policy, kind, params, &rt->backend_tls[i], ret_why);
}

int weir_runtime_backend_tls(struct weir_runtime *rt, const struct weir_runtime_params *params,
                             const struct weir_service_port *port, struct weir_cluster *c,
                             char **ret_why) {
    const struct weir_backend_tls *policy = port->tls;
    enum kind kind = port->app == WEIR_APP_HTTP2 ? KIND_H2 : KIND_ANY;
    struct weir_tls_ctx **of;
    int r;

    if (!policy)
        return 0;
    if (policy->broken) {
        c->n_endpoints = 0;
        return 0;
    }
    if (!rt->backend_tls) {
        rt->n_backend_tls = rt->snapshot->n_backend_tls * KINDS;
        rt->backend_tls =
            weir_arena_calloc(&rt->arena, rt->n_backend_tls, sizeof(struct weir_tls_ctx *));
        if (!rt->backend_tls) {
            rt->n_backend_tls = 0;
            return -ENOMEM;
        }
    }
    r = context(rt, params, policy, kind, ret_why);
    if (r == 0)
        r = context(rt, params, policy, KIND_TCP, ret_why);
    of = rt->backend_tls + (policy - rt->snapshot->backend_tls) * KINDS;
    c->tls = of[kind];
    c->tls_tcp = of[KIND_TCP];
    c->sni = policy->hostname;
    c->proto = kind == KIND_H2 ? WEIR_UP_H2 : WEIR_UP_ALPN;
    return r;
}
