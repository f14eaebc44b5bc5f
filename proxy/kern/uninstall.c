/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking it all away, and looking afterwards: the ids of every program, map and link that the pins
 * held are noted first, and each is asked for again at the end. A pin that is gone proves nothing;
 * an id that is gone does.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum kind { KIND_PROG, KIND_MAP, KIND_LINK };

struct noted {
    enum kind kind;
    uint32_t id;
    char name[64];
};

struct note_list {
    const char *pin_dir, *sub;
    struct noted *items;
    size_t n;
};

static int note(struct note_list *l, enum kind kind, uint32_t id, const char *name) {
    struct noted *items = weir_reallocarray(l->items, l->n + 1, sizeof(*items));

    if (!items)
        return -ENOMEM;
    l->items = items;
    items[l->n] = (struct noted){ .kind = kind, .id = id };
    snprintf(items[l->n].name, sizeof(items[l->n].name), "%s/%s", l->sub, name);
    l->n++;
    return 0;
}

static int note_map(struct note_list *l, int fd, const char *name) {
    struct bpf_map_info info = { 0 };
    uint32_t len = sizeof(info);
    int r = bpf_obj_get_info_by_fd(fd, &info, &len);

    return r < 0 ? r : note(l, KIND_MAP, info.id, name);
}

static int note_link(struct note_list *l, int fd, const char *name) {
    struct bpf_link_info info = { 0 };
    uint32_t len = sizeof(info);
    int r = bpf_obj_get_info_by_fd(fd, &info, &len);

    if (r == 0)
        r = note(l, KIND_LINK, info.id, name);
    return r < 0 ? r : note(l, KIND_PROG, info.prog_id, name);
}

/* Notes what the pin holds, then takes it away. */
static int remove_pin(void *arg, const char *name) {
    struct note_list *l = arg;
    bool is_map = strcmp(l->sub, "maps") == 0;
    char path[PATH_MAX];
    int r, fd;

    r = weir_pin_path(l->pin_dir, l->sub, name, path, sizeof(path));
    if (r < 0)
        return r;
    fd = bpf_obj_get(path);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    r = is_map ? note_map(l, fd, name) : note_link(l, fd, name);
    close(fd);
    if (r < 0)
        return r;
    if (!is_map)
        return weir_pin_link_remove(path);
    return unlink(path) < 0 ? -errno : 0;
}

static int remove_sub(struct note_list *l, const char *sub) {
    char path[PATH_MAX];
    int r;

    l->sub = sub;
    r = weir_pin_each(l->pin_dir, sub, remove_pin, l);
    if (r == 0)
        r = weir_pin_path(l->pin_dir, sub, NULL, path, sizeof(path));
    if (r == 0 && rmdir(path) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

static bool still_there(const struct noted *n) {
    int fd = n->kind == KIND_PROG  ? bpf_prog_get_fd_by_id(n->id)
             : n->kind == KIND_MAP ? bpf_map_get_fd_by_id(n->id)
                                   : bpf_link_get_fd_by_id(n->id);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The kernel frees behind an RCU grace period and a work queue: asked again for up to two seconds.
 */
static size_t count_left(const struct note_list *l) {
    const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
    size_t left = 0;

    for (int round = 0; round < 100; round++) {
        left = 0;
        for (size_t i = 0; i < l->n; i++)
            left += still_there(&l->items[i]);
        if (left == 0)
            break;
        nanosleep(&pause, NULL);
    }
    return left;
}

static int prove(const struct note_list *l, void (*left)(void *arg, const char *what), void *arg) {
    static const char *const kinds[] = { "program", "map", "link" };
    char text[PATH_MAX + 32];
    int r = 0;

    if (access(l->pin_dir, F_OK) == 0) {
        snprintf(text, sizeof(text), "directory %s", l->pin_dir);
        left(arg, text);
        r = WEIR_KERN_LEFT;
    }
    if (count_left(l) == 0)
        return r;
    for (size_t i = 0; i < l->n; i++) {
        if (!still_there(&l->items[i]))
            continue;
        snprintf(text, sizeof(text), "%s %u (%s)", kinds[l->items[i].kind], l->items[i].id,
                 l->items[i].name);
        left(arg, text);
        r = WEIR_KERN_LEFT;
    }
    return r;
}

/*
 * From here on nothing is joined. Sockets that were keep their program and its maps in the kernel
 * until they are closed, so that no byte under way is lost; while there are any, they are what is
 * left.
 */
static void stop_joining(const char *pin_dir) {
    struct weir_meta_value meta;
    uint32_t zero = 0;
    char path[PATH_MAX];
    int fd;

    if (weir_pin_path(pin_dir, "maps", "weir_meta", path, sizeof(path)) < 0)
        return;
    fd = bpf_obj_get(path);
    if (fd < 0)
        return;
    if (bpf_map_lookup_elem(fd, &zero, &meta) == 0) {
        meta.flags &= ~WEIR_META_JOIN;
        (void)bpf_map_update_elem(fd, &zero, &meta, BPF_ANY);
    }
    close(fd);
}

static int sweep(const struct weir_kern_options *options, void (*left)(void *arg, const char *what),
                 void *arg) {
    uint32_t n = options->cgroup ? weir_sweep_cgroups(options->cgroup, left, arg) : 0;

    return n ? WEIR_KERN_LEFT : 0;
}

int weir_kern_uninstall(const struct weir_kern_options *options,
                        void (*left)(void *arg, const char *what), void *arg) {
    static const char *const order[] = { "links", "pods", "maps" };
    struct note_list l = { .pin_dir = options->pin_dir };
    int lock, r;

    weir_libbpf_log();
    r = weir_pin_dir_open(options->pin_dir, false, &lock);
    if (r == -ENOENT)
        return sweep(options, left, arg);
    if (r != 0)
        return r;
    stop_joining(options->pin_dir);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(order) && r == 0; i++)
        r = remove_sub(&l, order[i]);
    if (r == 0 && rmdir(options->pin_dir) < 0)
        r = -errno;
    close(lock);
    if (r == 0)
        r = prove(&l, left, arg);
    if (r == 0)
        r = sweep(options, left, arg);
    weir_free(l.items);
    return r;
}
