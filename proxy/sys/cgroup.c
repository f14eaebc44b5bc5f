/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where cgroup2 is mounted and what a cgroup is called, as path and as id. The mount is found in
 * mountinfo, never assumed: on hybrid systems it is not /sys/fs/cgroup. It keeps nothing, attaches
 * nothing and knows no policy.
 */
#include "sys/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/files.h"

#define PROC_FILE_MAX (4u * 1024u * 1024u)

/* mountinfo writes blank, tab, newline and backslash as \ and three octal digits. */
static int unescape(struct weir_slice from, char *to, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];
        if (c == '\\' && from.len - i >= 4) {
            c = (char)((from.ptr[i + 1] - '0') << 6 | (from.ptr[i + 2] - '0') << 3 |
                       (from.ptr[i + 3] - '0'));
            i += 3;
        }
        if (n + 1 >= size)
            return -ENAMETOOLONG;
        to[n++] = c;
    }
    to[n] = '\0';
    return 0;
}

/* Fields of proc(5) mountinfo: id, parent, device, root, mount point, options, optional fields,
 * "-", type, ... */
static bool is_cgroup2(struct weir_slice line, struct weir_slice *ret_root,
                       struct weir_slice *ret_at) {
    struct weir_slice part, fields[5];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(fields); i++) {
        if (!weir_slice_split(&line, ' ', &fields[i]))
            return false;
    }
    while (weir_slice_split(&line, ' ', &part)) {
        if (!weir_slice_eq(part, WEIR_SLICE("-")))
            continue;
        *ret_root = fields[3];
        *ret_at = fields[4];
        return weir_slice_split(&line, ' ', &part) && weir_slice_eq(part, WEIR_SLICE("cgroup2"));
    }
    return false;
}

int weir_cgroup_mount_parse(struct weir_slice mountinfo, char *ret_path, size_t size) {
    struct weir_slice line, root, at, best = WEIR_SLICE_NONE;
    bool whole = false;
    while (weir_slice_split(&mountinfo, '\n', &line)) {
        if (!is_cgroup2(line, &root, &at))
            continue;
        /* A mount of the whole hierarchy beats a bind mount of some part of it. */
        bool is_whole = weir_slice_eq(root, WEIR_SLICE("/"));
        if (!best.ptr || (is_whole && !whole)) {
            best = at;
            whole = is_whole;
        }
    }
    return best.ptr ? unescape(best, ret_path, size) : -ENOENT;
}

int weir_cgroup_mount(char *ret_path, size_t size) {
    WEIR_CLEANUP(weir_freep)
    char *text = NULL;
    size_t len;
    int r = weir_file_read("/proc/self/mountinfo", PROC_FILE_MAX, &text, &len);
    return r < 0 ? r : weir_cgroup_mount_parse(weir_slice_make(text, len), ret_path, size);
}

int weir_cgroup_path(const char *relative, char *ret_path, size_t size) {
    struct weir_slice rest = weir_slice_from_str(relative), part;
    bool named = false;
    while (weir_slice_split(&rest, '/', &part)) {
        if (weir_slice_eq(part, WEIR_SLICE(".")) || weir_slice_eq(part, WEIR_SLICE("..")))
            return -EINVAL;
        named = named || part.len > 0;
    }
    if (!named)
        return -EINVAL;
    int r = weir_cgroup_mount(ret_path, size);
    if (r < 0)
        return r;
    size_t at = strlen(ret_path);
    int n = snprintf(ret_path + at, size - at, "%s%s", *relative == '/' ? "" : "/", relative);
    return n < 0 || (size_t)n >= size - at ? -ENAMETOOLONG : 0;
}

int weir_cgroup_id(const char *path, uint64_t *ret_id) {
    struct statfs fs;
    if (statfs(path, &fs) < 0)
        return -errno;
    if (fs.f_type != CGROUP2_SUPER_MAGIC)
        return -ENOTSUP;
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + sizeof(uint64_t)];
    } u = { .handle.handle_bytes = sizeof(uint64_t) };
    int mount_id;
    if (name_to_handle_at(AT_FDCWD, path, &u.handle, &mount_id, AT_SYMLINK_FOLLOW) == 0) {
        memcpy(ret_id, u.room + offsetof(struct file_handle, f_handle), sizeof(*ret_id));
        return 0;
    }
    /* Where a sandbox forbids handles: on 64-bit kernels the inode number is the same value. */
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    *ret_id = st.st_ino;
    return 0;
}

int weir_cgroup_of(pid_t pid, char *ret_relative, size_t size) {
    char path[64];
    snprintf(path, sizeof(path), pid ? "/proc/%d/cgroup" : "/proc/self/cgroup", (int)pid);
    WEIR_CLEANUP(weir_freep)
    char *text = NULL;
    size_t len;
    int r = weir_file_read(path, PROC_FILE_MAX, &text, &len);
    if (r < 0)
        return r;
    struct weir_slice rest = weir_slice_make(text, len), line;
    while (weir_slice_split(&rest, '\n', &line)) {
        if (!weir_slice_starts_with(line, WEIR_SLICE("0::")))
            continue;
        if (line.len - 3 >= size)
            return -ENAMETOOLONG;
        memcpy(ret_relative, line.ptr + 3, line.len - 3);
        ret_relative[line.len - 3] = '\0';
        return 0;
    }
    return -ENOENT;
}

int weir_cgroup_create(const char *path) {
    return mkdir(path, 0755) < 0 ? -errno : 0;
}

int weir_cgroup_remove(const char *path) {
    return rmdir(path) < 0 ? -errno : 0;
}

int weir_cgroup_enter(const char *path, pid_t pid) {
    char procs[4096], text[16];
    int n = snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
    if (n < 0 || (size_t)n >= sizeof(procs))
        return -ENAMETOOLONG;
    int fd = open(procs, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = snprintf(text, sizeof(text), "%d", (int)pid);
    int r = write(fd, text, (size_t)n) < 0 ? -errno : 0;
    close(fd);
    return r;
}

const char *weir_cgroup_pods(void) {
    static const char *const usual[] = { "/kubepods.slice", "/kubepods", "/kubelet/kubepods",
                                         "/kubelet.slice/kubelet-kubepods.slice" };
    char path[4096];
    uint64_t id;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(usual); i++)
        if (weir_cgroup_path(usual[i], path, sizeof(path)) == 0 && weir_cgroup_id(path, &id) == 0)
            return usual[i];
    return "";
}
