/* SPDX-License-Identifier: Apache-2.0 */
/* weir signer: flags of the mesh's signer, which lives in proxy/kube. */
#include "kube/signer.h"

#include <stdlib.h>
#include <unistd.h>

#include "cli/verb.h"
#include "conf/parse.h"

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "ca", 0, "DIR", "tls.crt and tls.key of the CA; ca.crt: all CAs to trust (default tls.crt)" },
    { "signer", 0, "NAME", "its signerName (default weir.dev/mesh)" },
    { "trust-domain", 0, "NAME", "of the identities it signs (default cluster.local)" },
    { "requester", 0, "NAME",
      "who may ask (default system:serviceaccount:weir-system:weir-agent)" },
    { "lifetime", 0, "DURATION", "of a certificate, at most (default 24h)" },
    { "kubeconfig", 0, "PATH",
      "how to reach the API server (default $KUBECONFIG, else this pod's service account)" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_signer = {
    .name = "signer",
    .words = "",
    .summary = "sign the certificates of the mesh that agents ask for through the API server",
    .more = "Holds the CA's key; opens no port. Of several replicas the holder of the Lease "
            "weir-signer works. It signs for who\n"
            "asks as the agents' service account from the node that a Pod of that identity is "
            "bound to, and denies the rest.\n",
    .options = options,
    .run = run,
};

static int run(struct weir_args *args) {
    char host[256] = "signer";
    const char *lifetime = weir_args_given(args, "lifetime", "24h"), *pod = getenv("POD_NAME");
    struct weir_kube_signer_params params = {
        .policy = { .signer = weir_args_given(args, "signer", "weir.dev/mesh"),
                    .trust_domain = weir_args_given(args, "trust-domain", "cluster.local"),
                    .requester = weir_args_given(args, "requester",
                                                 "system:serviceaccount:weir-system:weir-agent") },
        .ca_dir = weir_args_value(args, "ca"),
        .kubeconfig = weir_args_value(args, "kubeconfig"),
    };
    uint64_t us;

    if (!params.ca_dir)
        return weir_usage(args, "give --ca DIR");
    if (weir_parse_duration(lifetime, &us) || us < 600 * 1000000ull)
        return weir_usage(args, "--lifetime %s: 10m or longer", lifetime);
    params.policy.longest_s = (int64_t)(us / 1000000);
    (void)gethostname(host, sizeof(host) - 1);
    params.member = pod && *pod ? pod : host;
    return weir_kube_signer_run(&params) == 0 ? WEIR_EXIT_OK : WEIR_EXIT_FAILED;
}
