/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a whole file under a cap, and replacing one so that a reader sees the old text or the new
 * and never a part. It knows no format and retries nothing but EINTR.
 */
#include "sys/files.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define FIRST_READ 4096u

/* Reads up to n bytes; 0 with *ret_got == 0 is the end. */
static int read_some(int fd, char *p, size_t n, size_t *ret_got) {
    for (;;) {
        ssize_t got = read(fd, p, n);
        if (got >= 0) {
            *ret_got = (size_t)got;
            return 0;
        }
        if (errno != EINTR)
            return -errno;
    }
}

int weir_file_read_fd(int fd, size_t max, char **ret_text, size_t *ret_len) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (max > SIZE_MAX / 4)
        max = SIZE_MAX / 4;
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
        return -EFBIG;
    /* One byte more than the file has, so that its end is seen without growing; one more for the
     * NUL. */
    size_t cap = S_ISREG(st.st_mode) ? (size_t)st.st_size + 2 : FIRST_READ, len = 0;
    char *text = weir_malloc(cap);
    int r = text ? 0 : -ENOMEM;
    while (r == 0) {
        size_t got = 0;
        r = read_some(fd, text + len, cap - 1 - len, &got);
        if (r < 0 || got == 0)
            break;
        len += got;
        if (len > max)
            r = -EFBIG;
        if (r == 0 && len == cap - 1) {
            char *more = weir_reallocarray(text, cap, 2);
            r = more ? 0 : -ENOMEM;
            text = more ? more : text;
            cap *= 2;
        }
    }
    if (r < 0) {
        weir_free(text);
        return r;
    }
    text[len] = '\0';
    *ret_text = text;
    *ret_len = len;
    return 0;
}

int weir_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int r = weir_file_read_fd(fd, max, ret_text, ret_len);
    close(fd);
    return r;
}

static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

int weir_file_replace(const char *path, unsigned mode, const char *text, size_t len) {
    char temporary[4096];
    int n = snprintf(temporary, sizeof(temporary), "%s.%d.new", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(temporary))
        return -ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, text, len);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    close(fd);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(temporary);
    return r;
}
