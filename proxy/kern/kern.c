/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node's kernel half from open to close: lock, layout, load, attach or adopt. What it pins
 * works on without it. Refuses to know pods' names and what the maps mean.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/slice.h"
#include "kern/skel.h"
#include "kern/tls.h"
#include "sys/log.h"

#define CGROUP2_MAGIC 0x63677270

const char *weir_kern_outcome_text(int outcome) {
    switch (outcome) {
    case WEIR_KERN_OWNED:
        return "another agent owns this pin directory";
    case WEIR_KERN_LAYOUT:
        return "the pinned maps have another layout version: uninstall with the weir that made "
               "them, or run that one";
    case WEIR_KERN_FOREIGN:
        return "the pin directory is not on a bpffs, or holds something weir did not put there";
    case WEIR_KERN_REFUSED:
        return "the kernel refused a program, map or attachment (see the log)";
    case WEIR_KERN_LEFT:
        return "something is still there";
    default:
        return "";
    }
}

/* The root has no cgroup.type: nothing is ever attached there (it would see ssh and the package
 * manager). */
int weir_cgroup_open(const char *path, int *ret_fd) {
    struct statfs fs;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_MAGIC ||
        faccessat(fd, "cgroup.type", F_OK, 0) < 0) {
        close(fd);
        return -EINVAL;
    }
    *ret_fd = fd;
    return 0;
}

/* Before libbpf compares map shapes: one clear answer instead of "parameter mismatch". */
static int check_layout(struct weir_kern *k) {
    struct weir_meta_value meta = { 0 };
    struct bpf_map_info info = { 0 };
    uint32_t len = sizeof(info), zero = 0;
    char path[PATH_MAX];
    int fd, r;

    r = weir_pin_path(k->pin_dir, "maps", "weir_meta", path, sizeof(path));
    if (r < 0)
        return r;
    fd = bpf_obj_get(path);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    r = bpf_obj_get_info_by_fd(fd, &info, &len);
    if (r == 0 && info.value_size != sizeof(meta))
        r = WEIR_KERN_LAYOUT;
    if (r == 0)
        r = bpf_map_lookup_elem(fd, &zero, &meta);
    close(fd);
    if (r != 0)
        return r;
    /* All zero: an agent died between making the map and writing it. */
    if (meta.magic == 0 && meta.version == 0)
        return 0;
    if (meta.magic != WEIR_LAYOUT_MAGIC || meta.version != WEIR_LAYOUT_VERSION) {
        weir_log(WEIR_LOG_ERROR, "layout_mismatch", "pinned=%u ours=%u", meta.version,
                 WEIR_LAYOUT_VERSION);
        return WEIR_KERN_LAYOUT;
    }
    k->adopted = true;
    return 0;
}

static int take_maps(struct weir_kern *k) {
    for (int m = 0; m < WEIR_MAP_COUNT_; m++) {
        k->map_fds[m] = weir_kern_map_fd(k, weir_map_name((enum weir_map)m));
        if (k->map_fds[m] < 0)
            return k->map_fds[m];
    }
    return 0;
}

static int stamp_layout(struct weir_kern *k) {
    struct weir_meta_value meta = { .magic = WEIR_LAYOUT_MAGIC,
                                    .version = WEIR_LAYOUT_VERSION,
                                    .epoch = 1 };
    uint32_t zero = 0;

    return k->adopted ? 0 : weir_kern_put(k, WEIR_MAP_META, &zero, &meta);
}

static int open_parts(struct weir_kern *k, const struct weir_kern_options *options) {
    int r = weir_cgroup_open(options->cgroup, &k->cgroup_fd);

    if (r == 0)
        r = weir_pin_dir_open(options->pin_dir, true, &k->lock_fd);
    if (r == 0)
        (void)weir_sweep_cgroups(options->cgroup, NULL, NULL); /* now they are nobody's */
    if (r == 0)
        r = check_layout(k);
    if (r == 0)
        r = weir_object_load(k->pin_dir, 0, 0, &k->bpf);
    if (r == 0)
        r = take_maps(k);
    if (r == 0)
        r = stamp_layout(k);
    return r;
}

int weir_kern_open(const struct weir_kern_options *options, struct weir_kern **ret_kern) {
    struct weir_kern *k;
    int r;

    if (strlen(options->pin_dir) >= sizeof(k->pin_dir) ||
        strlen(options->cgroup) >= sizeof(k->cgroup))
        return -ENAMETOOLONG;
    k = weir_calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    k->lock_fd = k->cgroup_fd = -1;
    strcpy(k->pin_dir, options->pin_dir);
    strcpy(k->cgroup, options->cgroup);
    k->helper = options->helper;
    weir_libbpf_log();
    r = open_parts(k, options);
    if (r != 0) {
        weir_kern_close(k);
        return r;
    }
    *ret_kern = k;
    return 0;
}

bool weir_kern_owned(const char *pin_dir) {
    int fd, r = weir_pin_dir_open(pin_dir, false, &fd);

    if (r == 0)
        close(fd);
    return r == WEIR_KERN_OWNED;
}

bool weir_kern_adopted(const struct weir_kern *k) {
    return k->adopted;
}

struct weir_kern *weir_kern_close(struct weir_kern *k) {
    if (!k)
        return NULL;
    ring_buffer__free(k->rings);
    (void)weir_kern_tls_sockets(k, false);
    weir_bpf__destroy(k->bpf);
    if (k->cgroup_fd >= 0)
        close(k->cgroup_fd);
    if (k->lock_fd >= 0)
        close(k->lock_fd);
    return weir_free(k);
}

int weir_kern_map_fd(const struct weir_kern *k, const char *name) {
    return bpf_object__find_map_fd_by_name(k->bpf->obj, name);
}

/* Does the pinned link sit on our cgroup and live? A link whose cgroup is gone has id 0. */
static bool link_is_ours(int link_fd, int cgroup_fd) {
    struct bpf_link_info info = { 0 };
    uint32_t len = sizeof(info);
    struct stat st;

    if (bpf_obj_get_info_by_fd(link_fd, &info, &len) < 0 || fstat(cgroup_fd, &st) < 0)
        return false;
    return info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == (uint64_t)st.st_ino;
}

static int attach_new(const struct bpf_program *prog, int cgroup_fd, const char *path) {
    int fd = bpf_link_create(bpf_program__fd(prog), cgroup_fd,
                             bpf_program__expected_attach_type(prog), NULL);
    int r;

    if (fd < 0)
        return fd;
    r = bpf_obj_pin(fd, path);
    close(fd);
    return r;
}

/* Replaced through its link when there is one: between the old program and the new no call finds
 * none. */
int weir_link_attach(struct weir_kern *k, const struct bpf_program *prog, int cgroup_fd) {
    char path[PATH_MAX];
    int fd, r;

    r = weir_pin_path(k->pin_dir, "links", bpf_program__name(prog), path, sizeof(path));
    if (r < 0)
        return r;
    fd = bpf_obj_get(path);
    if (fd >= 0) {
        bool ours = link_is_ours(fd, cgroup_fd);

        r = ours ? bpf_link_update(fd, bpf_program__fd(prog), NULL) : 0;
        close(fd);
        if (ours)
            return r;
        r = weir_pin_link_remove(path);
        if (r < 0)
            return r;
    }
    return attach_new(prog, cgroup_fd, path);
}

/* A program that an older weir had and this one has not. */
static int drop_unknown_link(void *arg, const char *name) {
    struct weir_kern *k = arg;
    const struct bpf_program *prog;
    char path[PATH_MAX];
    int r;

    prog = bpf_object__find_program_by_name(k->bpf->obj, name);
    if (prog && bpf_program__autoload(prog))
        return 0;
    weir_log(WEIR_LOG_INFO, "old_program_dropped", "name=%s",
             weir_log_quote(weir_slice_from_str(name)).s);
    r = weir_pin_path(k->pin_dir, "links", name, path, sizeof(path));
    return r < 0 ? r : weir_pin_link_remove(path);
}

/* The others are run by name (explain), opened where they are needed (iterators) or hang on a map
 * (joining). */
static bool is_cgroup_program(const struct bpf_program *prog) {
    if (strcmp(bpf_program__name(prog), WEIR_RECORDER) == 0 || weir_http_is_program(prog))
        return false;
    switch (bpf_program__type(prog)) {
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
    case BPF_PROG_TYPE_CGROUP_SOCK:
    case BPF_PROG_TYPE_CGROUP_SOCKOPT:
    case BPF_PROG_TYPE_CGROUP_SKB:
    case BPF_PROG_TYPE_SOCK_OPS:
        return true;
    default:
        return false;
    }
}

int weir_kern_attach(struct weir_kern *k) {
    struct bpf_program *prog;
    int r = weir_join_attach(k->bpf);

    if (r < 0) {
        weir_log(WEIR_LOG_ERROR, "attach_failed", "program=weir_sk_msg errno=%d", -r);
        return WEIR_KERN_REFUSED;
    }
    bpf_object__for_each_program(prog, k->bpf->obj) {
        if (!bpf_program__autoload(prog) || !is_cgroup_program(prog))
            continue;
        r = weir_link_attach(k, prog, k->cgroup_fd);
        if (r < 0) {
            weir_log(WEIR_LOG_ERROR, "attach_failed", "program=%s errno=%d",
                     bpf_program__name(prog), -r);
            return WEIR_KERN_REFUSED;
        }
    }
    return weir_pin_each(k->pin_dir, "links", drop_unknown_link, k);
}
