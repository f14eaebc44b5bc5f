/* SPDX-License-Identifier: Apache-2.0 */
/* weir check: can this machine run weir, and what to do where it cannot. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/verb.h"
#include "weir_config.h"
#if WEIR_HAVE_KERNEL
#include "kern/kern.h"
#include "kube/inspect.h"
#include "sys/cgroup.h"
#endif

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    WEIR_OPTION_OUTPUT,
    { "cgroup", 0, "PATH",
      "the pods' parent below the cgroup2 mount: also list who else has programs there" },
    { "pin-dir", 0, "PATH", "where the agent pins (default /sys/fs/bpf/weir)" },
    { "kubernetes", 0, NULL,
      "also the cluster: API server, what the caller may do there, kinds installed" },
    { "kubeconfig", 0, "PATH",
      "how to reach it (default $KUBECONFIG, else this pod's service account); implies "
      "--kubernetes" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_check = {
    .name = "check",
    .words = "",
    .summary = "kernel features, capabilities, cgroup2, bpffs: each with a line that mends it",
    .more = "Exit code 1 when something the agent needs is missing. weir proxy alone needs none of "
            "it.\n",
    .options = options,
    .run = run,
};

#if WEIR_HAVE_KERNEL

struct report {
    json_t *list; /* NULL = text */
    unsigned failed;
    bool colour;
};

static void line(void *arg, const struct weir_check_line *l) {
    static const char *const words[] = { "ok", "warn", "FAIL" };
    static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
    struct report *rep = arg;

    if (l->state == WEIR_CHECK_FAIL)
        rep->failed++;
    if (rep->list) {
        json_array_append_new(rep->list,
                              json_pack("{s:s, s:s, s:s, s:s}", "state", words[l->state], "what",
                                        l->what, "found", l->found, "fix", l->fix));
        return;
    }
    printf("%s%-4s%s  %-36s %s\n", rep->colour ? colours[l->state] : "", words[l->state],
           rep->colour ? "\033[0m" : "", l->what, l->found);
    if (l->fix[0])
        printf("      -> %s\n", l->fix);
}

static void finding(void *arg, const struct weir_kube_finding *f) {
    static const enum weir_check_state states[] = { WEIR_CHECK_OK, WEIR_CHECK_WARN,
                                                    WEIR_CHECK_FAIL };
    const struct weir_check_line l = { states[f->state], f->what, f->found, f->fix };

    line(arg, &l);
}

static int run(struct weir_args *args) {
    const char *pin = weir_args_value(args, "pin-dir"), *cgroup = weir_args_value(args, "cgroup");
    struct weir_kern_options o = { .cgroup = cgroup, .pin_dir = pin ? pin : "/sys/fs/bpf/weir" };
    struct report rep = { .colour = weir_colour() };
    char path[4096];
    int r;

    if (weir_args_json(args, &r))
        rep.list = json_array();
    if (r)
        return r;
    if (cgroup) {
        r = weir_cgroup_path(cgroup, path, sizeof(path));
        if (r < 0)
            return weir_failed(args, "--cgroup %s: %s", cgroup, strerror(-r));
        o.cgroup = path;
    }
    r = weir_kern_check(&o, line, &rep);
    if (r == 0 && (weir_args_has(args, "kubernetes") || weir_args_has(args, "kubeconfig")))
        r = weir_kube_inspect(weir_args_value(args, "kubeconfig"), finding, &rep);
    if (rep.list) {
        json_t *j = json_pack("{s:b, s:o}", "ok", rep.failed == 0, "checks", rep.list);

        json_dumpf(j, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(j);
    }
    if (r < 0)
        return weir_failed(args, "%s", strerror(-r));
    return rep.failed ? WEIR_EXIT_FAILED : WEIR_EXIT_OK;
}

#else

static int run(struct weir_args *args) {
    int r;
    bool json = weir_args_json(args, &r);

    if (r)
        return r;
    if (json)
        printf("{\"ok\": true, \"kernelHalf\": false, \"checks\": []}\n");
    else
        printf("this weir was built without the kernel half: weir proxy needs nothing further\n");
    return WEIR_EXIT_OK;
}

#endif
