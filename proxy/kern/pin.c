/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of pins: where it may be, who owns it, what lies in it. Knows paths and links, not
 * programs. The owner's lock is flock() on the directory itself: it ends with its process, however
 * that dies.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/slice.h"
#include "sys/log.h"

#define BPFFS_MAGIC 0xcafe4a11

static const char *const subs[] = { "maps", "links", "pods" };

int weir_pin_path(const char *pin_dir, const char *sub, const char *name, char *ret, size_t size) {
    int n = name ? snprintf(ret, size, "%s/%s/%s", pin_dir, sub, name)
                 : snprintf(ret, size, "%s/%s", pin_dir, sub);

    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int each_in(const char *path, int (*fn)(void *arg, const char *name), void *arg) {
    DIR *dir = opendir(path);
    struct dirent *e;
    int r = 0;

    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    while (r == 0 && (e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = fn(arg, e->d_name);
    closedir(dir);
    return r;
}

int weir_pin_each(const char *pin_dir, const char *sub, int (*fn)(void *arg, const char *name),
                  void *arg) {
    char path[PATH_MAX];
    int r = weir_pin_path(pin_dir, sub, NULL, path, sizeof(path));

    return r < 0 ? r : each_in(path, fn, arg);
}

static int stranger(void *arg, const char *name) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(subs); i++)
        if (strcmp(name, subs[i]) == 0)
            return 0;
    weir_log(WEIR_LOG_ERROR, "pin_dir_foreign", "dir=%s name=%s",
             weir_log_quote(weir_slice_from_str((const char *)arg)).s,
             weir_log_quote(weir_slice_from_str(name)).s);
    return WEIR_KERN_FOREIGN;
}

static int make_subs(const char *pin_dir) {
    char path[PATH_MAX];

    for (size_t i = 0; i < WEIR_ARRAY_LEN(subs); i++) {
        int r = weir_pin_path(pin_dir, subs[i], NULL, path, sizeof(path));

        if (r < 0)
            return r;
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int check_and_lock(const char *pin_dir, int fd) {
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return -errno;
    if (fs.f_type != BPFFS_MAGIC) {
        weir_log(WEIR_LOG_ERROR, "pin_dir_not_bpffs", "dir=%s",
                 weir_log_quote(weir_slice_from_str(pin_dir)).s);
        return WEIR_KERN_FOREIGN;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? WEIR_KERN_OWNED : -errno;
    return each_in(pin_dir, stranger, (void *)pin_dir);
}

/* Never a plain directory: mkdir would succeed on any file system, so the parent is looked at
 * first. */
static int parent_is_bpffs(const char *pin_dir) {
    char parent[PATH_MAX];
    struct statfs fs;
    char *slash;

    if (strlen(pin_dir) >= sizeof(parent))
        return -ENAMETOOLONG;
    strcpy(parent, pin_dir);
    slash = strrchr(parent, '/');
    if (!slash)
        return -EINVAL;
    slash[slash == parent] = '\0';
    if (statfs(parent, &fs) < 0)
        return -errno;
    return fs.f_type == BPFFS_MAGIC ? 0 : WEIR_KERN_FOREIGN;
}

int weir_pin_dir_open(const char *pin_dir, bool create, int *ret_lock_fd) {
    int fd, r;

    fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && create) {
        r = parent_is_bpffs(pin_dir);
        if (r)
            return r;
        if (mkdir(pin_dir, 0700) < 0 && errno != EEXIST)
            return -errno;
        fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return -errno;
    r = check_and_lock(pin_dir, fd);
    if (r == 0 && create)
        r = make_subs(pin_dir);
    if (r != 0) {
        close(fd);
        return r;
    }
    *ret_lock_fd = fd;
    return 0;
}

int weir_pin_link_remove(const char *path) {
    int fd = bpf_obj_get(path);

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    /* Unpinning alone would leave it working while anybody holds a descriptor. */
    bpf_link_detach(fd);
    close(fd);
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}
