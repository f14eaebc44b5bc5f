/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration that is right and does not fit into the kernel, as a problem with a place: the agent
 * refuses it and `weir validate` says it, with the same words. */
#include "kern/plan.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

/* message: taken over. */
static int add(struct weir_problems *problems, const struct weir_place *place, char *message) {
    struct weir_problem *items =
        weir_reallocarray(problems->items, problems->n + 1UL, sizeof(*items));
    struct weir_problem *p;

    if (!items) {
        weir_free(message);
        return -ENOMEM;
    }
    problems->items = items;
    p = &items[problems->n];
    *p = (struct weir_problem){ .severity = WEIR_SEVERITY_ERROR, .place = *place };
    p->place.file = weir_strndup(place->file, strlen(place->file));
    p->field = weir_strndup("spec", 4);
    p->message = message;
    problems->n++;
    return p->place.file && p->field && p->message ? WEIR_CONF_REFUSED : -ENOMEM;
}

int weir_plan_fits(const struct weir_snapshot *snapshot, enum weir_plan_whose whose,
                   struct weir_problems *problems) {
    struct weir_plan_report report = { 0 };
    int r = weir_plan_check(snapshot, whose, &report);
    char *text;

    if (r || !report.too_many_rules)
        return r;
    text = weir_asprintf(
        "with this policy pod %s/%s has more than %u rules in one direction that differ in "
        "more than their peers; name port ranges (endPort) instead of single ports, or use "
        "fewer combinations of identity and ipBlocks",
        report.too_many_rules->meta.namespace_, report.too_many_rules->meta.name, WEIR_PLAN_RULES);
    return add(problems, &report.too_many_at->place, text);
}
