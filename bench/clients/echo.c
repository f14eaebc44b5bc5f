/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of plain TCP for bench/cases_l4.py: no HTTP, no proxy, 64 bytes there and back.
 *
 *     echo serve ADDRESS PORT                   echoes, one connection after the other and several at once, until it is killed
 *     echo connect ADDRESS PORT MILLISECONDS    connect(), one echo, close (by reset, so that no port waits), over and over
 *     echo trips ADDRESS PORT MILLISECONDS N    round trips on N established connections, on all at once
 *
 * A client whose call fails or whose bytes come back changed ends with 1; else one line of JSON says what was done. Durations in us: of connect()
 * alone, or of a round trip.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BYTES           64
#define SAMPLES         (1u << 22)
#define MAX_CONNECTIONS 64

static uint32_t durations[SAMPLES]; /* ns */
static size_t n_durations;
static char message[BYTES] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in address(char **argv) {
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3])) };

    if (inet_pton(AF_INET, argv[2], &sin.sin_addr) != 1)
        fail(argv[2]);
    return sin;
}

static void no_delay(int fd) {
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int serve(const struct sockaddr_in *sin) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0), one = 1;
    struct epoll_event e = { .events = EPOLLIN, .data.fd = listener }, events[64];

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)sin, sizeof(*sin)) < 0 ||
        listen(listener, 4096) < 0)
        fail("listen");
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char bytes[4096];
            ssize_t got;

            if (fd == listener) {
                e.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (e.data.fd < 0)
                    continue;
                no_delay(e.data.fd);
                epoll_ctl(epoll, EPOLL_CTL_ADD, e.data.fd, &e);
                continue;
            }
            got = recv(fd, bytes, sizeof(bytes), 0);
            if (got > 0 && send(fd, bytes, (size_t)got, MSG_NOSIGNAL) == got)
                continue;
            if (got < 0 && errno == EAGAIN)
                continue;
            close(fd);
        }
    }
}

static void say(int fd) {
    if (send(fd, message, BYTES, MSG_NOSIGNAL) != BYTES)
        fail("send");
}

static void hear(int fd) {
    char back[BYTES];
    size_t got = 0;

    while (got < BYTES) {
        ssize_t n = recv(fd, back + got, BYTES - got, 0);

        if (n <= 0)
            fail("recv");
        got += (size_t)n;
    }
    if (memcmp(back, message, BYTES) != 0)
        fail("the bytes came back changed");
}

static void took(uint64_t since) {
    if (n_durations < SAMPLES)
        durations[n_durations++] = (uint32_t)(now() - since);
}

static unsigned long connects(const struct sockaddr_in *sin, uint64_t end) {
    struct linger reset = { 1, 0 };
    unsigned long n = 0;

    for (; now() < end; n++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        uint64_t since = now();

        if (connect(fd, (const struct sockaddr *)sin, sizeof(*sin)) < 0)
            fail("connect");
        took(since);
        say(fd);
        hear(fd);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
    }
    return n;
}

/* All speak, then all are heard. */
static void trip(const int *fds, unsigned n_fds) {
    uint64_t since[MAX_CONNECTIONS];

    for (unsigned i = 0; i < n_fds; i++) {
        since[i] = now();
        say(fds[i]);
    }
    for (unsigned i = 0; i < n_fds; i++) {
        hear(fds[i]);
        took(since[i]);
    }
}

static unsigned long trips(const struct sockaddr_in *sin, uint64_t ms, unsigned n_fds) {
    int fds[MAX_CONNECTIONS];
    unsigned long n = 0;
    uint64_t end;

    for (unsigned i = 0; i < n_fds; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fds[i], (const struct sockaddr *)sin, sizeof(*sin)) < 0)
            fail("connect");
        no_delay(fds[i]);
    }
    for (int i = 0; i < 1000; i++) /* joining takes a few */
        trip(fds, n_fds);
    n_durations = 0;
    for (end = now() + ms * 1000000u; now() < end; n += n_fds)
        trip(fds, n_fds);
    return n;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double at(double share) {
    return n_durations ? (double)durations[(size_t)((double)(n_durations - 1) * share)] / 1e3 : 0;
}

int main(int argc, char **argv) {
    struct sockaddr_in sin;
    unsigned n_fds;
    unsigned long n;
    uint64_t ms;

    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        sin = address(argv);
        return serve(&sin);
    }
    n_fds = argc == 6 ? (unsigned)strtoul(argv[5], NULL, 10) : 0;
    if (!(argc == 5 && strcmp(argv[1], "connect") == 0) &&
        !(argc == 6 && strcmp(argv[1], "trips") == 0 && n_fds > 0 && n_fds <= MAX_CONNECTIONS)) {
        fprintf(stderr, "usage: echo serve ADDRESS PORT | echo connect ADDRESS PORT MILLISECONDS | "
                        "echo trips ADDRESS PORT MILLISECONDS N\n");
        return 2;
    }
    sin = address(argv);
    ms = strtoul(argv[4], NULL, 10);
    n = argc == 5 ? connects(&sin, now() + ms * 1000000u) : trips(&sin, ms, n_fds);
    qsort(durations, n_durations, sizeof(*durations), compare);
    printf("{\"n\": %lu, \"per_s\": %.0f, \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f}\n", n,
           (double)n * 1e3 / (double)ms, at(.5), at(.99), at(.999));
    return 0;
}
