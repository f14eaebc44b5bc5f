/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When which pod is proven (kern/proof.h): at enrolment, every minute, and every few seconds as long
 * as it fails. A pod that is not verified makes the agent not ready; if what failed is the
 * interception itself, everything is attached anew.
 */
#include <string.h>

#include "helper/helper.h"
#include "kern/proof.h"
#include "node/kube.h"
#include "node/state.h"
#include "sys/clock.h"
#include "sys/log.h"

#define PERIOD_US 60000000ULL
#define RETRY_US  5000000ULL

static void tell(const struct weir_place_of_pod *p, bool before) {
    if (p->verified && !before)
        weir_log(WEIR_LOG_INFO, "pod_verified", "pod=%s", p->name);
    if (!p->verified)
        weir_log(WEIR_LOG_ERROR, "pod_not_verified",
                 "pod=%s why=\"%s\" effect=\"its traffic may go around policy\"", p->name,
                 p->unverified);
}

static void prove(struct weir_agent *a, struct weir_place_of_pod *p, uint64_t now) {
    uint32_t id = weir_plan_id(a->installed, WEIR_NAME_POD, p->name);
    bool before = p->verified;
    int r = id == 0 ? -ENOENT
                    : weir_kern_prove(a->kern, id, p->cgroup_path, p->netns_fd,
                                      p->netns_path[0] != '\0');

    if (r == -ENOTCONN) { /* unready says so; nothing is known to be wrong with the pod */
        p->proof_due_us = now + RETRY_US;
        return;
    }
    p->verified = r == 0;
    p->unverified = r > 0 ? weir_proof_text(r) : r < 0 ? strerrordesc_np(-r) : "";
    p->proof_due_us = now + (r == 0 ? PERIOD_US : RETRY_US);
    tell(p, before);
    if (r <= 0)
        return;
    if (r == WEIR_PROOF_NO_LOOKUP)
        p->attached = 0;
    else
        a->attached = false;
    a->stale = true;
}

void weir_agent_prove(struct weir_agent *a, bool all) {
    uint64_t now = weir_clock_mono_us();

    a->n_verified = 0;
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        if (p->pending) {
            p->verified = false;
            p->proof_due_us = 0;
            continue;
        }
        if (all || now >= p->proof_due_us)
            prove(a, p, now);
        a->n_verified += p->verified;
    }
}

const char *weir_agent_unready(const struct weir_agent *a) {
    struct weir_helper_facts helper;

    weir_helper_facts(a->helper, &helper);
    if (a->handed_over)
        return "another agent has taken over";
    if (weir_agent_kube_unready(a))
        return weir_agent_kube_unready(a);
    if (!a->attached)
        return "the programs are not attached";
    if (a->stale)
        return "what is in force is not known to be what the configuration says";
    if (helper.away)
        return "the helper is away";
    if (a->n_verified < a->enrol.n_enrolled)
        return "interception is not proven for every enrolled pod";
    return NULL;
}
