/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is everything in the pin directory ours, of this layout, and still attached to something that
 * lives? Only looks; the agent replaces what it owns, a person decides about the rest.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kern/priv.h"
#include "kern/skel.h"

struct look {
    const struct weir_bpf *bpf;
    const char *pin_dir, *sub;
    weir_pin_fn *fn;
    void *arg;
    uint32_t n;
};

static void say(struct look *l, const char *name, const char *why) {
    char what[PATH_MAX];

    if (l->sub)
        snprintf(what, sizeof(what), "%s/%s", l->sub, name);
    else
        snprintf(what, sizeof(what), "%s", name);
    l->n++;
    l->fn(l->arg, what, why);
}

static int get(struct look *l, const char *name) {
    char path[PATH_MAX];
    int r = weir_pin_path(l->pin_dir, l->sub, name, path, sizeof(path));

    return r < 0 ? r : bpf_obj_get(path);
}

static const char *map_problem(int fd, const struct bpf_map *map) {
    struct bpf_map_info info = { 0 };
    uint32_t len = sizeof(info);

    if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0 || info.name[0] == '\0')
        return "not a map";
    if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
        info.value_size != bpf_map__value_size(map))
        return "of another layout";
    return NULL;
}

static int look_map(void *arg, const char *name) {
    struct look *l = arg;
    const struct bpf_map *map = bpf_object__find_map_by_name(l->bpf->obj, name);
    const char *problem;
    int fd;

    if (!map) {
        say(l, name, "foreign: no map of this weir");
        return 0;
    }
    fd = get(l, name);
    if (fd < 0)
        return 0;
    problem = map_problem(fd, map);
    close(fd);
    if (problem)
        say(l, name, problem);
    return 0;
}

/* What a link hangs on has gone: the kernel keeps the link and forgets the place. */
static const char *link_problem(int fd, bool netns) {
    struct bpf_link_info info = { 0 };
    uint32_t len = sizeof(info);

    if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0 || info.prog_id == 0)
        return "not a link";
    if (info.type != (netns ? BPF_LINK_TYPE_NETNS : BPF_LINK_TYPE_CGROUP))
        return "foreign: a link of another type";
    if (netns ? info.netns.netns_ino == 0 : info.cgroup.cgroup_id == 0)
        return netns ? "stale: its network namespace is gone, or it was detached"
                     : "stale: its cgroup is gone, or it was detached";
    return NULL;
}

static int look_link(void *arg, const char *name) {
    struct look *l = arg;
    bool pod = strcmp(l->sub, "pods") == 0;
    const char *problem;
    int fd;

    if (pod ? name[strspn(name, "0123456789")] != '\0'
            : !bpf_object__find_program_by_name(l->bpf->obj, name)) {
        say(l, name, pod ? "foreign: not the number of a pod" : "foreign: no program of this weir");
        return 0;
    }
    fd = get(l, name);
    if (fd < 0)
        return 0;
    problem = link_problem(fd, pod);
    close(fd);
    if (problem)
        say(l, name, problem);
    return 0;
}

static int look_top(void *arg, const char *name) {
    struct look *l = arg;

    if (strcmp(name, "maps") != 0 && strcmp(name, "links") != 0 && strcmp(name, "pods") != 0)
        say(l, name, "foreign: weir puts nothing of that name there");
    return 0;
}

/* The number in a live map of ours, whatever its shape. */
static void look_layout(struct look *l) {
    struct weir_meta_value meta = { 0 };
    struct bpf_map_info info = { 0 };
    uint32_t len = sizeof(info), zero = 0;
    char why[96];
    int fd;

    l->sub = "maps";
    fd = get(l, "weir_meta");
    if (fd < 0)
        return;
    if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.value_size == sizeof(meta) &&
        bpf_map_lookup_elem(fd, &zero, &meta) == 0 && meta.magic == WEIR_LAYOUT_MAGIC &&
        meta.version != WEIR_LAYOUT_VERSION) {
        snprintf(why, sizeof(why),
                 "layout %u, this weir has %d: uninstall with the weir that made it", meta.version,
                 WEIR_LAYOUT_VERSION);
        say(l, "weir_meta", why);
    }
    close(fd);
}

int weir_pins_look(const struct weir_bpf *bpf, const char *pin_dir, weir_pin_fn *fn, void *arg,
                   uint32_t *ret_n) {
    struct look l = { .bpf = bpf, .pin_dir = pin_dir, .fn = fn, .arg = arg };
    int r = weir_pin_each(pin_dir, ".", look_top, &l);

    look_layout(&l);
    if (r == 0)
        r = weir_pin_each(pin_dir, "maps", look_map, &l);
    l.sub = "links";
    if (r == 0)
        r = weir_pin_each(pin_dir, "links", look_link, &l);
    l.sub = "pods";
    if (r == 0)
        r = weir_pin_each(pin_dir, "pods", look_link, &l);
    *ret_n = l.n;
    return r;
}

int weir_kern_pins(struct weir_kern *k, weir_pin_fn *fn, void *arg, uint32_t *ret_n) {
    return weir_pins_look(k->bpf, k->pin_dir, fn, arg, ret_n);
}
