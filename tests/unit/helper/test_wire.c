/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/wire.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "sys/packet.h"
#include "weir_test.h"

static int ends[2];

static int setup(void **state) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int teardown(void **state) {
    close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    return 0;
}

/* The number that the next descriptor would get: grows when one is left open. */
static int next_fd(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

static void a_packet_comes_with_its_descriptors(void **state) {
    struct weir_helper_request out = { .verb = WEIR_HELPER_WALK, .number = 7 }, in;
    const int give[] = { ends[0], ends[1] };
    int fds[WEIR_HELPER_FDS];
    unsigned n = WEIR_HELPER_FDS;

    assert_int_equal(weir_packet_send(ends[0], &out, sizeof(out), give, 2), 0);
    assert_int_equal(weir_packet_receive(ends[1], &in, sizeof(in), fds, &n), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    assert_int_equal(n, 2);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        close(fds[i]);
    }
}

static void another_size_is_no_packet_and_leaves_nothing_open(void **state) {
    struct weir_helper_request out = { 0 };
    struct weir_helper_reply in;
    int fds[WEIR_HELPER_FDS], before = next_fd();
    unsigned n = WEIR_HELPER_FDS;

    assert_int_equal(weir_packet_send(ends[0], &out, sizeof(out), ends, 1), 0);
    assert_int_equal(weir_packet_receive(ends[1], &in, sizeof(in), fds, &n), -EPROTO);
    assert_int_equal(weir_packet_send(ends[0], &out, 4, ends, 2), 0);
    assert_int_equal(weir_packet_receive(ends[1], &in, sizeof(in), fds, &n), -EPROTO);
    assert_int_equal(next_fd(), before);
}

static void too_many_descriptors_are_refused_and_closed(void **state) {
    const int many[] = { ends[0], ends[0], ends[0] };
    struct iovec iov = { &(struct weir_helper_reply){ 0 }, sizeof(struct weir_helper_reply) };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(many))];
    } control = { .head = { .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof(many)) } };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    int fds[WEIR_HELPER_FDS], before = next_fd();
    struct weir_helper_reply in;
    unsigned n = WEIR_HELPER_FDS;

    memcpy(CMSG_DATA(&control.head), many, sizeof(many));
    assert_int_equal(sendmsg(ends[0], &msg, 0), sizeof(in));
    assert_int_equal(weir_packet_receive(ends[1], &in, sizeof(in), fds, &n), -EPROTO);
    assert_int_equal(next_fd(), before);
}

static void the_end_of_the_stream_is_told_apart(void **state) {
    struct weir_helper_reply in;
    int fds[WEIR_HELPER_FDS];
    unsigned n = WEIR_HELPER_FDS;

    close(ends[1]);
    ends[1] = -1;
    assert_int_equal(weir_packet_receive(ends[0], &in, sizeof(in), fds, &n), -EPIPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_packet_comes_with_its_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(another_size_is_no_packet_and_leaves_nothing_open, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(too_many_descriptors_are_refused_and_closed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_end_of_the_stream_is_told_apart, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
