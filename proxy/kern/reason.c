/* SPDX-License-Identifier: Apache-2.0 */
/* Names for people, of what the kernel counts. Metrics and logs use them, so they never change. */
#include "kern/kern.h"

static const char *const names[] = {
    [WEIR_REASON_NONE] = "none",
    [WEIR_ALLOW_DIRECT] = "allow_direct",
    [WEIR_ALLOW_SERVICE] = "allow_service",
    [WEIR_ALLOW_STEERED] = "allow_steered",
    [WEIR_ALLOW_PROXY] = "allow_proxy",
    [WEIR_ALLOW_LOCAL] = "allow_local",
    [WEIR_ALLOW_OUTSIDE] = "allow_outside",
    [WEIR_ALLOW_INGRESS] = "allow_ingress",
    [WEIR_ALLOW_INGRESS_PROXY] = "allow_ingress_proxy",
    [WEIR_ALLOW_APP_BOUND] = "allow_app_bound",
    [WEIR_ALLOW_PROBE] = "allow_probe",
    [WEIR_ALLOW_UDP_ANSWER] = "allow_udp_answer",
    [WEIR_ALLOW_FAIL_OPEN] = "allow_fail_open",
    [WEIR_ALLOW_AUDIT] = "allow_audit",
    [WEIR_DENY_EGRESS] = "deny_egress",
    [WEIR_DENY_INGRESS] = "deny_ingress",
    [WEIR_DENY_NO_POD] = "deny_no_pod",
    [WEIR_DENY_NO_ENDPOINT] = "deny_no_endpoint",
    [WEIR_DENY_NO_LISTENER] = "deny_no_listener",
    [WEIR_DENY_REFUSED_CGROUP] = "deny_refused_cgroup",
    [WEIR_DENY_UNDECIDED] = "deny_undecided",
    [WEIR_DENY_PROXY_PORT] = "deny_proxy_port",
    [WEIR_DENY_SPOOFED] = "deny_spoofed",
    [WEIR_DENY_SOCKET] = "deny_socket",
    [WEIR_DENY_MAP_FULL] = "deny_map_full",
    [WEIR_DENY_NO_ORIGIN] = "deny_no_origin",
    [WEIR_DENY_EARLY_L7] = "deny_early_l7",
    [WEIR_HELD] = "held",
    [WEIR_LOST_EVENT] = "lost_event",
    [WEIR_LOST_DENIAL] = "lost_denial",
    [WEIR_SEEN_LISTENER] = "seen_listener",
    [WEIR_SEEN_OPEN] = "seen_open",
    [WEIR_SEEN_CLOSE] = "seen_close",
    [WEIR_JOIN_ENTERED] = "join_entered",
    [WEIR_JOIN_BEGAN] = "join_began",
    [WEIR_JOIN_NO_PEER] = "join_no_peer",
    [WEIR_JOIN_NOT_READER] = "join_not_reader",
    [WEIR_JOIN_UNREAD] = "join_unread",
    [WEIR_JOIN_FULL] = "join_full",
    [WEIR_JOIN_STALE] = "join_stale",
    [WEIR_JOIN_POLICY] = "join_policy",
    [WEIR_JOIN_OFF] = "join_off",
    [WEIR_JOIN_NOT_EMPTY] = "join_not_empty",
    [WEIR_JOIN_NO_ROOM] = "join_no_room",
    [WEIR_JOIN_SOCKOPT] = "join_sockopt",
    [WEIR_DENY_ENDPOINT_GONE] = "deny_endpoint_gone",
    [WEIR_SEEN_CANARY] = "seen_canary",
    [WEIR_ALLOW_NOTED] = "allow_noted",
    [WEIR_DENY_UNPROVEN] = "deny_unproven",
    [WEIR_SEEN_PROBE] = "seen_probe",
    [WEIR_SEEN_EJECTED] = "seen_ejected",
    [WEIR_HELD_SIDECAR] = "held_sidecar",
    [WEIR_JOIN_WATCHED] = "join_watched",
    [WEIR_FIRST_NOTED] = "first_noted",
    [WEIR_FIRST_CONTRARY] = "first_contrary",
    [WEIR_FIRST_TOLD] = "first_told",
};
_Static_assert(WEIR_ARRAY_LEN(names) == WEIR_REASON_COUNT_, "every reason has a name");
_Static_assert(WEIR_REASON_COUNT_ <= WEIR_REASON_SLOTS, "weir_count has a slot for each");

const char *weir_reason_name(unsigned reason) {
    return reason < WEIR_ARRAY_LEN(names) ? names[reason] : "";
}

static const char *const dns_names[] = {
    [WEIR_DNS_ANSWERS] = "answers",     [WEIR_DNS_OTHER] = "other",
    [WEIR_DNS_BOUND] = "bound",         [WEIR_DNS_RENEWED] = "renewed",
    [WEIR_DNS_UNASKED] = "unasked",     [WEIR_DNS_TRUNCATED] = "truncated",
    [WEIR_DNS_MALFORMED] = "malformed", [WEIR_DNS_LONG] = "long",
    [WEIR_DNS_MANY] = "many",           [WEIR_DNS_ADDRESS] = "address",
    [WEIR_DNS_FULL] = "full",           [WEIR_DNS_SHARED] = "shared",
};
_Static_assert(WEIR_ARRAY_LEN(dns_names) == WEIR_DNS_COUNTS_, "every count has a name");

const char *weir_dns_count_name(unsigned what) {
    return what < WEIR_ARRAY_LEN(dns_names) ? dns_names[what] : "";
}
