/* SPDX-License-Identifier: Apache-2.0 */
#include "io/handed.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/addr.h"
#include "sys/log.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define MAX_FDS  4096u

struct handed {
    struct weir_ip ip;
    uint16_t port;
    bool dual;     /* [::], and IPv4 as well */
    bool taken;    /* the descriptor is somebody else's now */
    unsigned last; /* 1 + the thread that had it last; 0 = none */
    int fd;
};

struct weir_handed {
    unsigned n;
    struct handed sockets[];
};

static int option(int fd, int level, int name) {
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

static bool is_listener(int fd) {
    int family = option(fd, SOL_SOCKET, SO_DOMAIN);

    return (family == AF_INET || family == AF_INET6) &&
           option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM &&
           option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

/* As a listener of our own would be made. */
static int examine(int fd, struct handed *h) {
    const int on = 1;
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (!is_listener(fd))
        return -ENOTSOCK;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    if (!weir_addr_from_sockaddr(&sa, &h->ip, &h->port))
        return -EAFNOSUPPORT;
    h->dual = sa.ss_family == AF_INET6 && option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0 &&
              IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&sa)->sin6_addr);
    h->fd = fd;
    return 0;
}

static unsigned count_of(void) {
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    unsigned long n = 0;

    if (pid && fds && strtoul(pid, NULL, 10) == (unsigned long)getpid())
        n = strtoul(fds, NULL, 10);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return n > MAX_FDS ? MAX_FDS : (unsigned)n;
}

int weir_handed_take(struct weir_handed **ret_handed) {
    unsigned n = count_of();
    struct weir_handed *h = NULL;

    if (n > 0) {
        h = weir_calloc(1, sizeof(*h) + n * sizeof(h->sockets[0]));
        if (!h)
            return -ENOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        int fd = FIRST_FD + (int)i;
        int r = examine(fd, &h->sockets[h->n]);

        if (r == 0) {
            h->n++;
            continue;
        }
        weir_log(WEIR_LOG_WARN, "handed", "fd=%d error=\"not a listening TCP socket: %s\"", fd,
                 strerror(-r));
        close(fd);
    }
    *ret_handed = h;
    return 0;
}

static bool serves(const struct handed *s, const struct weir_ip *ip, uint16_t port) {
    static const struct weir_ip any4 = { { [10] = 0xff, [11] = 0xff } };

    return s->port == port && (memcmp(&s->ip, ip, sizeof(*ip)) == 0 ||
                               (s->dual && memcmp(ip, &any4, sizeof(*ip)) == 0));
}

/* Of the sockets that serve an address, the i-th; NULL: there are not so many. */
static struct handed *nth(struct weir_handed *h, const struct weir_ip *ip, uint16_t port,
                          unsigned i) {
    for (unsigned at = 0; at < h->n; at++)
        if (serves(&h->sockets[at], ip, port) && i-- == 0)
            return &h->sockets[at];
    return NULL;
}

static int give(struct handed *s, unsigned number) {
    int fd = s->taken ? fcntl(s->fd, F_DUPFD_CLOEXEC, FIRST_FD) : s->fd;

    if (fd < 0)
        return -errno;
    s->taken = true;
    s->last = number + 1;
    return fd;
}

int weir_handed_next(struct weir_handed *h, const struct weir_ip *ip, uint16_t port,
                     unsigned number, unsigned of) {
    unsigned m = 0;
    bool had = false;

    if (!h)
        return -ENOENT;
    while (nth(h, ip, port, m))
        m++;
    for (unsigned i = number; i < m; i += of) {
        struct handed *s = nth(h, ip, port, i);

        had = had || s->last == number + 1;
        if (!s->taken)
            return give(s, number);
    }
    if (m > 0 && number >= m) {
        struct handed *s = nth(h, ip, port, number % m);

        if (s->last != number + 1)
            return give(s, number);
        had = true;
    }
    return had ? -EALREADY : -ENOENT;
}

struct weir_handed *weir_handed_free(struct weir_handed *h) {
    for (unsigned i = 0; h && i < h->n; i++) {
        const struct handed *s = &h->sockets[i];
        char text[INET6_ADDRSTRLEN] = "";

        if (s->taken)
            continue;
        (void)inet_ntop(AF_INET6, s->ip.b, text, sizeof(text));
        weir_log(WEIR_LOG_WARN, "handed",
                 "addr=[%s]:%u error=\"the configuration does not listen there: closed\"", text,
                 s->port);
        close(s->fd);
    }
    return weir_free(h);
}

int weir_handed_collect(int *ret_fds, unsigned max) {
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    if (!dir)
        return -errno;
    for (struct dirent *d; n < max && (d = readdir(dir));) {
        int fd = atoi(d->d_name), copy;

        if (d->d_name[0] == '.' || !is_listener(fd))
            continue;
        copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
        if (copy < 0)
            continue;          /* another thread has closed it */
        if (is_listener(copy)) /* it may also be another one by now */
            ret_fds[n++] = copy;
        else
            close(copy);
    }
    closedir(dir);
    return (int)n;
}
