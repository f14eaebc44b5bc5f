/* SPDX-License-Identifier: Apache-2.0 */
/* Names in egress rules as the agent keeps and shows them. */
#ifndef WEIR_NODE_NAMES_H
#define WEIR_NODE_NAMES_H

#include "conf/snapshot.h"
#include "node/text.h"
#include "weir/abi/maps.h"

struct weir_agent;

#define WEIR_AGENT_PODS_DUE 256 /* pods with an address that runs out, told apart in one sweep */

/* Addresses bound to names, as the last sweep left them. */
struct weir_agent_names {
    uint32_t addresses, kept; /* kept: by a socket only */
    uint64_t expired;         /* so far */
    uint32_t ticks;           /* since the last sweep */
};

/* names.c: the servers of this node's resolv.conf that a pod may ask too; weir_free. 0, -ENOMEM. */
int weir_agent_node_dns(struct weir_ip **ret_ips, uint32_t *ret_n);
/* Once a second: what has run out and has no socket is forgotten now and then. */
void weir_agent_names_tick(struct weir_agent *a);
/* Addresses bound for a pod ("namespace/name"), or for all when it is "". */
void weir_agent_names(struct weir_agent *a, const char *pod, struct weir_textbuf *out);
/* Members of an object: what one address is bound by. */
void weir_agent_put_names(const struct weir_agent *a, const struct weir_dns_bound_value *v,
                          struct weir_textbuf *out);
/* An address that the pod (local id) was answered for that very name; IPv4 first. */
bool weir_agent_name_address(struct weir_agent *a, uint32_t pod, const char *name,
                             struct weir_addr *ret_addr);
#endif
