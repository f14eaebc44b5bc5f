/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podSelector alone: pods of the policy's own namespace. namespaceSelector alone: every pod of the
 * namespaces it selects. Both: the pods selected, in the namespaces selected. An absent selector is
 * not an empty one.
 */
#include "conf/netpol.h"

#include <string.h>

bool weir_cidr_covers(const struct weir_cidr *cidr, const struct weir_ip *ip) {
    static const uint8_t v4[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    unsigned whole = cidr->prefix / 8U, rest = cidr->prefix % 8U;

    /* ::/0 is every IPv6 address and no IPv4 one, whatever form we hold those in. */
    if (cidr->prefix < 96 && memcmp(ip->b, v4, sizeof(v4)) == 0)
        return false;
    if (memcmp(cidr->ip.b, ip->b, whole) != 0)
        return false;
    return rest == 0 || ((cidr->ip.b[whole] ^ ip->b[whole]) >> (8U - rest)) == 0;
}

bool weir_netpol_selects(const struct weir_netpol *policy, const struct weir_pod *pod) {
    return !pod->host_network && strcmp(policy->meta.namespace_, pod->meta.namespace_) == 0 &&
           weir_selector_matches(&policy->pods, pod->meta.labels, pod->meta.n_labels);
}

bool weir_egress_selects(const struct weir_egress_policy *policy, const struct weir_pod *pod) {
    return !pod->host_network && strcmp(policy->meta.namespace_, pod->meta.namespace_) == 0 &&
           weir_selector_matches(&policy->pods, pod->meta.labels, pod->meta.n_labels);
}

/* "*.example.com" covers whatever ends in ".example.com" and has something before it, "*.a.example.com" too. */
bool weir_egress_name_covers(const char *pattern, const char *name) {
    size_t n_pattern = strlen(pattern), n_name = strlen(name);

    if (strcmp(pattern, name) == 0)
        return true;
    return pattern[0] == '*' && n_name >= n_pattern &&
           strcmp(pattern + 1, name + n_name - (n_pattern - 1)) == 0;
}

bool weir_netpol_peer_selects(const struct weir_netpol *policy, const struct weir_netpol_peer *peer,
                              const struct weir_pod *pod) {
    if (peer->is_block || pod->host_network)
        return false;
    if (peer->namespaces.given) {
        if (!weir_selector_matches(&peer->namespaces, pod->ns->meta.labels, pod->ns->meta.n_labels))
            return false;
    } else if (strcmp(policy->meta.namespace_, pod->meta.namespace_) != 0) {
        return false;
    }
    return !peer->pods.given ||
           weir_selector_matches(&peer->pods, pod->meta.labels, pod->meta.n_labels);
}

bool weir_netpol_peer_covers(const struct weir_netpol_peer *peer, const struct weir_ip *ip) {
    if (!peer->is_block || !weir_cidr_covers(&peer->block, ip))
        return false;
    for (uint32_t i = 0; i < peer->n_except; i++)
        if (weir_cidr_covers(&peer->except[i], ip))
            return false;
    return true;
}

bool weir_netpol_port_range(const struct weir_netpol_port *port, const struct weir_pod *destination,
                            uint16_t *ret_first, uint16_t *ret_last) {
    if (port->name[0] == '\0') {
        *ret_first = port->first;
        *ret_last = port->last;
        return true;
    }
    for (uint32_t i = 0; destination && i < destination->n_ports; i++) {
        const struct weir_container_port *p = &destination->ports[i];

        if (p->proto == port->proto && strcmp(p->name, port->name) == 0) {
            *ret_first = *ret_last = p->port;
            return true;
        }
    }
    return false;
}
