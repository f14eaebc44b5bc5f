/* SPDX-License-Identifier: Apache-2.0 */
/* Joining of sockets as the agent decides it: the configuration wants it, this kernel has passed
 * its self-test, and nobody has turned it off by hand. */
#include <string.h>

#include "node/state.h"
#include "sys/log.h"

static const char *const modes[] = { "off", "auto", "on" };

static void log_part(const char *part, bool passed, const char *why) {
    if (passed)
        weir_log(WEIR_LOG_INFO, "join_test", "part=\"%s\" result=passed", part);
    else
        weir_log(WEIR_LOG_WARN, "join_test",
                 "part=\"%s\" result=failed why=%s effect=\"goes by TCP\"", part,
                 weir_log_quote(weir_slice_from_str(why)).s);
}

static void try_once(struct weir_agent *a) {
    int r = weir_kern_join_test(a->enrol.parent, &a->join);

    a->join_tried = true;
    if (r < 0) {
        a->join = (struct weir_join_report){ 0 };
        strncpy(a->join.why_readers, strerror(-r), sizeof(a->join.why_readers) - 1);
        strncpy(a->join.why_writers, strerror(-r), sizeof(a->join.why_writers) - 1);
    }
    log_part("declared workloads, both ways", a->join.readers, a->join.why_readers);
    log_part("any workload, towards its sidecar", a->join.writers, a->join.why_writers);
}

int weir_agent_join_apply(struct weir_agent *a) {
    bool wanted = a->snapshot->agent.join != WEIR_JOIN_MODE_OFF && !a->join_off;
    uint32_t flags = a->enrol.hold_us ? WEIR_META_HOLD : 0;

    if (wanted && !a->join_tried)
        try_once(a);
    if (wanted && weir_join_passed(&a->join))
        flags |= WEIR_META_JOIN | (a->join.writers ? WEIR_META_JOIN_WRITERS : 0) |
                 (a->join.readers ? WEIR_META_JOIN_READERS : 0);
    return weir_kern_set_flags(a->kern, flags,
                               (uint32_t)(a->snapshot->agent.sidecar_hold_us / 1000));
}

void weir_agent_join_status(struct weir_agent *a, struct weir_textbuf *out) {
    enum weir_join_mode mode = a->snapshot->agent.join;
    struct weir_join_look look = { 0 };

    weir_textbuf_member(out, "mode", modes[mode]);
    weir_textbuf_member(out, "state",
                        mode == WEIR_JOIN_MODE_OFF                     ? "off by configuration"
                        : a->join_off                                  ? "off by hand"
                        : a->join_tried && !weir_join_passed(&a->join) ? "unavailable"
                                                                       : "on");
    if (a->join_tried) {
        weir_textbuf_member(out, "declared_both_ways",
                            a->join.readers ? "passed" : a->join.why_readers);
        weir_textbuf_member(out, "any_to_sidecar",
                            a->join.writers ? "passed" : a->join.why_writers);
    }
    (void)weir_kern_join_look(a->kern, &look);
    weir_textbuf_number(out, "sockets", look.sockets);
    weir_textbuf_number(out, "joined", look.joined);
    weir_textbuf_number(out, "unread_bytes", look.queued);
    weir_textbuf_number(out, "unread_bytes_max", look.queued_max);
}
