/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded object into the kernel: once for the node (everything but sk_lookup), once per pod
 * namespace (sk_lookup alone, with the pod and its cookie as constants). Maps are shared through
 * their pins. Knows no attachment.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "kern/skel.h"
#include "sys/log.h"

static int print_to_log(enum libbpf_print_level level, const char *fmt, va_list args) {
    static const enum weir_log_level levels[] = {
        [LIBBPF_WARN] = WEIR_LOG_WARN,
        [LIBBPF_INFO] = WEIR_LOG_DEBUG,
        [LIBBPF_DEBUG] = WEIR_LOG_DEBUG,
    };

    if (level == LIBBPF_DEBUG || (unsigned)level >= WEIR_ARRAY_LEN(levels))
        return 0;
    weir_log_foreign(levels[level], "libbpf", fmt, args);
    return 0;
}

void weir_libbpf_log(void) {
    libbpf_set_print(print_to_log);
}

/* A pod's instance is sk_lookup only; the node's object everything else. */
static int choose_programs(struct weir_bpf *bpf, bool for_pod) {
    struct bpf_program *prog;

    bpf_object__for_each_program(prog, bpf->obj) {
        bool is_lookup = bpf_program__type(prog) == BPF_PROG_TYPE_SK_LOOKUP;
        int r = bpf_program__set_autoload(prog, is_lookup == for_pod);

        if (r < 0)
            return r;
    }
    return 0;
}

int weir_object_load(const char *pin_dir, uint32_t pod, uint64_t netns, struct weir_bpf **ret_bpf) {
    char maps[PATH_MAX];
    LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = maps);
    struct weir_bpf *bpf;
    int r;

    r = weir_pin_path(pin_dir, "maps", NULL, maps, sizeof(maps));
    if (r < 0)
        return r;
    bpf = weir_bpf__open_opts(&opts);
    if (!bpf)
        return errno > 0 ? -errno : -EINVAL;
    bpf->rodata->weir_lookup_pod = pod;
    bpf->rodata->weir_lookup_netns = netns;
    r = choose_programs(bpf, pod != 0);
    if (r == 0)
        r = weir_bpf__load(bpf);
    if (r < 0) {
        weir_log(WEIR_LOG_ERROR, "bpf_load_failed", "pod=%u errno=%d", pod, -r);
        weir_bpf__destroy(bpf);
        return r == -ENOMEM ? r : WEIR_KERN_REFUSED;
    }
    *ret_bpf = bpf;
    return 0;
}
