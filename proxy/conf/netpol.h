/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of a NetworkPolicy select, read to the letter of networking.k8s.io/v1. The
 * kernel's compiled form and the sidecar's identity check are both made from these few questions,
 * so they cannot drift apart.
 */
#ifndef WEIR_CONF_NETPOL_H
#define WEIR_CONF_NETPOL_H

#include "conf/model.h"

bool weir_cidr_covers(const struct weir_cidr *cidr, const struct weir_ip *ip);
bool weir_egress_selects(const struct weir_egress_policy *policy, const struct weir_pod *pod);
/* Does the pattern mean the name, or all that the other pattern means? Lower case, no dot at the end. */
bool weir_egress_name_covers(const char *pattern, const char *name);
/* Does the policy apply to this pod? Only in its own namespace; never to a pod on the host's
 * network, which has no address of its own. */
bool weir_netpol_selects(const struct weir_netpol *policy, const struct weir_pod *pod);
/* Does this peer name the pod by selectors? False for an ipBlock. */
bool weir_netpol_peer_selects(const struct weir_netpol *policy, const struct weir_netpol_peer *peer,
                              const struct weir_pod *pod);
/* Does this peer name the address by ipBlock, and no exception take it out? False for selectors. */
bool weir_netpol_peer_covers(const struct weir_netpol_peer *peer, const struct weir_ip *ip);
/*
 * The ports a rule's port entry means at one destination pod (NULL: an address without a pod, where
 * a named port means nothing). False = none. 0..65535 = all of the protocol. A name that the pod
 * declares for several ports means the first of them.
 */
bool weir_netpol_port_range(const struct weir_netpol_port *port, const struct weir_pod *destination,
                            uint16_t *ret_first, uint16_t *ret_last);

#endif
