/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the kubelet's probes are known (decisions.md 7): its own connections, recorded on its cgroup; else whatever comes from this
 * node's addresses to a port that a probe names.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "base/mem.h"
#include "kern/recorder.h"
#include "node/state.h"
#include "sys/cgroup.h"
#include "sys/log.h"

/* False: an address that no probe comes from. */
static bool take_address(const struct ifaddrs *i, struct weir_ip *ret) {
    static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)i->ifa_addr;
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)i->ifa_addr;

    if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK))
        return false;
    if (i->ifa_addr->sa_family == AF_INET) {
        memcpy(ret->b, v4, sizeof(v4));
        memcpy(ret->b + 12, &in->sin_addr, 4);
        return true;
    }
    if (i->ifa_addr->sa_family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
        return false;
    memcpy(ret->b, &in6->sin6_addr, 16);
    return true;
}

int weir_agent_node_ips(const struct weir_agent *a, struct weir_ip **ret_ips, uint32_t *ret_n) {
    struct ifaddrs *list = NULL;
    struct weir_ip *ips;
    uint32_t n = 0;

    *ret_ips = NULL;
    *ret_n = 0;
    if (a->probes_recorded || getifaddrs(&list) < 0)
        return 0;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next)
        n++;
    ips = weir_calloc(n + 1UL, sizeof(*ips));
    if (!ips) {
        freeifaddrs(list);
        return -ENOMEM;
    }
    for (const struct ifaddrs *i = list; i; i = i->ifa_next)
        *ret_n += take_address(i, &ips[*ret_n]);
    freeifaddrs(list);
    *ret_ips = ips;
    return 0;
}

void weir_agent_record_probes(struct weir_agent *a) {
    const char *cgroup = a->snapshot->agent.kubelet_cgroup;
    char path[4096];
    bool before = a->probes_recorded;
    int r = 0;

    path[0] = '\0';
    if (cgroup[0])
        r = weir_cgroup_path(cgroup, path, sizeof(path));
    if (r == 0)
        r = weir_kern_record_probes(a->kern, path);
    a->probes_recorded = r == 0 && path[0];
    if (r)
        weir_log(
            WEIR_LOG_WARN, "probes_not_recorded",
            "kubelet_cgroup=%s error=%s effect=\"probes pass by node address and declared port\"",
            weir_log_quote(weir_slice_from_str(cgroup)).s,
            weir_log_quote(weir_slice_from_str(strerror(-r))).s);
    else if (a->probes_recorded != before)
        weir_log(WEIR_LOG_INFO, a->probes_recorded ? "probes_recorded" : "probes_by_address",
                 "kubelet_cgroup=%s", weir_log_quote(weir_slice_from_str(cgroup)).s);
}
