/* SPDX-License-Identifier: Apache-2.0 */
/* weir helper: flags of the privileged helper, which lives in proxy/helper. */
#include "helper/helper.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/verb.h"
#include "kern/revoke.h"
#include "sys/cgroup.h"

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "listen", 0, "PATH", "serve agents at this unix socket (mode 0600, own user only)" },
    { "cgroup", 0, "PATH",
      "the pods' parent cgroup: nothing above or beside it is touched (default: a kubelet's)" },
    { "uids", 0, "FIRST:COUNT", "user ids of tenants' workers (default 2000000000:10000)" },
    { "tenant-memory", 0, "MIB", "memory that the worker of one tenant may have (default 256)" },
    { "worker", 0, "FILE", "program of tenants' workers (default: this one)" },
    { "fd", 0, "NUMBER", "serve the one agent that started it, at this descriptor" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_helper = {
    .name = "helper",
    .words = "",
    .summary = "the agent's privileged helper: enters pods' namespaces, and no more",
    .more =
        "Keeps SYS_ADMIN, SYS_PTRACE, SETUID, SETGID and KILL, behind a seccomp filter, and does "
        "a fixed list of deeds\n"
        "for the agent, which keeps none of them. weir agent starts one of its own; in a "
        "container of its own it\n"
        "listens, and the agent is given --helper PATH.\n",
    .options = options,
    .run = run,
};

static int run(struct weir_args *args) {
    const char *fd = weir_args_value(args, "fd"), *uids = weir_args_value(args, "uids");
    const char *memory = weir_args_value(args, "tenant-memory");
    unsigned mib = 0;
    char rest;
    struct weir_helper_options o = { .cgroup = weir_args_value(args, "cgroup"),
                                     .listen = weir_args_value(args, "listen"),
                                     .fd = -1,
                                     .diag = !weir_kernel_destroys() };

    if (!o.cgroup)
        o.cgroup = weir_cgroup_pods();
    if (!o.cgroup[0])
        return weir_usage(args, "give --cgroup PATH: no kubelet keeps pods on this machine");
    if (!o.listen == !fd)
        return weir_usage(args, "give --listen PATH");
    if (fd)
        o.fd = atoi(fd);
    o.tenants = (struct weir_helper_tenants){ WEIR_TENANT_FIRST_UID, WEIR_TENANT_UIDS,
                                              WEIR_TENANT_MEMORY, weir_args_value(args, "worker") };
    if (uids && (sscanf(uids, "%u:%u%c", &o.tenants.first_uid, &o.tenants.n_uids, &rest) != 2 ||
                 o.tenants.first_uid < 1000 || o.tenants.n_uids < 1 ||
                 o.tenants.n_uids > UINT32_MAX - 1 - o.tenants.first_uid))
        return weir_usage(args, "--uids %s: FIRST:COUNT, FIRST from 1000 on", uids);
    if (memory && (sscanf(memory, "%u%c", &mib, &rest) != 1 || mib < 32 || mib > 1u << 20))
        return weir_usage(args, "--tenant-memory %s: MiB, from 32 to 1048576", memory);
    if (memory)
        o.tenants.memory = (uint64_t)mib << 20;
    return weir_helper_serve(&o) ? WEIR_EXIT_FAILED : WEIR_EXIT_OK;
}
