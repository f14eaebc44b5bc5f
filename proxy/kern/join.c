/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining sockets, the user side: whether this kernel can, the programs on their sockhashes, and
 * how much is joined. What it does on this very kernel is tried in join_test.c.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kern/skel.h"
#include "sys/cgroup.h"

#define TEST_PATIENCE_MS 10000

static bool has_member(const struct btf *btf, const char *type, const char *member) {
    int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
    const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
    const struct btf_member *m = t ? btf_members(t) : NULL;

    for (int i = 0; t && i < btf_vlen(t); i++)
        if (strcmp(btf__name_by_offset(btf, m[i].name_off), member) == 0)
            return true;
    return false;
}

static bool kernel_has(const char *type, const char *member, bool *ret_told) {
    struct btf *btf = btf__load_vmlinux_btf();
    bool there = btf && has_member(btf, type, member);

    *ret_told = btf != NULL;
    btf__free(btf);
    return there;
}

const char *weir_join_possible(void) {
    bool told;

    if (kernel_has("sk_psock", "ingress_msg", &told))
        return NULL;
    return told ? "the kernel has no sockmap (CONFIG_NET_SOCK_MSG)"
                : "the kernel has no type information";
}

bool weir_join_counted(void) {
    bool told;

    return kernel_has("sk_psock", "msg_tot_len", &told);
}

bool weir_join_is_program(const struct weir_bpf *bpf, const struct bpf_program *prog) {
    return prog == bpf->progs.weir_sk_msg || prog == bpf->progs.weir_sk_skb ||
           prog == bpf->progs.weir_join_sockops || prog == bpf->progs.weir_setsockopt ||
           prog == bpf->progs.weir_join_look;
}

int weir_join_attach(const struct weir_bpf *bpf) {
    int msg = bpf_program__fd(bpf->progs.weir_sk_msg), r;

    if (msg < 0) /* not loaded: this kernel cannot */
        return 0;
    r = bpf_prog_attach(msg, bpf_map__fd(bpf->maps.weir_join), BPF_SK_MSG_VERDICT, 0);
    if (r == 0)
        r = bpf_prog_attach(msg, bpf_map__fd(bpf->maps.weir_join_app), BPF_SK_MSG_VERDICT, 0);
    if (r == 0)
        r = bpf_prog_attach(bpf_program__fd(bpf->progs.weir_sk_skb),
                            bpf_map__fd(bpf->maps.weir_join_app), BPF_SK_SKB_STREAM_VERDICT, 0);
    return r;
}

int weir_join_look_with(const struct weir_bpf *bpf, struct weir_join_look *ret_look) {
    struct weir_join_look look = { 0 };
    /* The kernel writes what the program left in its context back to where it came from. */
    LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &look, .ctx_size_in = sizeof(look));
    int fd = bpf_program__fd(bpf->progs.weir_join_look), r;

    if (fd >= 0) {
        r = bpf_prog_test_run_opts(fd, &opts);
        if (r < 0)
            return r;
    }
    *ret_look = look;
    return 0;
}

int weir_kern_join_look(struct weir_kern *k, struct weir_join_look *ret_look) {
    return weir_join_look_with(k->bpf, ret_look);
}

/* ---- the self-test ---- */

#define OWN_CGROUP "/" WEIR_JOIN_CGROUP "own" /* of the sidecar, below that of the application */

static void say(struct weir_join_report *report, const char *why) {
    report->readers = report->writers = false;
    snprintf(report->why_readers, sizeof(report->why_readers), "%s", why);
    memcpy(report->why_writers, report->why_readers, sizeof(report->why_writers));
}

/* The programs it takes, with maps of their own. */
static int load_apart(struct weir_bpf **ret_bpf) {
    struct weir_bpf *bpf = weir_skel_open(NULL);
    struct bpf_program *prog;
    struct bpf_map *map;
    int r = 0;

    if (!bpf)
        return errno > 0 ? -errno : -EINVAL;
    bpf_object__for_each_map(map, bpf->obj) {
        bpf_map__set_pin_path(map, NULL);
    }
    bpf_object__for_each_program(prog, bpf->obj) {
        bool load = weir_join_is_program(bpf, prog) || prog == bpf->progs.weir_sockops;

        if (r == 0)
            r = bpf_program__set_autoload(prog, load);
    }
    if (r == 0)
        r = weir_bpf__load(bpf);
    if (r == 0)
        r = weir_join_attach(bpf);
    if (r < 0) {
        weir_bpf__destroy(bpf);
        return r;
    }
    *ret_bpf = bpf;
    return 0;
}

/* The links end with their descriptors. */
static int attach_apart(const struct weir_bpf *bpf, const char *path, int ret_links[2]) {
    const struct bpf_program *progs[2] = { bpf->progs.weir_sockops, bpf->progs.weir_join_sockops };
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

    if (fd < 0)
        return -errno;
    for (int i = 0; i < 2 && r >= 0; i++)
        r = ret_links[i] =
            bpf_link_create(bpf_program__fd(progs[i]), fd, BPF_CGROUP_SOCK_OPS, NULL);
    close(fd);
    return r < 0 ? r : 0;
}

static void child(const struct weir_bpf *bpf, const char *path, int pipe_fd) {
    struct weir_join_report a = { 0 };
    char own[PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    snprintf(own, sizeof(own), "%.*s" OWN_CGROUP, (int)(sizeof(own) - sizeof(OWN_CGROUP)), path);
    weir_join_try(bpf, path, own, &a);
    _exit(write(pipe_fd, &a, sizeof(a)) == sizeof(a) ? 0 : 1);
}

static int ask_child(const struct weir_bpf *bpf, const char *path, struct weir_join_report *ret) {
    struct pollfd p = { .events = POLLIN };
    const char *wrong = NULL;
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0)
        child(bpf, path, fds[1]);
    close(fds[1]);
    p.fd = fds[0];
    if (pid < 0)
        wrong = "no child process";
    else if (poll(&p, 1, TEST_PATIENCE_MS) != 1)
        wrong = "the self-test hung";
    else if (read(fds[0], ret, sizeof(*ret)) != sizeof(*ret))
        wrong = "the self-test died";
    if (wrong)
        say(ret, wrong);
    close(fds[0]);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return 0;
}

static int try_apart(const char *path, struct weir_join_report *ret) {
    struct weir_bpf *bpf;
    int links[2] = { -1, -1 };
    int r = load_apart(&bpf);

    if (r < 0)
        return r;
    r = attach_apart(bpf, path, links);
    if (r == 0)
        r = ask_child(bpf, path, ret);
    for (int i = 0; i < 2; i++)
        if (links[i] >= 0)
            close(links[i]);
    weir_bpf__destroy(bpf);
    return r;
}

int weir_kern_join_test(const char *cgroup, struct weir_join_report *ret_report) {
    const char *missing = weir_join_possible();
    char mount[PATH_MAX - 64], path[PATH_MAX - 16], own[PATH_MAX];
    int r;

    memset(ret_report, 0, sizeof(*ret_report));
    if (missing) {
        say(ret_report, missing);
        return 0;
    }
    weir_libbpf_log();
    if (!cgroup) {
        r = weir_cgroup_mount(mount, sizeof(mount));
        if (r < 0)
            return r;
        cgroup = mount;
    }
    snprintf(path, sizeof(path), "%s/" WEIR_JOIN_CGROUP "%d", cgroup, (int)getpid());
    snprintf(own, sizeof(own), "%s" OWN_CGROUP, path);
    r = weir_cgroup_create(path);
    if (r < 0)
        return r;
    r = weir_cgroup_create(own);
    if (r == 0) {
        r = try_apart(path, ret_report);
        (void)weir_cgroup_remove(own);
    }
    (void)weir_cgroup_remove(path);
    return r;
}
