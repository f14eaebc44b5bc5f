/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups of weir's own making, left by a process that was killed: the self-test's and the canary's leaf. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "helper/helper.h"
#include "kern/priv.h"
#include "sys/cgroup.h"

#define DEPTH_MAX 16

struct sweep {
    void (*left)(void *arg, const char *what);
    void *arg;
    uint32_t n_left;
};

static bool is_ours(const char *name) {
    return strcmp(name, WEIR_HELPER_LEAF) == 0 ||
           strncmp(name, WEIR_JOIN_CGROUP, strlen(WEIR_JOIN_CGROUP)) == 0;
}

static void sweep_one(struct sweep *s, const char *path) {
    char what[PATH_MAX + 16];

    if (weir_cgroup_remove(path) == 0)
        return;
    s->n_left++;
    snprintf(what, sizeof(what), "cgroup %s", path);
    if (s->left)
        s->left(s->arg, what);
}

static void sweep(struct sweep *s, const char *directory, int depth) {
    DIR *dir = opendir(directory);
    struct dirent *entry;
    char path[PATH_MAX];

    while (dir && (entry = readdir(dir))) {
        int n = snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || (size_t)n >= sizeof(path))
            continue;
        if (depth < DEPTH_MAX)
            sweep(s, path, depth + 1);
        if (is_ours(entry->d_name))
            sweep_one(s, path);
    }
    if (dir)
        closedir(dir);
}

uint32_t weir_sweep_cgroups(const char *parent, void (*left)(void *arg, const char *what),
                            void *arg) {
    struct sweep s = { left, arg, 0 };

    sweep(&s, parent, 0);
    return s.n_left;
}
