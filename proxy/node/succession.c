/* SPDX-License-Identifier: Apache-2.0 */
#include "node/succession.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/helper.h"
#include "node/door.h"
#include "node/kube.h"
#include "node/sign.h"
#include "node/tenants.h"
#include "node/tls.h"
#include "sys/log.h"
#include "sys/packet.h"

#define PATIENCE_MS 30000 /* of an agent in the middle of a large change */
#define FREE_TICKS  5u    /* that nobody has the pins: a successor loads its programs in between */

static const char line[] = "handover\n";
static const char answer[] = "{\"handed_over\":true}\n";

/* ---- taking over ---- */

/* A connection to who owns the admin socket; -errno. */
static int dial(const struct weir_agent *a) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(a->admin_path);
    int fd, r;

    if (len == 0 || len >= sizeof(address.sun_path))
        return -ENOENT;
    memcpy(address.sun_path, a->admin_path, len + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

/* 0: it has handed over, and *ret_helper is a connection to its helper or -1. */
static int ask(int fd, int *ret_helper) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char text[sizeof(answer) - 1];
    unsigned n = 1;
    int r;

    *ret_helper = -1;
    r = weir_packet_send(fd, line, sizeof(line) - 1, NULL, 0);
    if (r == 0)
        r = poll(&p, 1, PATIENCE_MS) == 1 ? 0 : -ETIMEDOUT;
    if (r == 0)
        r = weir_packet_receive(fd, text, sizeof(text), ret_helper, &n);
    return r == 0 && memcmp(text, answer, sizeof(text)) != 0 ? -EPROTO : r;
}

/* Until we could do all that the other one does. The loop turns for whoever asks for /live, and for the cluster. */
static void await_all(struct weir_agent *a) {
    while (!a->stop && (!weir_agent_kube_synced(a) || !weir_helper_look(a->helper))) {
        struct epoll_event event;

        if (epoll_wait(a->epoll_fd, &event, 1, -1) == 1) {
            const struct weir_agent_source *source = event.data.ptr;

            source->ready(source->arg, event.events);
        }
    }
}

int weir_agent_succeed(struct weir_agent *a) {
    uint64_t n = 0;
    int fd = dial(a), helper = -1, r;

    if (fd < 0)
        return 0;
    close(fd);
    weir_log(WEIR_LOG_INFO, "succession_begun", "admin=%s", a->admin_path);
    r = weir_agent_http_open(a);
    if (r == 0)
        r = weir_agent_kube_open(a);
    if (r)
        return r;
    await_all(a);
    if (a->stop)
        return 1;
    fd = dial(a);
    r = fd < 0 ? fd : ask(fd, &helper);
    if (fd >= 0)
        close(fd);
    weir_log(r ? WEIR_LOG_WARN : WEIR_LOG_INFO, "succession", "error=\"%s\"",
             r ? strerror(-r) : "");
    if (helper < 0)
        return 0;
    r = weir_helper_succeed(a->helper, helper, &n);
    close(helper);
    weir_log(r ? WEIR_LOG_WARN : WEIR_LOG_INFO, "helper_succession",
             "things=%llu error=\"%s\" effect=\"%s\"", (unsigned long long)n, r ? strerror(-r) : "",
             r ? "what it listens to is free when it ends" : "");
    return 0;
}

/* ---- handing over ---- */

static void let_go(struct weir_agent *a) {
    weir_agent_admin_close(a);
    weir_agent_kube_close(a);
    weir_agent_flows_close(a);
    weir_doors_close(a);
    weir_tenants_close(a);
    weir_sign_close(a);
    weir_agent_tls_close(a);
    weir_watch_free(a->config_watch);
    weir_watch_free(a->place_watch);
    a->config_watch = a->place_watch = NULL;
    a->kern = weir_kern_close(a->kern);
    a->events_due = 0;
    a->attached = false;
    a->handed_over = true;
}

void weir_agent_hand_over(struct weir_agent_client *c) {
    struct weir_agent *a = c->agent;
    int fd = c->source.fd, helper = weir_helper_connection(a->helper), r;

    /* It is none of the clients that go. */
    (void)epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    c->source.fd = -1;
    weir_textbuf_deinit(&c->out);
    let_go(a);
    r = weir_packet_send(fd, answer, sizeof(answer) - 1, &helper, helper >= 0);
    close(fd);
    weir_log(WEIR_LOG_INFO, "handed_over", "pinned=%s error=\"%s\" effect=\"stands by\"",
             a->pin_dir, r ? strerror(-r) : "");
}

bool weir_agent_standby(struct weir_agent *a) {
    if (!a->handed_over)
        return false;
    a->free_ticks = weir_kern_owned(a->pin_dir) ? 0 : a->free_ticks + 1;
    if (a->free_ticks < FREE_TICKS)
        return false;
    weir_log(WEIR_LOG_ERROR, "successor_gone",
             "pinned=%s effect=\"ends, to be started again and take over\"", a->pin_dir);
    return true;
}
