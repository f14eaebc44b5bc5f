/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/packet.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

/* Room for one descriptor more than there may be, so that too many are seen and closed. */
union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int) * (WEIR_PACKET_FDS + 1))];
};

int weir_packet_send(int fd, const void *packet, size_t size, const int *fds, unsigned n) {
    struct iovec iov = { (void *)packet, size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    union control control;
    ssize_t sent;

    if (n > WEIR_PACKET_FDS)
        return -EINVAL;
    if (n > 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * n);
    }
    do
        sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -errno;
    return (size_t)sent == size ? 0 : -EPROTO;
}

static unsigned take_fds(struct msghdr *msg, int fds[WEIR_PACKET_FDS + 1]) {
    const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    unsigned n;

    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    if (n > WEIR_PACKET_FDS + 1)
        n = WEIR_PACKET_FDS + 1;
    memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    return n;
}

int weir_packet_receive(int fd, void *packet, size_t size, int *ret_fds, unsigned *n) {
    struct iovec iov = { packet, size };
    union control control;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    int fds[WEIR_PACKET_FDS + 1];
    ssize_t got;
    unsigned got_fds;

    do
        got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    got_fds = take_fds(&msg, fds);
    if (got > 0 && (size_t)got == size && got_fds <= *n &&
        !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        memcpy(ret_fds, fds, got_fds * sizeof(int));
        *n = got_fds;
        return 0;
    }
    for (unsigned i = 0; i < got_fds; i++)
        close(fds[i]);
    return got == 0 && got_fds == 0 ? -EPIPE : -EPROTO;
}
