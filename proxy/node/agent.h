/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `weir agent`: one per node. Turns configuration into map entries, finds and enrols pods, reads
 * what the kernel reports. When it ends, however it ends, everything pinned stays in force; when it
 * starts, it takes that over without a gap.
 *
 * Admin socket (unix, stream): one line in, an answer out, then the end of the stream.
 *   status      one JSON object
 *   counters    one JSON object: every reason and its count
 *   generation  one JSON object: configuration generation, policy epoch
 *   join        one JSON object: joining of sockets, its self-test, what is joined
 *   join off    at once, without breaking a connection; until `join on` or the agent's next start
 *   join on     back to what the configuration says
 *   ready       one JSON object: ready or not, and why not
 *   verify      the same after interception was proven anew for every pod
 *   flows       the last flow records, one JSON object per line
 *   flows -f    those, an empty line, then each further one until the client closes
 *   replace NAMESPACE/ACCOUNT|all
 *               new processes for tenants' workers, of the program as it is now; the old ones finish
 *   explain SRC DST:PORT [tcp|udp]
 *               one JSON object: what the kernel decides about that flow, and by which rules
 * Anything else: {"error": "..."}.
 */
#ifndef WEIR_NODE_AGENT_H
#define WEIR_NODE_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weir_flow_format { WEIR_FLOW_TEXT, WEIR_FLOW_JSON };

/* Strings are borrowed until return. What is NULL here comes from the Agent document, else from its
 * default. */
struct weir_agent_params {
    const char *const *configs; /* files, directories, "-" */
    size_t n_configs;
    const char *cgroup; /* pods' parent, below the cgroup2 mount */
    const char *pin_dir;
    const char *node;
    const char *admin;         /* unix socket path; "" = none */
    const char *helper;        /* socket of a running weir helper; "" = start one of its own */
    const char *metrics;       /* "ADDR:PORT" of /metrics, /ready and /live; "" = none */
    const char *mesh_ca;       /* directory of a development CA (weir ca) */
    const char *signer;        /* of the cluster: signerName of its certificate requests */
    const char *trust_bundle;  /* file with all CAs to trust */
    uint64_t svid_lifetime_us; /* 0 = the document's */
    const char *flow_log;      /* "-" = standard output, "" = none, else a file appended to */
    enum weir_flow_format flow_format;
    bool take_over;              /* from the agent that has the admin socket, if there is one */
    bool kubernetes;             /* the cluster is a source of configuration */
    const char *kubeconfig;      /* NULL = $KUBECONFIG, else the service account of this pod */
    unsigned kubernetes_watch_s; /* how long one watch lasts */
};

/*
 * Runs until SIGTERM or SIGINT. SIGHUP, and any change of the files, reloads. Returns the process's
 * exit code: 0, or 1 with the reason logged (refused configuration, another agent owns the pin
 * directory, the kernel refuses).
 */
int weir_agent_run(const struct weir_agent_params *params);
/* Detaches and removes all that weir pinned, and proves it: exit code 0 only if nothing is left. */
int weir_agent_uninstall(const struct weir_agent_params *params);

#endif
