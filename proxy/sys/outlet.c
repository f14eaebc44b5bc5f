/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/outlet.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int weir_outlet_open(struct weir_outlet *o, int fd) {
    struct stat st;
    char path[64];

    o->fd = fd;
    o->own = false;
    if (fstat(fd, &st) < 0)
        return -errno;
    o->is_socket = S_ISSOCK(st.st_mode);
    if (o->is_socket)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    o->fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
    if (o->fd < 0) {
        o->fd = fd; /* no /proc, or no right to open it again: as it is */
        return 0;
    }
    o->own = true;
    return 0;
}

void weir_outlet_close(struct weir_outlet *o) {
    if (o->own)
        close(o->fd);
    o->own = false;
}

/* Up to size bytes from the head, cut behind the last whole line if there is one. */
static size_t gather(const struct weir_bufq *lines, char *buf, size_t size) {
    struct iovec iov[16];
    int n = weir_bufq_peek(lines, iov, 16);
    size_t len = 0;

    for (int i = 0; i < n && len < size; i++) {
        size_t part = iov[i].iov_len < size - len ? iov[i].iov_len : size - len;

        memcpy(buf + len, iov[i].iov_base, part);
        len += part;
    }
    for (size_t cut = len; cut > 0; cut--)
        if (buf[cut - 1] == '\n')
            return cut;
    return len;
}

void weir_outlet_write(struct weir_outlet *o, struct weir_bufq *lines) {
    char buf[PIPE_BUF];

    while (lines->len > 0) {
        size_t n = gather(lines, buf, sizeof(buf));
        ssize_t r =
            o->is_socket ? send(o->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(o->fd, buf, n);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            weir_bufq_clear(lines); /* the reader is gone for good */
            return;
        }
        if (r <= 0)
            return;
        weir_bufq_consume(lines, (size_t)r);
    }
}
