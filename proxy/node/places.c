/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looked at again each time: a directory per pod, and one small file of it. Between two looks a process may end and its
 * number be given away; whose namespace it is in is asked again by enrol, and the next look finds another process.
 */
#include "node/places.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define DEPTH_MAX 6

void weir_uid_places_deinit(struct weir_uid_places *p) {
    p->items = weir_free(p->items);
    p->n = 0;
}

const struct weir_uid_place *weir_uid_places_find(const struct weir_uid_places *p,
                                                  const char *uid) {
    for (uint32_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].uid, uid) == 0)
            return &p->items[i];
    return NULL;
}

int weir_uid_places_add(struct weir_uid_places *p, const struct weir_uid_places *before,
                        const char *uid, const char *sidecar_id) {
    const struct weir_uid_place *known = weir_uid_places_find(before, uid);
    struct weir_uid_place *items, *place;

    if (uid[0] == '\0' || strlen(uid) >= sizeof(place->uid))
        return 0;
    items = weir_reallocarray(p->items, p->n + 1UL, sizeof(*items));
    if (!items)
        return -ENOMEM;
    p->items = items;
    place = &items[p->n++];
    *place = known ? *known : (struct weir_uid_place){ 0 };
    snprintf(place->uid, sizeof(place->uid), "%s", uid);
    snprintf(place->sidecar_id, sizeof(place->sidecar_id), "%s", sidecar_id);
    return 0;
}

static bool is_uid_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-' || c == '_';
}

bool weir_uid_of_cgroup(const char *name, char ret_uid[64]) {
    const char *at = name, *next;
    size_t n = 0;

    /* The last "pod": "kubepods-pod..." has two. */
    for (next = strstr(name, "pod"); next; next = strstr(next + 1, "pod"))
        at = next;
    if (strncmp(at, "pod", 3) != 0 || (at != name && at[-1] != '-'))
        return false;
    for (at += 3; is_uid_char(at[n]) && n < 63; n++)
        ret_uid[n] = at[n] == '_' ? '-' : at[n];
    ret_uid[n] = '\0';
    /* A UUID, or the hash of a static pod's file. */
    return n >= 32 && (at[n] == '\0' || strcmp(at + n, ".slice") == 0);
}

bool weir_uid_is_between(const char *name) {
    static const char *const names[] = { "burstable",
                                         "besteffort",
                                         "guaranteed",
                                         "kubepods",
                                         "kubepods.slice",
                                         "kubepods-burstable.slice",
                                         "kubepods-besteffort.slice",
                                         "kubelet-kubepods.slice",
                                         "kubelet-kubepods-burstable.slice",
                                         "kubelet-kubepods-besteffort.slice" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* ---- looking ---- */

struct look {
    struct weir_uid_places *places;
    size_t mount; /* bytes of the mount's path */
    bool changed;
};

/* A process of this cgroup; `known` if it is still one of it, else the first; 0 = none. */
static pid_t process_of(const char *cgroup, pid_t known) {
    char path[1024], line[32];
    pid_t first = 0;
    FILE *f;

    if (snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup) >= (int)sizeof(path))
        return 0;
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        pid_t pid = atoi(line);

        if (pid > 0 && (first == 0 || pid == known))
            first = pid;
        if (pid == known && known > 0)
            break;
    }
    if (f)
        fclose(f);
    return first;
}

/* Of the pod's own directory and its containers'. */
static void look_inside(struct weir_uid_place *place, const char *path) {
    pid_t pid = process_of(path, place->pid);
    char sidecar[256] = "";
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char below[1024];

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        if (place->sidecar_id[0] && strstr(entry->d_name, place->sidecar_id))
            snprintf(sidecar, sizeof(sidecar), "%s", entry->d_name);
        if ((pid == 0 || pid != place->pid) &&
            snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) < (int)sizeof(below)) {
            pid_t other = process_of(below, place->pid);

            pid = other && (pid == 0 || other == place->pid) ? other : pid;
        }
    }
    if (dir)
        closedir(dir);
    place->pid = pid;
    memcpy(place->sidecar, sidecar, sizeof(sidecar));
}

static void look_at_pod(struct look *l, const char *uid, const char *path) {
    for (uint32_t i = 0; i < l->places->n; i++) {
        struct weir_uid_place *place = &l->places->items[i];

        if (strcmp(place->uid, uid) != 0)
            continue;
        snprintf(place->cgroup, sizeof(place->cgroup), "%s", path + l->mount);
        look_inside(place, path);
    }
}

static void look_below(struct look *l, const char *directory, int depth) {
    DIR *dir = opendir(directory);
    struct dirent *entry;
    char path[1024], uid[64];

    while (dir && (entry = readdir(dir))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >= (int)sizeof(path))
            continue;
        if (weir_uid_of_cgroup(entry->d_name, uid))
            look_at_pod(l, uid, path);
        else if (weir_uid_is_between(entry->d_name) && depth < DEPTH_MAX)
            look_below(l, path, depth + 1);
    }
    if (dir)
        closedir(dir);
}

bool weir_uid_places_look(struct weir_uid_places *p, const char *mount, const char *parent) {
    struct look l = { .places = p, .mount = strlen(mount) };
    struct weir_uid_place *was = weir_calloc(p->n + 1UL, sizeof(*was));

    if (!was)
        return false; /* next time */
    for (uint32_t i = 0; i < p->n; i++) {
        was[i] = p->items[i];
        p->items[i].cgroup[0] = p->items[i].sidecar[0] = '\0';
    }
    look_below(&l, parent, 0);
    for (uint32_t i = 0; i < p->n; i++) {
        struct weir_uid_place *now = &p->items[i];

        if (now->cgroup[0] == '\0')
            now->pid = 0;
        l.changed = l.changed || now->pid != was[i].pid ||
                    strcmp(now->cgroup, was[i].cgroup) != 0 ||
                    strcmp(now->sidecar, was[i].sidecar) != 0;
    }
    weir_free(was);
    return l.changed;
}

static bool lists(const char *path, pid_t pid) {
    DIR *dir;
    struct dirent *entry;
    char below[1024];
    bool found = process_of(path, pid) == pid;

    dir = found ? NULL : opendir(path);
    while (dir && !found && (entry = readdir(dir)))
        found = entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
                snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) < (int)sizeof(below) &&
                process_of(below, pid) == pid;
    if (dir)
        closedir(dir);
    return found;
}

static bool seek(const char *directory, int depth, pid_t pid, char ret_path[1024]) {
    DIR *dir = opendir(directory);
    struct dirent *entry;
    char path[1024], uid[64];
    bool found = false;

    while (dir && !found && (entry = readdir(dir))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >= (int)sizeof(path))
            continue;
        if (!weir_uid_of_cgroup(entry->d_name, uid))
            found = weir_uid_is_between(entry->d_name) && depth < DEPTH_MAX &&
                    seek(path, depth + 1, pid, ret_path);
        else if ((found = lists(path, pid)))
            memcpy(ret_path, path, sizeof(path));
    }
    if (dir)
        closedir(dir);
    return found;
}

bool weir_uid_places_of(const char *parent, pid_t pid, char ret_path[1024]) {
    return seek(parent, 0, pid, ret_path);
}
