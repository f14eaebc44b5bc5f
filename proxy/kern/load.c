/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded object into the kernel: once for the node (everything but sk_lookup), once per pod
 * namespace (sk_lookup alone, with the pod and its cookie as constants). Maps are shared through
 * their pins. Knows no attachment.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "kern/revoke.h"
#include "kern/skel.h"
#include "kern/tls.h"
#include "sys/log.h"

#define VERIFIER_LINES 40 /* of its log, the last ones: there it says what it did not like */

static void log_line(enum weir_log_level level, const char *line, size_t len) {
    if (len > 0)
        weir_log(level, "libbpf", "msg=%s", weir_log_quote(weir_slice_make(line, len)).s);
}

/* A verifier log is one message of thousands of lines. */
static void log_lines(enum weir_log_level level, const char *text) {
    const char *at = text + strlen(text);

    for (int n = 0; at > text && n < VERIFIER_LINES; n += at[-1] == '\n')
        at--;
    while (*at) {
        size_t len = strcspn(at, "\n");

        log_line(level, at, len);
        at += len + (at[len] == '\n');
    }
}

static int print_to_log(enum libbpf_print_level level, const char *fmt, va_list args) {
    enum weir_log_level to = level == LIBBPF_WARN ? WEIR_LOG_WARN : WEIR_LOG_DEBUG;
    char *text;

    if (level == LIBBPF_DEBUG || !weir_log_on(to))
        return 0;
    if (vasprintf(&text, fmt, args) < 0)
        return 0;
    log_lines(to, text);
    free(text);
    return 0;
}

void weir_libbpf_log(void) {
    libbpf_set_print(print_to_log);
}

bool weir_kernel_destroys(void) {
    struct btf *btf = btf__load_vmlinux_btf();
    bool there = btf && btf__find_by_name_kind(btf, "bpf_sock_destroy", BTF_KIND_FUNC) > 0;

    btf__free(btf);
    return there;
}

int weir_object_optional(struct weir_bpf *bpf) {
    bool tls = weir_kern_tls_possible() == NULL;
    struct bpf_program *prog;
    int r = 0;

    bpf_object__for_each_program(prog, bpf->obj) {
        if (r == 0 && !tls && weir_tls_is_program(prog))
            r = bpf_program__set_autoload(prog, false);
    }
    if (r)
        return r;

    if (!weir_kernel_destroys()) {
        r = bpf_program__set_autoload(bpf->progs.weir_reset_tcp, false);
        if (r == 0)
            r = bpf_program__set_autoload(bpf->progs.weir_reset_udp, false);
    }
    return r;
}

/* A pod's instance is sk_lookup only; the node's object everything else, joining where the kernel
 * has what it takes. */
static int choose_programs(struct weir_bpf *bpf, bool for_pod) {
    bool join = !for_pod && weir_join_possible() == NULL;
    struct bpf_program *prog;

    bpf_object__for_each_program(prog, bpf->obj) {
        bool is_lookup = bpf_program__type(prog) == BPF_PROG_TYPE_SK_LOOKUP;
        bool load = is_lookup == for_pod && (join || !weir_join_is_program(bpf, prog));
        int r = bpf_program__set_autoload(prog, load);

        if (r < 0)
            return r;
    }
    return for_pod ? 0 : weir_object_optional(bpf);
}

int weir_object_load(const char *pin_dir, uint32_t pod, uint64_t netns, struct weir_bpf **ret_bpf) {
    char maps[PATH_MAX];
    LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = maps);
    struct weir_bpf *bpf;
    int r;

    r = weir_pin_path(pin_dir, "maps", NULL, maps, sizeof(maps));
    if (r < 0)
        return r;
    bpf = weir_skel_open(&opts);
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
