/* SPDX-License-Identifier: Apache-2.0 */
/* weir agent: flags of the node's agent, which lives in proxy/node. */
#include "node/agent.h"

#include <string.h>

#include "base/slice.h"
#include "cli/verb.h"
#include "conf/parse.h"

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "config", 'c', "PATH",
      "file, directory or - with Kubernetes documents; repeatable; watched" },
    { "cgroup", 0, "PATH", "the pods' parent cgroup, below the cgroup2 mount; never the root" },
    { "pin-dir", 0, "PATH", "where programs and maps are pinned (default /sys/fs/bpf/weir)" },
    { "node", 0, "NAME",
      "serve the pods of this node only (with --kubernetes by default $NODE_NAME, else the host "
      "name)" },
    { "admin", 'a', "PATH", "unix socket for weir status (default /run/weir/agent.sock)" },
    { "helper", 0, "PATH", "socket of a running weir helper (default: start one of its own)" },
    { "metrics", 0, "ADDR:PORT", "serve /metrics, /ready and /live there (default: nowhere)" },
    { "mesh-ca", 0, "DIR",
      "sign certificates of the pods here with this development CA (weir ca init)" },
    { "signer", 0, "NAME",
      "have certificates of the pods here signed by the cluster's signer of this signerName" },
    { "trust-bundle", 0, "FILE", "all CAs to trust (default ca.crt of --mesh-ca); watched" },
    { "svid-lifetime", 0, "DURATION", "of the certificates of pods (default 6h)" },
    { "flow-log", 0, "FILE", "append flow records there; - is standard output" },
    { "flow-format", 0, "text|json", "of the flow log (default text)" },
    { "kubernetes", 0, NULL,
      "follow the cluster's API server: its objects are configuration (docs/kubernetes.md)" },
    { "kubeconfig", 0, "PATH",
      "how to reach it (default $KUBECONFIG, else this pod's service account); implies "
      "--kubernetes" },
    { "kubernetes-watch", 0, "SECONDS", "how long one watch lasts (default 300)" },
    { "take-over", 0, NULL,
      "have the agent that answers at the admin socket hand over, and stand by (a DaemonSet's "
      "rollout)" },
    { "uninstall", 0, NULL, "detach and remove everything weir pinned, and prove it" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_agent = {
    .name = "agent",
    .words = "",
    .summary = "the node's agent: loads the kernel half, enrols pods, keeps policy in force",
    .more = "Flags win over the Agent document (docs/configuration.md). When the agent ends, by "
            "SIGTERM or by any\n"
            "accident, what it pinned stays in force; started again it takes over without a gap.\n"
            "SIGHUP or a change of the files reloads.\n",
    .options = options,
    .run = run,
};

static int run(struct weir_args *args) {
    const char *configs[WEIR_ARGS_MAX], *format = weir_args_value(args, "flow-format");
    struct weir_agent_params params = {
        .configs = configs,
        .cgroup = weir_args_value(args, "cgroup"),
        .pin_dir = weir_args_value(args, "pin-dir"),
        .node = weir_args_value(args, "node"),
        .admin = weir_args_value(args, "admin"),
        .flow_log = weir_args_value(args, "flow-log"),
        .helper = weir_args_value(args, "helper"),
        .metrics = weir_args_value(args, "metrics"),
        .kubeconfig = weir_args_value(args, "kubeconfig"),
        .kubernetes = weir_args_has(args, "kubernetes") || weir_args_has(args, "kubeconfig"),
        .kubernetes_watch_s = 300,
        .take_over = weir_args_has(args, "take-over"),
        .mesh_ca = weir_args_value(args, "mesh-ca"),
        .signer = weir_args_value(args, "signer"),
        .trust_bundle = weir_args_value(args, "trust-bundle"),
    };
    const char *watch = weir_args_value(args, "kubernetes-watch");
    const char *lifetime = weir_args_value(args, "svid-lifetime");
    uint64_t seconds, us;

    if (format && strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        return weir_usage(args, "--flow-format %s: text or json", format);
    params.flow_format = format && strcmp(format, "json") == 0 ? WEIR_FLOW_JSON : WEIR_FLOW_TEXT;
    if (watch) {
        if (weir_slice_to_u64(weir_slice_from_str(watch), &seconds) || seconds < 1 ||
            seconds > 3600)
            return weir_usage(args, "--kubernetes-watch %s: 1 to 3600 seconds", watch);
        params.kubernetes_watch_s = (unsigned)seconds;
    }
    if (lifetime) {
        if (weir_parse_duration(lifetime, &us) || us < 2000000 || us > 30 * 86400 * 1000000ull)
            return weir_usage(args, "--svid-lifetime %s: from 2s to 720h", lifetime);
        params.svid_lifetime_us = us;
    }
    for (unsigned i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, "config") == 0)
            configs[params.n_configs++] = args->given[i].value;
    if (weir_args_has(args, "uninstall"))
        return weir_agent_uninstall(&params);
    if (params.n_configs == 0 && !params.cgroup && !params.kubernetes)
        return weir_usage(args, "give --config PATH, --cgroup PATH or --kubernetes");
    return weir_agent_run(&params);
}
