/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BackendPolicies to the ports of Services. One that names a port beats one for the whole Service; of two that name the
 * same, the older holds and the other is a warning (Gateway API's policy attachment).
 */
#include <stdio.h>
#include <string.h>

#include "conf/link.h"

struct walk {
    struct weir_link *l;
    const struct weir_draft *draft;
    const struct weir_backend_policy *policy;
    uint32_t index; /* of the targetRef at hand */
};

static bool names_port(const struct weir_backend_policy *policy, const struct weir_service *service,
                       const char *section) {
    for (uint32_t i = 0; i < policy->n_targets; i++) {
        if (strcmp(policy->targets[i].name, service->meta.name) == 0 &&
            strcmp(policy->targets[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

static int warn(struct walk *w, const struct weir_policy_target *target, const char *message,
                const struct weir_backend_policy *other) {
    char field[64];

    snprintf(field, sizeof(field), "spec.targetRefs[%u]", w->index);
    return weir_link_warn(w->l, w->draft, &target->place, field, "Service %s/%s%s%s %s%s",
                          w->policy->meta.namespace_, target->name,
                          target->section[0] != '\0' ? " port " : "", target->section, message,
                          other != NULL ? other->meta.name : "");
}

/* Takes the port unless an older policy of the same rank holds it; *ret_holder is then that one. */
static void claim(struct walk *w, const struct weir_policy_target *target,
                  const struct weir_service *service, struct weir_service_port *port,
                  const struct weir_backend_policy **ret_holder) {
    bool exact = target->section[0] != '\0';
    bool holder_exact = port->policy != NULL && port->name[0] != '\0' &&
                        names_port(port->policy, service, port->name);

    if (port->policy == NULL || (exact && !holder_exact)) {
        port->policy = w->policy;
    } else if (port->policy != w->policy && exact == holder_exact) {
        *ret_holder = port->policy;
    }
}

static int attach(struct walk *w, const struct weir_policy_target *target) {
    struct weir_snapshot *s = w->l->s;
    const struct weir_service *found =
        weir_snapshot_service(s, w->policy->meta.namespace_, target->name);
    const struct weir_backend_policy *holder = NULL;
    bool named = false;

    if (found == NULL) {
        return warn(w, target, "is not among the documents", NULL);
    }
    for (uint32_t i = 0; i < found->n_ports; i++) {
        struct weir_service_port *port = &s->services[found - s->services].ports[i];

        if (target->section[0] == '\0' || strcmp(target->section, port->name) == 0) {
            named = true;
            claim(w, target, found, port, &holder);
        }
    }
    if (!named) {
        return warn(w, target, "is not among its ports", NULL);
    }
    return holder != NULL ? warn(w, target, "has an older BackendPolicy, which holds: ", holder)
                          : 0;
}

int weir_link_backend_policies(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_BACKEND_POLICY].n;
    int r = 0;

    s->backend_policies = weir_arena_calloc(&s->arena, n, sizeof(*s->backend_policies));
    if (n > 0 && s->backend_policies == NULL) {
        return -ENOMEM;
    }
    s->n_backend_policies = n;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        const struct weir_draft *draft = l->sorted[WEIR_KIND_BACKEND_POLICY][i];
        struct weir_backend_policy *policy = &s->backend_policies[i];
        struct walk w = { .l = l, .draft = draft, .policy = policy };

        *policy = ((const struct weir_draft_backend_policy *)draft)->value;
        policy->meta = draft->meta;
        for (; w.index < policy->n_targets && r == 0; w.index++) {
            r = attach(&w, &policy->targets[w.index]);
        }
    }
    return r;
}
