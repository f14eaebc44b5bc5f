/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else is at work where weir is: programs at the same hooks of the pods' parent, in the order in
 * which they run, and sockmaps of others, whose programs may meet the same sockets. Only looks.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kern/check_priv.h"

#define IDS_MAX 64u

struct names {
    char text[1024];
    uint32_t n, foreign;
};

static void add(struct names *names, const char *name, uint32_t id) {
    size_t used = strlen(names->text);

    names->n++;
    names->foreign += strncmp(name, "weir_", 5) != 0;
    if (used < sizeof(names->text))
        snprintf(names->text + used, sizeof(names->text) - used, "%s%s(%u)", used ? " " : "",
                 name[0] ? name : "unnamed", id);
}

static void add_program(struct names *names, uint32_t id) {
    struct bpf_prog_info info = { 0 };
    uint32_t len = sizeof(info);
    int fd = bpf_prog_get_fd_by_id(id);

    if (fd < 0)
        return;
    if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0)
        add(names, info.name, id);
    close(fd);
}

/* Two programs that rewrite connect() can hide each other (field-notes 8). */
static const struct {
    enum bpf_attach_type type;
    const char *what;
} hooks[] = {
    { BPF_CGROUP_INET_SOCK_CREATE, "order of programs at sock_create" },
    { BPF_CGROUP_INET4_CONNECT, "order of programs at connect4" },
    { BPF_CGROUP_INET6_CONNECT, "order of programs at connect6" },
    { BPF_CGROUP_UDP4_SENDMSG, "order of programs at sendmsg4" },
    { BPF_CGROUP_UDP6_SENDMSG, "order of programs at sendmsg6" },
    { BPF_CGROUP_INET4_GETPEERNAME, "order of programs at getpeername4" },
    { BPF_CGROUP_INET6_GETPEERNAME, "order of programs at getpeername6" },
    { BPF_CGROUP_GETSOCKOPT, "order of programs at getsockopt" },
    { BPF_CGROUP_SETSOCKOPT, "order of programs at setsockopt" },
    { BPF_CGROUP_SOCK_OPS, "order of programs at sockops" },
    { BPF_CGROUP_INET_INGRESS, "order of programs at ingress" },
    { BPF_CGROUP_INET_EGRESS, "order of programs at egress" },
};

void weir_check_order(const struct weir_check_report *r, const char *cgroup) {
    int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    weir_check_say(r, fd >= 0 ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, "the pods' parent cgroup", cgroup,
                   "name an existing cgroup2 directory");
    if (fd < 0)
        return;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(hooks); i++) {
        uint32_t ids[IDS_MAX], n = IDS_MAX;
        struct names names = { "", 0, 0 };

        if (bpf_prog_query(fd, hooks[i].type, BPF_F_QUERY_EFFECTIVE, NULL, ids, &n) < 0)
            continue;
        for (uint32_t p = 0; p < n; p++)
            add_program(&names, ids[p]);
        weir_check_say(
            r, names.foreign ? WEIR_CHECK_WARN : WEIR_CHECK_OK, hooks[i].what,
            names.n ? names.text : "none",
            "another program also runs here: what it rewrites first, weir sees rewritten");
    }
    close(fd);
}

static void add_sockmap(struct names *names, int fd) {
    static const enum bpf_attach_type types[] = { BPF_SK_MSG_VERDICT, BPF_SK_SKB_STREAM_VERDICT,
                                                  BPF_SK_SKB_VERDICT, BPF_SK_SKB_STREAM_PARSER };
    struct bpf_map_info info = { 0 };
    uint32_t len = sizeof(info);

    if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ||
        (info.type != BPF_MAP_TYPE_SOCKMAP && info.type != BPF_MAP_TYPE_SOCKHASH) ||
        strncmp(info.name, "weir_", 5) == 0)
        return;
    add(names, info.name, info.id);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(types); i++) {
        uint32_t ids[IDS_MAX], n = IDS_MAX;

        if (bpf_prog_query(fd, types[i], 0, NULL, ids, &n) < 0)
            continue;
        for (uint32_t p = 0; p < n; p++)
            add_program(names, ids[p]);
    }
}

void weir_check_sockmaps(const struct weir_check_report *r) {
    struct names names = { "", 0, 0 };
    uint32_t id = 0;
    int fd;

    while (bpf_map_get_next_id(id, &id) == 0) {
        fd = bpf_map_get_fd_by_id(id);
        if (fd < 0)
            continue;
        add_sockmap(&names, fd);
        close(fd);
    }
    weir_check_say(r, names.n ? WEIR_CHECK_WARN : WEIR_CHECK_OK, "sockmaps of others",
                   names.n ? names.text : "none",
                   "a pod's socket that is in theirs is not joined by weir as well: it may obey "
                   "theirs only; weir.dev/join: \"off\" keeps out of their way");
}
