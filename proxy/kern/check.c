/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine offers the kernel half, one line each with what to do about it. Changes
 * nothing: programs are loaded to see whether they are accepted, and let go.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "kern/check_priv.h"
#include "kern/complexity.h"
#include "kern/recorder.h"
#include "kern/revoke.h"
#include "kern/skel.h"
#include "sys/cgroup.h"

#define BPFFS_MAGIC      0xcafe4a11
#define KERNEL_MIN_MAJOR 6
#define KERNEL_MIN_MINOR 1

void weir_check_say(const struct weir_check_report *r, enum weir_check_state state,
                    const char *what, const char *found, const char *fix) {
    struct weir_check_line line = {
        .state = state, .what = what, .found = found, .fix = state == WEIR_CHECK_OK ? "" : fix
    };

    r->fn(r->arg, &line);
}

static void check_kernel(const struct weir_check_report *r) {
    unsigned major = 0, minor = 0;
    struct utsname u;
    bool ok;

    if (uname(&u) < 0)
        return;
    ok = sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
         (major > KERNEL_MIN_MAJOR || (major == KERNEL_MIN_MAJOR && minor >= KERNEL_MIN_MINOR));
    weir_check_say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "kernel", u.release,
                   "run Linux 6.1 or newer; without it `weir proxy` alone still works");
    ok = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
    weir_check_say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "kernel type information",
                   ok ? "/sys/kernel/btf/vmlinux" : "none",
                   "use a kernel built with CONFIG_DEBUG_INFO_BTF");
}

static void check_mounts(const struct weir_check_report *r,
                         const struct weir_kern_options *options) {
    char mount[PATH_MAX], path[PATH_MAX];
    struct statfs fs;
    char *slash;
    bool ok;

    ok = weir_cgroup_mount(mount, sizeof(mount)) == 0;
    weir_check_say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "cgroup2", ok ? mount : "not mounted",
                   "mount -t cgroup2 none /sys/fs/cgroup");
    if (!options || !options->pin_dir)
        return;
    snprintf(path, sizeof(path), "%s", options->pin_dir);
    if (statfs(path, &fs) < 0 && (slash = strrchr(path, '/')) && slash != path) {
        *slash = '\0';
        if (statfs(path, &fs) < 0)
            fs.f_type = 0;
    }
    ok = fs.f_type == BPFFS_MAGIC;
    weir_check_say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "bpffs for pins", path,
                   "mount -t bpf bpf /sys/fs/bpf, or name a pin directory on a bpffs");
}

static void check_features(const struct weir_check_report *r) {
    static const struct {
        enum bpf_prog_type type;
        enum bpf_func_id helper; /* 0 = the program type itself */
        const char *what;
    } features[] = {
        { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, 0,
          "program cgroup/connect, sendmsg, recvmsg, getpeername" },
        { BPF_PROG_TYPE_CGROUP_SOCK, 0, "program cgroup/sock_create" },
        { BPF_PROG_TYPE_CGROUP_SOCKOPT, 0, "program cgroup/getsockopt" },
        { BPF_PROG_TYPE_CGROUP_SKB, 0, "program cgroup_skb" },
        { BPF_PROG_TYPE_SOCK_OPS, 0, "program sockops" },
        { BPF_PROG_TYPE_SK_LOOKUP, 0, "program sk_lookup" },
        { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_sk_storage_get, "socket storage in connect" },
        { BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval,
          "errno from connect (bpf_set_retval)" },
        { BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_get_netns_cookie, "netns cookie in sockops" },
        { BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_sock_hash_update, "listeners into a sockhash" },
        { BPF_PROG_TYPE_SK_LOOKUP, BPF_FUNC_sk_assign, "steering (bpf_sk_assign)" },
        { BPF_PROG_TYPE_CGROUP_SKB, BPF_FUNC_ringbuf_output, "ring buffer" },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(features); i++) {
        int ok = features[i].helper
                     ? libbpf_probe_bpf_helper(features[i].type, features[i].helper, NULL)
                     : libbpf_probe_bpf_prog_type(features[i].type, NULL);

        weir_check_say(
            r, ok == 1 ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, features[i].what,
            ok == 1 ? "yes" : (ok == 0 ? "no" : "cannot ask"),
            ok == 0 ? "use a newer kernel, or one with CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL"
                    : "ask again as root");
    }
}

static void say_pin(void *arg, const char *what, const char *why) {
    const struct weir_check_report *r = arg;
    char text[PATH_MAX];

    snprintf(text, sizeof(text), "%s: %s", what, why);
    weir_check_say(
        r, WEIR_CHECK_WARN, "pinned by weir", text,
        "weir agent replaces what is its own; remove anything else, or weir agent --uninstall");
}

static void check_pins(const struct weir_check_report *r, const struct weir_kern_options *options) {
    struct weir_bpf *bpf = weir_skel_open(NULL);
    uint32_t n = 0;

    if (!bpf)
        return;
    if (access(options->pin_dir, F_OK) < 0)
        weir_check_say(r, WEIR_CHECK_OK, "pinned by weir", "nothing", "");
    else if (weir_pins_look(bpf, options->pin_dir, say_pin, (void *)r, &n) == 0 && n == 0)
        weir_check_say(r, WEIR_CHECK_OK, "pinned by weir", "all of it is ours and alive", "");
    weir_bpf__destroy(bpf);
}

static void check_probes(const struct weir_check_report *r,
                         const struct weir_kern_options *options) {
    bool recorded = weir_kern_recorder(options->pin_dir) != 0;

    weir_check_say(
        r, recorded ? WEIR_CHECK_OK : WEIR_CHECK_WARN, "kubelet probes",
        recorded ? "its own connections, as it makes them"
                 : "fallback: whatever comes from the node's addresses to a declared probe port",
        "name the kubelet's cgroup in kubeletCgroup of the Agent document");
}

static void check_reset(const struct weir_check_report *r) {
    const char *way = weir_revoke_way();

    weir_check_say(
        r, way ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "reset of connections policy forbids",
        way ? way : "no",
        "modprobe tcp_diag udp_diag, or run Linux 6.5 or newer: without, only new connections "
        "obey a changed policy");
}

static void note_hardest(void *arg, const char *program, uint32_t instructions) {
    uint32_t *most = arg;

    (void)program;
    if (instructions > *most)
        *most = instructions;
}

/* The proof that probes only hint at: this kernel's verifier takes every program as it is. */
static void check_load(const struct weir_check_report *r) {
    uint32_t most = 0;
    char text[128];
    int err = weir_kern_complexity(note_hardest, &most);

    snprintf(text, sizeof(text), "yes, the hardest takes %u of %u instructions", most,
             WEIR_VERIFIER_LIMIT);
    weir_check_say(r, err == 0 ? WEIR_CHECK_OK : WEIR_CHECK_FAIL,
                   "every program accepted by this kernel", err == 0 ? text : strerror(-err),
                   "run with the verifier's words from the log and report them");
}

static void check_join(const struct weir_check_report *r, const struct weir_kern_options *options) {
    const char *cgroup = options ? options->cgroup : NULL;
    struct weir_join_report j;
    int err = weir_kern_join_test(cgroup, &j);

    if (err < 0) {
        snprintf(j.why_readers, sizeof(j.why_readers), "%s", strerror(-err));
        memcpy(j.why_writers, j.why_readers, sizeof(j.why_writers));
    }
    weir_check_say(r, j.readers ? WEIR_CHECK_OK : WEIR_CHECK_WARN,
                   "joining of declared workloads, both ways",
                   j.readers ? "self-test passed" : j.why_readers,
                   "no application is handed joined bytes, what it reads comes by TCP; nothing "
                   "else depends on it");
    weir_check_say(r, j.writers ? WEIR_CHECK_OK : WEIR_CHECK_WARN,
                   "joining of any workload towards its sidecar",
                   j.writers ? "self-test passed" : j.why_writers,
                   "only pods with the annotation weir.dev/join: on are joined, if the line above "
                   "says so");
}

int weir_kern_check(const struct weir_kern_options *options, weir_kern_check_fn *fn, void *arg) {
    struct weir_check_report r = { fn, arg };

    weir_libbpf_log();
    check_kernel(&r);
    check_mounts(&r, options);
    weir_check_capabilities(&r);
    weir_check_calls(&r);
    check_features(&r);
    weir_check_fallbacks(&r);
    if (options && options->pin_dir) {
        check_pins(&r, options);
        check_probes(&r, options);
    }
    check_reset(&r);
    check_load(&r);
    check_join(&r, options);
    if (options && options->cgroup)
        weir_check_order(&r, options->cgroup);
    weir_check_sockmaps(&r);
    weir_check_uprobes(&r);
    weir_check_tls(&r);
    return 0;
}
