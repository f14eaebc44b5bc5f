/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine offers the kernel half, one line each with what to do about it. Changes
 * nothing: programs are loaded to see whether they are accepted, and let go.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "kern/recorder.h"
#include "kern/revoke.h"
#include "kern/skel.h"
#include "sys/cgroup.h"

#define BPFFS_MAGIC      0xcafe4a11
#define KERNEL_MIN_MAJOR 6
#define KERNEL_MIN_MINOR 1

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

struct report {
    weir_kern_check_fn *fn;
    void *arg;
};

static void say(const struct report *r, enum weir_check_state state, const char *what,
                const char *found, const char *fix) {
    struct weir_check_line line = {
        .state = state, .what = what, .found = found, .fix = state == WEIR_CHECK_OK ? "" : fix
    };

    r->fn(r->arg, &line);
}

static void check_kernel(const struct report *r) {
    unsigned major = 0, minor = 0;
    struct utsname u;
    bool ok;

    if (uname(&u) < 0)
        return;
    ok = sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
         (major > KERNEL_MIN_MAJOR || (major == KERNEL_MIN_MAJOR && minor >= KERNEL_MIN_MINOR));
    say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "kernel", u.release,
        "run Linux 6.1 or newer; without it `weir proxy` alone still works");
    ok = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
    say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "kernel type information",
        ok ? "/sys/kernel/btf/vmlinux" : "none", "use a kernel built with CONFIG_DEBUG_INFO_BTF");
}

static void check_mounts(const struct report *r, const struct weir_kern_options *options) {
    char mount[PATH_MAX], path[PATH_MAX];
    struct statfs fs;
    char *slash;
    bool ok;

    ok = weir_cgroup_mount(mount, sizeof(mount)) == 0;
    say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "cgroup2", ok ? mount : "not mounted",
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
    say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "bpffs for pins", path,
        "mount -t bpf bpf /sys/fs/bpf, or name a pin directory on a bpffs");
}

static void check_capabilities(const struct report *r) {
    static const struct {
        int bit;
        const char *name, *why;
    } needed[] = {
        { CAP_BPF, "capability BPF", "load programs and maps: give the agent CAP_BPF" },
        { CAP_NET_ADMIN, "capability NET_ADMIN",
          "attach programs to cgroups and namespaces: give the agent CAP_NET_ADMIN" },
        { CAP_PERFMON, "capability PERFMON",
          "read kernel structures in programs: give the agent CAP_PERFMON" },
    };
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    if (syscall(SYS_capget, &head, data) < 0)
        return;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(needed); i++) {
        bool ok = data[needed[i].bit / 32].effective & (1u << (needed[i].bit % 32));

        say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, needed[i].name, ok ? "yes" : "no",
            needed[i].why);
    }
}

static void check_features(const struct report *r) {
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

        say(r, ok == 1 ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, features[i].what,
            ok == 1 ? "yes" : (ok == 0 ? "no" : "cannot ask"),
            ok == 0 ? "use a newer kernel, or one with CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL"
                    : "ask again as root");
    }
}

static void say_pin(void *arg, const char *what, const char *why) {
    const struct report *r = arg;
    char text[PATH_MAX];

    snprintf(text, sizeof(text), "%s: %s", what, why);
    say(r, WEIR_CHECK_WARN, "pinned by weir", text,
        "weir agent replaces what is its own; remove anything else, or weir agent --uninstall");
}

static void check_pins(const struct report *r, const struct weir_kern_options *options) {
    struct weir_bpf *bpf = weir_bpf__open();
    uint32_t n = 0;

    if (!bpf)
        return;
    if (access(options->pin_dir, F_OK) < 0)
        say(r, WEIR_CHECK_OK, "pinned by weir", "nothing", "");
    else if (weir_pins_look(bpf, options->pin_dir, say_pin, (void *)r, &n) == 0 && n == 0)
        say(r, WEIR_CHECK_OK, "pinned by weir", "all of it is ours and alive", "");
    weir_bpf__destroy(bpf);
}

static void check_probes(const struct report *r, const struct weir_kern_options *options) {
    bool recorded = weir_kern_recorder(options->pin_dir) != 0;

    say(r, recorded ? WEIR_CHECK_OK : WEIR_CHECK_WARN, "kubelet probes",
        recorded ? "its own connections, as it makes them"
                 : "fallback: whatever comes from the node's addresses to a declared probe port",
        "name the kubelet's cgroup in kubeletCgroup of the Agent document");
}

static void check_reset(const struct report *r) {
    const char *way = weir_revoke_way();

    say(r, way ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "reset of connections policy forbids",
        way ? way : "no",
        "modprobe tcp_diag udp_diag, or run Linux 6.5 or newer: without, only new connections "
        "obey a changed policy");
}

/* The proof that probes only hint at: this kernel's verifier takes every program as it is. */
static void check_load(const struct report *r) {
    bool can_join = weir_join_possible() == NULL;
    struct weir_bpf *bpf = weir_bpf__open();
    struct bpf_program *prog;
    struct bpf_map *map;
    int err;

    if (!bpf)
        return;
    bpf_object__for_each_map(map, bpf->obj) {
        bpf_map__set_pin_path(map, NULL);
    }
    bpf_object__for_each_program(prog, bpf->obj) {
        if (!can_join && weir_join_is_program(bpf, prog))
            bpf_program__set_autoload(prog, false);
    }
    err = weir_object_optional(bpf);
    if (err == 0)
        err = weir_bpf__load(bpf);
    say(r, err == 0 ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "every program accepted by this kernel",
        err == 0 ? "yes" : strerror(-err),
        "run with the verifier's words from the log and report them");
    weir_bpf__destroy(bpf);
}

static void check_join(const struct report *r, const struct weir_kern_options *options) {
    const char *cgroup = options ? options->cgroup : NULL;
    struct weir_join_report j;
    int err = weir_kern_join_test(cgroup, &j);

    if (err < 0)
        snprintf(j.why, sizeof(j.why), "%s", strerror(-err));
    say(r, err == 0 && j.passed ? WEIR_CHECK_OK : WEIR_CHECK_WARN, "joining sockets (sk_msg)",
        err == 0 && j.passed ? "self-test passed" : j.why,
        "joining stays off, everything goes by TCP; nothing else depends on it");
    if (err == 0 && j.passed)
        say(r, j.writers ? WEIR_CHECK_OK : WEIR_CHECK_WARN, "joining without a declaration",
            j.writers ? "yes" : "no: FIONREAD of an application's socket would be wrong",
            "only pods with the annotation weir.dev/join: on are joined");
}

static void add_program_name(uint32_t id, char *text, size_t size) {
    struct bpf_prog_info info = { 0 };
    uint32_t len = sizeof(info);
    size_t used = strlen(text);
    int fd = bpf_prog_get_fd_by_id(id);

    if (fd < 0)
        return;
    if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && used < size)
        snprintf(text + used, size - used, "%s%s(%u)", used ? " " : "", info.name, id);
    close(fd);
}

/* Two programs that rewrite connect() can hide each other (field-notes 8): who runs here, in order.
 */
static void check_order(const struct report *r, const struct weir_kern_options *options) {
    static const struct {
        enum bpf_attach_type type;
        const char *what;
    } hooks[] = {
        { BPF_CGROUP_INET4_CONNECT, "order of programs at connect4" },
        { BPF_CGROUP_INET6_CONNECT, "order of programs at connect6" },
        { BPF_CGROUP_GETSOCKOPT, "order of programs at getsockopt" },
        { BPF_CGROUP_SOCK_OPS, "order of programs at sockops" },
    };
    int fd = open(options->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    say(r, fd >= 0 ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "the pods' parent cgroup", options->cgroup,
        "name an existing cgroup2 directory");
    if (fd < 0)
        return;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(hooks); i++) {
        uint32_t ids[64], n = WEIR_ARRAY_LEN(ids), foreign = 0;
        char text[1024] = "";

        if (bpf_prog_query(fd, hooks[i].type, BPF_F_QUERY_EFFECTIVE, NULL, ids, &n) < 0)
            continue;
        for (uint32_t p = 0; p < n; p++) {
            size_t before = strlen(text);

            add_program_name(ids[p], text, sizeof(text));
            foreign += !strstr(text + before, "weir_");
        }
        say(r, foreign ? WEIR_CHECK_WARN : WEIR_CHECK_OK, hooks[i].what, n ? text : "none",
            "another program also runs here: what it rewrites first, weir sees rewritten");
    }
    close(fd);
}

int weir_kern_check(const struct weir_kern_options *options, weir_kern_check_fn *fn, void *arg) {
    struct report r = { fn, arg };

    weir_libbpf_log();
    check_kernel(&r);
    check_mounts(&r, options);
    check_capabilities(&r);
    check_features(&r);
    if (options && options->pin_dir) {
        check_pins(&r, options);
        check_probes(&r, options);
    }
    check_reset(&r);
    check_load(&r);
    check_join(&r, options);
    if (options && options->cgroup)
        check_order(&r, options);
    return 0;
}
