/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each watched path is walked from the root, one component at a time and through symbolic links;
 * every (directory, name) met on the way is an entry, because a change of that name changes what
 * the path means. A path that ends in a directory adds an entry for each name in it. After any
 * relevant event the walk is done again: entries and kernel watches always describe the present. It
 * reads no contents, starts no thread and has no timer.
 */
#include "sys/watch.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define MASK                                                                                       \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LINKS_MAX 40

struct entry {
    int wd;
    bool leaf;  /* the watched thing itself, not a directory or link on the way */
    char *dir;  /* where the name lies; for looking at a created file */
    char *name; /* NULL: every name in the directory */
};

struct weir_watch {
    int fd;
    char **paths;
    size_t n_paths;
    struct entry *entries;
    size_t n_entries;
};

/* One walk: `done` is resolved and has no links, `rest` is still to be walked. */
struct walk {
    char done[PATH_MAX], rest[PATH_MAX];
    int links;
};

static void entries_free(struct entry *entries, size_t n) {
    for (size_t i = 0; i < n; i++) {
        weir_free(entries[i].dir);
        weir_free(entries[i].name);
    }
    weir_free(entries);
}

static bool has_wd(const struct entry *entries, size_t n, int wd) {
    for (size_t i = 0; i < n; i++) {
        if (entries[i].wd == wd)
            return true;
    }
    return false;
}

int weir_watch_new(struct weir_watch **ret_watch) {
    struct weir_watch *watch = weir_calloc(1, sizeof(*watch));
    if (!watch)
        return -ENOMEM;
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0) {
        int r = -errno;
        weir_free(watch);
        return r;
    }
    *ret_watch = watch;
    return 0;
}

struct weir_watch *weir_watch_free(struct weir_watch *watch) {
    if (!watch)
        return NULL;
    close(watch->fd);
    entries_free(watch->entries, watch->n_entries);
    for (size_t i = 0; i < watch->n_paths; i++)
        weir_free(watch->paths[i]);
    weir_free(watch->paths);
    return weir_free(watch);
}

int weir_watch_fd(const struct weir_watch *watch) {
    return watch->fd;
}

static int entry_add(struct weir_watch *watch, const char *dir, const char *name, bool leaf) {
    int wd = inotify_add_watch(watch->fd, dir, MASK);
    if (wd < 0) /* gone or not ours to see: the entries above tell when that changes */
        return errno == ENOSPC || errno == ENOMEM ? -errno : 0;
    struct entry *entries =
        weir_reallocarray(watch->entries, watch->n_entries + 1, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    watch->entries = entries;
    struct entry *entry = &entries[watch->n_entries];
    *entry = (struct entry){ .wd = wd, .leaf = leaf, .dir = weir_strndup(dir, PATH_MAX) };
    if (name)
        entry->name = weir_strndup(name, NAME_MAX);
    watch->n_entries++;
    return entry->dir && (!name || entry->name) ? 0 : -ENOMEM;
}

/* Takes the next component off rest; false at the end. */
static bool next_component(struct walk *walk, char name[NAME_MAX + 1]) {
    char *p = walk->rest + strspn(walk->rest, "/");
    size_t n = strcspn(p, "/");
    if (n == 0 || n > NAME_MAX)
        return false;
    memcpy(name, p, n);
    name[n] = '\0';
    memmove(walk->rest, p + n, strlen(p + n) + 1);
    return true;
}

static void step_up(struct walk *walk) {
    char *slash = strrchr(walk->done, '/');
    slash[slash == walk->done ? 1 : 0] = '\0';
}

static int step_down(struct walk *walk, const char *name) {
    size_t at = strlen(walk->done), n = strlen(name);
    if (at + 1 + n >= sizeof(walk->done))
        return -ENAMETOOLONG;
    if (at > 1)
        walk->done[at++] = '/';
    memcpy(walk->done + at, name, n + 1);
    return 0;
}

/* done/… names a link: its target goes before what is left of rest. */
static int step_through(struct walk *walk, const char *link) {
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t n = readlink(link, target, sizeof(target) - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    int len = snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest);
    if (len < 0 || (size_t)len >= sizeof(rest))
        return -ENAMETOOLONG;
    memcpy(walk->rest, rest, (size_t)len + 1);
    if (target[0] == '/')
        memcpy(walk->done, "/", 2);
    return 0;
}

/* 0 = go on, 1 = the path ends here for now, -errno. */
static int walk_step(struct weir_watch *watch, struct walk *walk, const char *name) {
    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0) {
        step_up(walk);
        return 0;
    }
    bool last = walk->rest[strspn(walk->rest, "/")] == '\0';
    int r = entry_add(watch, walk->done, name, last);
    char parent[PATH_MAX];
    memcpy(parent, walk->done, sizeof(parent));
    if (r == 0)
        r = step_down(walk, name);
    if (r < 0)
        return r;
    struct stat st;
    if (lstat(walk->done, &st) < 0)
        return 1;
    if (!S_ISLNK(st.st_mode))
        return 0;
    char link[PATH_MAX];
    memcpy(link, walk->done, sizeof(link));
    memcpy(walk->done, parent, sizeof(parent));
    /* A link that loops or is too long cannot be read either: wait for it to change. */
    return step_through(walk, link) < 0 ? 1 : 0;
}

static int walk_path(struct weir_watch *watch, const char *path, char end[PATH_MAX]) {
    struct walk walk = { .done = "/" };
    char name[NAME_MAX + 1];
    if (strlen(path) >= sizeof(walk.rest))
        return -ENAMETOOLONG;
    memcpy(walk.rest, path, strlen(path) + 1);
    int r = 0;
    while (r == 0 && next_component(&walk, name))
        r = walk_step(watch, &walk, name);
    if (r == 0)
        memcpy(end, walk.done, PATH_MAX);
    return r;
}

/* Every entry of a directory counts, and where a link in it leads to. */
static int watch_names(struct weir_watch *watch, const char *path) {
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    int r = entry_add(watch, path, NULL, true);
    for (struct dirent *d; r >= 0 && (d = readdir(dir));) {
        if (d->d_type != DT_LNK || (d->d_name[0] == '.' && strcmp(d->d_name, "..data") != 0))
            continue;
        char link[PATH_MAX], end[PATH_MAX];
        int n = snprintf(link, sizeof(link), "%s/%s", path, d->d_name);
        if (n > 0 && (size_t)n < sizeof(link))
            r = walk_path(watch, link, end);
    }
    closedir(dir);
    return r < 0 ? r : 0;
}

static int walk_all(struct weir_watch *watch) {
    for (size_t i = 0; i < watch->n_paths; i++) {
        char end[PATH_MAX];
        int r = walk_path(watch, watch->paths[i], end);
        if (r == 0)
            r = watch_names(watch, end);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Makes entries and kernel watches describe the present; on failure the old ones stay. */
static int rearm(struct weir_watch *watch) {
    struct entry *old = watch->entries;
    size_t n_old = watch->n_entries;
    watch->entries = NULL;
    watch->n_entries = 0;
    int r = walk_all(watch);
    if (r < 0) {
        entries_free(watch->entries, watch->n_entries);
        watch->entries = old;
        watch->n_entries = n_old;
        return r;
    }
    for (size_t i = 0; i < n_old; i++) {
        if (!has_wd(watch->entries, watch->n_entries, old[i].wd) && !has_wd(old, i, old[i].wd))
            inotify_rm_watch(watch->fd, old[i].wd);
    }
    entries_free(old, n_old);
    return 0;
}

int weir_watch_add(struct weir_watch *watch, const char *path) {
    char absolute[PATH_MAX], cwd[PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(cwd, sizeof(cwd)))
        return -errno;
    int n = snprintf(absolute, sizeof(absolute), "%s/%s", cwd, path);
    if (n < 0 || (size_t)n >= sizeof(absolute))
        return -ENAMETOOLONG;
    for (size_t i = 0; i < watch->n_paths; i++) {
        if (strcmp(watch->paths[i], absolute) == 0)
            return 0;
    }
    char **paths = weir_reallocarray(watch->paths, watch->n_paths + 1, sizeof(*paths));
    if (!paths)
        return -ENOMEM;
    watch->paths = paths;
    paths[watch->n_paths] = weir_strndup(absolute, sizeof(absolute));
    if (!paths[watch->n_paths])
        return -ENOMEM;
    watch->n_paths++;
    int r = rearm(watch);
    if (r < 0)
        weir_free(paths[--watch->n_paths]);
    return r;
}

static bool matches(const struct entry *entry, const struct inotify_event *event) {
    if (entry->wd != event->wd)
        return false;
    if (event->len == 0) /* the directory itself went away or moved */
        return (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
    if (!entry->leaf && !(event->mask & (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)))
        return false;
    if (entry->name)
        return strcmp(entry->name, event->name) == 0;
    return event->name[0] != '.' || strcmp(event->name, "..data") == 0;
}

/* A new regular file is announced again when its writer closes it; a link or a hard link is whole
 * at once. */
static bool still_being_written(const struct entry *entry, const struct inotify_event *event) {
    if (!entry->leaf || !(event->mask & IN_CREATE) || (event->mask & IN_ISDIR))
        return false;
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", entry->dir, event->name);
    struct stat st;
    if (n < 0 || (size_t)n >= sizeof(path) || lstat(path, &st) < 0)
        return false;
    return S_ISREG(st.st_mode) && st.st_nlink == 1;
}

static bool relevant(const struct weir_watch *watch, const struct inotify_event *event) {
    if (event->mask & IN_Q_OVERFLOW)
        return true;
    for (size_t i = 0; i < watch->n_entries; i++) {
        if (matches(&watch->entries[i], event) && !still_being_written(&watch->entries[i], event))
            return true;
    }
    return false;
}

bool weir_watch_drain(struct weir_watch *watch) {
    _Alignas(struct inotify_event) char buf[16 * 1024];
    bool changed = false;
    for (;;) {
        ssize_t n = read(watch->fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(buf + at);
            changed = changed || relevant(watch, event);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
    /* Out of memory or watches: the old entries still see most of it, and the caller reads all
     * anyway. */
    if (changed)
        (void)rearm(watch);
    return changed;
}
