/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The per-namespace half: one sk_lookup instance for each pod on this node, pinned as pods/ID,
 * replaced through its link. Knows a pod by its id and an open network namespace.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kern/skel.h"
#include "sys/log.h"

static int pod_path(const struct weir_kern *k, uint32_t pod, char *ret, size_t size) {
    char name[16];

    snprintf(name, sizeof(name), "%u", pod);
    return weir_pin_path(k->pin_dir, "pods", name, ret, size);
}

static bool link_is_there(int link_fd, int netns_fd) {
    struct bpf_link_info info = { 0 };
    uint32_t len = sizeof(info);
    struct stat st;

    if (bpf_obj_get_info_by_fd(link_fd, &info, &len) < 0 || fstat(netns_fd, &st) < 0)
        return false;
    return info.type == BPF_LINK_TYPE_NETNS && info.netns.netns_ino == (uint32_t)st.st_ino;
}

bool weir_pod_link_lives(const struct weir_kern *k, uint32_t pod, int netns_fd) {
    char path[PATH_MAX];
    bool lives;
    int fd;

    if (pod_path(k, pod, path, sizeof(path)) < 0)
        return false;
    fd = bpf_obj_get(path);
    if (fd < 0)
        return false;
    lives = link_is_there(fd, netns_fd);
    close(fd);
    return lives;
}

/* 1: an existing link was updated; 0: there is none (any more). */
static int replace(const char *path, int prog_fd, int netns_fd) {
    int fd = bpf_obj_get(path), r = -EEXIST;

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    if (link_is_there(fd, netns_fd))
        r = bpf_link_update(fd, prog_fd, NULL);
    close(fd);
    if (r == 0)
        return 1;
    return r == -EEXIST ? weir_pin_link_remove(path) : r;
}

static int attach(const char *path, int prog_fd, int netns_fd) {
    int r = replace(path, prog_fd, netns_fd), fd;

    if (r != 0)
        return r < 0 ? r : 0;
    fd = bpf_link_create(prog_fd, netns_fd, BPF_SK_LOOKUP, NULL);
    if (fd < 0)
        return fd;
    r = bpf_obj_pin(fd, path);
    close(fd);
    return r;
}

int weir_kern_pod_attach(struct weir_kern *k, uint32_t pod, int netns_fd, uint64_t cookie) {
    struct weir_bpf *bpf;
    char path[PATH_MAX];
    int r;

    if (pod == 0)
        return -EINVAL;
    r = pod_path(k, pod, path, sizeof(path));
    if (r == 0)
        r = weir_object_load(k->pin_dir, pod, cookie, &bpf);
    if (r != 0)
        return r;
    r = attach(path, bpf_program__fd(bpf->progs.weir_sk_lookup), netns_fd);
    weir_bpf__destroy(bpf);
    if (r < 0) {
        weir_log(WEIR_LOG_ERROR, "pod_attach_failed", "pod=%u errno=%d", pod, -r);
        return WEIR_KERN_REFUSED;
    }
    return 0;
}

int weir_kern_pod_detach(struct weir_kern *k, uint32_t pod) {
    char path[PATH_MAX];
    int r = pod_path(k, pod, path, sizeof(path));

    (void)bpf_map_delete_elem(weir_kern_map_fd(k, "weir_canary"), &pod);
    (void)bpf_map_delete_elem(weir_kern_map_fd(k, "weir_wait"), &pod);
    return r < 0 ? r : weir_pin_link_remove(path);
}

struct pod_walk {
    int (*fn)(void *arg, uint32_t pod);
    void *arg;
};

static int pod_step(void *arg, const char *name) {
    const struct pod_walk *w = arg;
    char *end;
    unsigned long pod = strtoul(name, &end, 10);

    return *end != '\0' || pod == 0 || pod > UINT32_MAX ? 0 : w->fn(w->arg, (uint32_t)pod);
}

int weir_kern_pod_each(struct weir_kern *k, int (*fn)(void *arg, uint32_t pod), void *arg) {
    struct pod_walk w = { fn, arg };

    return weir_pin_each(k->pin_dir, "pods", pod_step, &w);
}
