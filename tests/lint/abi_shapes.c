/* SPDX-License-Identifier: Apache-2.0 */
/* One object of each struct both compilers share, so that their layouts are in this file's debug
 * information (abi.py). */
#include "weir/abi/explain.h"
#include "weir/abi/flow.h"
#include "weir/abi/http.h"
#include "weir/abi/maps.h"

/* clang-format off */
#define SHAPE(name) extern struct name shape_##name; struct name shape_##name
/* clang-format on */

SHAPE(weir_addr);
SHAPE(weir_meta_value);
SHAPE(weir_cgroup_value);
SHAPE(weir_cgroup_entry);
SHAPE(weir_policy_slot);
SHAPE(weir_pod_value);
SHAPE(weir_svc_key);
SHAPE(weir_svc_value);
SHAPE(weir_svc_entry);
SHAPE(weir_ep_key);
SHAPE(weir_ep_value);
SHAPE(weir_maglev_key);
SHAPE(weir_maglev_value);
SHAPE(weir_affinity_key);
SHAPE(weir_affinity_value);
SHAPE(weir_ep_load_value);
SHAPE(weir_ep_fail_key);
SHAPE(weir_ep_fail_value);
SHAPE(weir_ip_value);
SHAPE(weir_ip_entry);
SHAPE(weir_rule_item);
SHAPE(weir_rule_block);
SHAPE(weir_idset_key);
SHAPE(weir_cidr_key);
SHAPE(weir_cidr_value);
SHAPE(weir_port_key);
SHAPE(weir_port_entry);
SHAPE(weir_probe_key);
SHAPE(weir_dns_pattern_key);
SHAPE(weir_dns_server_key);
SHAPE(weir_dns_setting);
SHAPE(weir_dns_bound_key);
SHAPE(weir_dns_slot);
SHAPE(weir_dns_bound_value);
SHAPE(weir_dns_stream);
SHAPE(weir_name_key);
SHAPE(weir_name_value);
SHAPE(weir_tuple);
SHAPE(weir_canary_value);
SHAPE(weir_listener_key);
SHAPE(weir_join_at_value);
SHAPE(weir_join_sock_value);
SHAPE(weir_join_look);
SHAPE(weir_explain);
SHAPE(weir_first_key);
SHAPE(weir_first_value);
SHAPE(weir_event);
SHAPE(weir_facts);
SHAPE(weir_sock_value);
SHAPE(weir_http_flow);
SHAPE(weir_http_exchange);
SHAPE(weir_http_event);
SHAPE(weir_http_conn);
SHAPE(weir_tls_call);
SHAPE(weir_tls_key);
SHAPE(weir_tls_conn);

int main(void) {
    return 0;
}
