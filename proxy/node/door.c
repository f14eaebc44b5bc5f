/* SPDX-License-Identifier: Apache-2.0 */
#include "node/door.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"
#include "kern/proof.h"
#include "node/tenants.h"
#include "sys/clock.h"
#include "sys/log.h"

#define RETRY_US       1000000u
#define ACCEPTS_A_TURN 16u
#define TOLD_EVERY_US  60000000u /* of one pod's refusals */

static struct weir_door *door_at(const struct weir_list *it) {
    return WEIR_CONTAINER_OF(it, struct weir_door, link);
}

static struct weir_door_connection *connection_at(const struct weir_list *it) {
    return WEIR_CONTAINER_OF(it, struct weir_door_connection, link);
}

/* ---- who may come in ---- */

static bool addr_of(const struct sockaddr_storage *sa, struct weir_addr *ret, uint16_t *ret_port) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
    const uint32_t mapped = htonl(0xffff);

    memset(ret, 0, sizeof(*ret));
    if (sa->ss_family == AF_INET) {
        memcpy(&ret->w[2], &mapped, sizeof(mapped));
        memcpy(&ret->w[3], &v4->sin_addr, sizeof(v4->sin_addr));
        *ret_port = ntohs(v4->sin_port);
        return true;
    }
    memcpy(ret, &v6->sin6_addr, sizeof(*ret));
    *ret_port = ntohs(v6->sin6_port);
    return sa->ss_family == AF_INET6;
}

/* The kernel half knows this very connection as one of the sidecar's: asked while it exists, so its tuple is nobody else's. */
static bool is_sidecars(const struct weir_door *door, int fd) {
    struct weir_tuple tuple = { .netns = door->netns };
    struct sockaddr_storage peer, own;
    socklen_t n_peer = sizeof(peer), n_own = sizeof(own);

    return getpeername(fd, (struct sockaddr *)&peer, &n_peer) == 0 &&
           getsockname(fd, (struct sockaddr *)&own, &n_own) == 0 &&
           addr_of(&peer, &tuple.src, &tuple.sport) && addr_of(&own, &tuple.dst, &tuple.dport) &&
           weir_kern_by_sidecar(door->agent->kern, &tuple) == 0;
}

/* The first is said at once, what follows once a minute. */
static void refuse(struct weir_door *door, int fd, uint64_t now) {
    const struct linger at_once = { .l_onoff = 1 };

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
    door->refused++;
    door->untold++;
    door->agent->doors->figures.refused++;
    if (door->told_us && now - door->told_us < TOLD_EVERY_US)
        return;
    door->told_us = now;
    weir_log(WEIR_LOG_WARN, "door_refused", "pod=%s connections=%llu why=\"%s\"", door->name,
             (unsigned long long)door->untold,
             door->place && door->place->proxy_cgroup
                 ? "not made by a process of the sidecar's container"
                 : "the sidecar's container is not known yet");
    door->untold = 0;
}

static void take(struct weir_door *door, int fd, uint64_t now) {
    if (!is_sidecars(door, fd)) {
        refuse(door, fd, now);
        return;
    }
    if (door->n_connections == WEIR_DOOR_CONNECTIONS)
        weir_door_disconnect(connection_at(door->connections.prev));
    if (weir_door_connect(door, fd))
        door->agent->doors->figures.accepted++;
}

static void poll_listeners(struct weir_door *door, uint32_t events) {
    for (unsigned i = 0; i < door->n_listeners; i++)
        (void)weir_agent_poll(door->agent, &door->listeners[i], events);
}

static void accept_some(struct weir_door *door, int listener) {
    uint64_t now = weir_clock_mono_us();

    for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd;

        if (door->accepts == WEIR_DOOR_ACCEPTS) {
            door->agent->doors->figures.paused++;
            poll_listeners(door, 0);
            return;
        }
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            poll_listeners(door, 0); /* no descriptor, no memory: in a second */
            return;
        }
        if (fd < 0)
            return;
        door->accepts++;
        take(door, fd, now);
    }
}

static void knocked(struct weir_door *door, unsigned which, uint32_t events) {
    (void)events;
    accept_some(door, door->listeners[which].fd);
}

static void knocked_first(void *arg, uint32_t events) {
    knocked(arg, 0, events);
}

static void knocked_second(void *arg, uint32_t events) {
    knocked(arg, 1, events);
}

/* ---- doors ---- */

static void door_shut(struct weir_door *door) {
    while (!weir_list_empty(&door->connections))
        weir_door_disconnect(connection_at(door->connections.next));
    for (unsigned i = 0; i < door->n_listeners; i++)
        weir_agent_unpoll(door->agent, &door->listeners[i]);
    door->n_listeners = 0;
}

static void door_free(struct weir_door *door) {
    weir_list_unlink(&door->link);
    door_shut(door);
    weir_free(door->name);
    weir_free(door->cgroup);
    weir_free(door);
}

/* The pod is gone or does without: the helper lets go of the listeners too. */
static void door_end(struct weir_door *door) {
    int r;

    door_shut(door);
    r = weir_helper_release(door->agent->helper, door->cgroup);
    if (r && r != -ENOENT)
        weir_log(WEIR_LOG_WARN, "door_left_behind", "cgroup=%s error=\"%s\"", door->cgroup,
                 strerror(-r));
    door_free(door);
}

static struct weir_door *door_new(struct weir_agent *a, const struct weir_place_of_pod *p) {
    struct weir_door *door = weir_calloc(1, sizeof(*door));
    char cgroup[4200];

    if (!door)
        return NULL;
    snprintf(cgroup, sizeof(cgroup), "%s/" WEIR_HELPER_TENANTS "/%u/p%llu", a->enrol.parent,
             WEIR_HELPER_NO_TENANT, (unsigned long long)p->cgroup);
    weir_list_init(&door->link);
    weir_list_init(&door->connections);
    door->agent = a;
    door->pod_cgroup = p->cgroup;
    door->netns = p->cookie;
    door->name = weir_strndup(p->name, strlen(p->name));
    door->cgroup = weir_strndup(cgroup, strlen(cgroup));
    if (!door->name || !door->cgroup) {
        door_free(door);
        return NULL;
    }
    weir_list_push_back(&a->doors->doors, &door->link);
    return door;
}

static int listen_there(struct weir_door *door, int fds[2], unsigned *ret_n) {
    struct weir_agent *a = door->agent;
    const struct weir_helper_place place = { door->cgroup, door->place->netns_fd };
    int r = weir_helper_place(a->helper, WEIR_HELPER_NO_TENANT, door->pod_cgroup);

    return r ? r : weir_helper_listen(a->helper, &place, WEIR_DOOR_PORT, fds, ret_n);
}

static void door_open(struct weir_door *door, uint64_t now) {
    static void (*const ready[])(void *, uint32_t) = { knocked_first, knocked_second };
    int fds[2], r;
    unsigned n = 0;

    r = listen_there(door, fds, &n);
    if (r) {
        const char *why =
            r == -EADDRINUSE ? "somebody listens at port 15012 already" : strerrordesc_np(-r);

        if (door->why != why)
            weir_log(WEIR_LOG_ERROR, "door_not_open", "pod=%s why=\"%s\"", door->name, why);
        door->why = why;
        door->due_us = now + RETRY_US;
        return;
    }
    door->why = NULL;
    for (unsigned i = 0; i < n; i++)
        door->listeners[i] = (struct weir_agent_source){ ready[i], door, fds[i] };
    door->n_listeners = n;
    poll_listeners(door, EPOLLIN);
    weir_log(WEIR_LOG_INFO, "door_open", "pod=%s", door->name);
}

/* ---- which there are ---- */

static bool is_wanted(const struct weir_place_of_pod *p) {
    return p->pod->mode == WEIR_MESH_SIDECAR && !p->pending && p->netns_path[0] && p->attached;
}

static struct weir_door *find(const struct weir_doors *d, const char *name) {
    WEIR_LIST_FOREACH (it, &d->doors)
        if (strcmp(door_at(it)->name, name) == 0)
            return door_at(it);
    return NULL;
}

static void look_at(struct weir_agent *a, const struct weir_place_of_pod *p, uint64_t now) {
    struct weir_door *door = find(a->doors, p->name);

    if (door && (door->pod_cgroup != p->cgroup || door->netns != p->cookie)) {
        door_end(door);
        door = NULL;
    }
    if (!door && p->netns_fd >= 0)
        door = door_new(a, p);
    if (!door)
        return;
    door->place = p;
    if (door->n_listeners == 0 && p->netns_fd >= 0 && now >= door->due_us)
        door_open(door, now);
}

void weir_doors_look(struct weir_agent *a) {
    uint64_t now = weir_clock_mono_us();

    if (!a->doors) {
        a->doors = weir_calloc(1, sizeof(*a->doors));
        if (!a->doors)
            return; /* in a second */
        weir_list_init(&a->doors->doors);
    }
    WEIR_LIST_FOREACH (it, &a->doors->doors)
        door_at(it)->place = NULL;
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        const struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        if (is_wanted(p))
            look_at(a, p, now);
    }
    WEIR_LIST_FOREACH_SAFE (it, next, &a->doors->doors)
        if (!door_at(it)->place)
            door_end(door_at(it));
}

void weir_doors_tick(struct weir_agent *a) {
    uint64_t now = weir_clock_mono_us();

    if (!a->doors)
        return;
    weir_doors_look(a);
    WEIR_LIST_FOREACH (it, &a->doors->doors) {
        struct weir_door *door = door_at(it);

        door->accepts = 0;
        poll_listeners(door, EPOLLIN);
        WEIR_LIST_FOREACH_SAFE (at, next, &door->connections)
            weir_door_tick(connection_at(at), now);
    }
}

void weir_doors_publish(struct weir_agent *a) {
    if (!a->doors)
        return;
    WEIR_LIST_FOREACH (it, &a->doors->doors)
        WEIR_LIST_FOREACH_SAFE (at, next, &door_at(it)->connections)
            weir_door_publish(connection_at(at));
}

/* The listeners stay with the helper: the next agent asks for them. */
void weir_doors_close(struct weir_agent *a) {
    if (!a->doors)
        return;
    WEIR_LIST_FOREACH_SAFE (it, next, &a->doors->doors)
        door_free(door_at(it));
    a->doors = weir_free(a->doors);
}

/* ---- what is said of them ---- */

static const char *state_of(const struct weir_door *door) {
    const struct weir_door_connection *c;

    if (door->n_listeners == 0)
        return "closed";
    if (weir_list_empty(&door->connections))
        return "waits for the sidecar";
    c = connection_at(door->connections.next);
    return !c->greeted || !c->said ? "connected" : c->refused ? "refused" : "in force";
}

void weir_doors_status(const struct weir_agent *a, struct weir_textbuf *out) {
    bool first = true;

    weir_textbuf_name(out, "doors");
    weir_textbuf_add(out, "[", 1);
    for (const struct weir_list *it = a->doors ? a->doors->doors.next : NULL;
         it && it != &a->doors->doors; it = it->next) {
        const struct weir_door *door = door_at(it);

        if (!first)
            weir_textbuf_add(out, ",", 1);
        first = false;
        weir_textbuf_add(out, "{", 1);
        weir_textbuf_member(out, "pod", door->name);
        weir_textbuf_member(out, "state", state_of(door));
        if (door->why)
            weir_textbuf_member(out, "why", door->why);
        weir_textbuf_number(out, "connections", door->n_connections);
        weir_textbuf_number(out, "refused", door->refused);
        weir_textbuf_add(out, "}", 1);
    }
    weir_textbuf_add(out, "]", 1);
}

struct weir_doors_figures weir_doors_figures(const struct weir_agent *a) {
    struct weir_doors_figures f = { 0 };

    if (!a->doors)
        return f;
    f = a->doors->figures;
    WEIR_LIST_FOREACH (it, &a->doors->doors) {
        f.open += door_at(it)->n_listeners > 0;
        f.connections += door_at(it)->n_connections;
    }
    return f;
}
