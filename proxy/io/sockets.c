/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small store of sockets for each family, filled from another thread. A dial that finds none is parked; what is given
 * wakes the loop, which begins the parked dials in their order. Their own deadline runs meanwhile.
 */
#include "io/sockets.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/state.h"
#include "io/tcp.h"

#define LOW 8u

struct weir_sockets {
    pthread_mutex_t lock;
    struct {
        int fds[WEIR_SOCKETS_MAX];
        unsigned n;
        bool asked;
    } of[2]; /* IPv4, IPv6 */
    void (*want)(void *arg, int family);
    void *arg;
};

int weir_loop_use_sockets(struct weir_loop *loop, void (*want)(void *arg, int family), void *arg) {
    struct weir_sockets *s = weir_calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    pthread_mutex_init(&s->lock, NULL);
    s->want = want;
    s->arg = arg;
    loop->sockets = s;
    return 0;
}

void weir_sockets_free(struct weir_sockets *s) {
    if (!s)
        return;
    for (unsigned f = 0; f < 2; f++)
        for (unsigned i = 0; i < s->of[f].n; i++)
            close(s->of[f].fds[i]);
    pthread_mutex_destroy(&s->lock);
    weir_free(s);
}

void weir_loop_give_sockets(struct weir_loop *loop, int family, const int *fds, unsigned n) {
    struct weir_sockets *s = loop->sockets;
    unsigned f = family == AF_INET6, i = 0;

    pthread_mutex_lock(&s->lock);
    for (; i < n && s->of[f].n < WEIR_SOCKETS_MAX; i++)
        s->of[f].fds[s->of[f].n++] = fds[i];
    s->of[f].asked = false;
    pthread_mutex_unlock(&s->lock);
    for (; i < n; i++)
        close(fds[i]);
    weir_loop_post(loop);
}

void weir_loop_sockets_again(struct weir_loop *loop) {
    struct weir_sockets *s = loop->sockets;

    for (unsigned f = 0; f < 2; f++) {
        bool asked;

        pthread_mutex_lock(&s->lock);
        asked = s->of[f].asked;
        pthread_mutex_unlock(&s->lock);
        if (asked)
            s->want(s->arg, f ? AF_INET6 : AF_INET);
    }
}

int weir_loop_socket(struct weir_loop *loop, int family) {
    struct weir_sockets *s = loop->sockets;
    unsigned f = family == AF_INET6;
    bool ask;
    int fd;

    if (!s) {
        fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd < 0 ? -errno : fd;
    }
    pthread_mutex_lock(&s->lock);
    fd = s->of[f].n > 0 ? s->of[f].fds[--s->of[f].n] : -ENODATA;
    ask = s->of[f].n < LOW && !s->of[f].asked;
    s->of[f].asked = s->of[f].asked || ask;
    pthread_mutex_unlock(&s->lock);
    if (ask)
        s->want(s->arg, family);
    return fd;
}
