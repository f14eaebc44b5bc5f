/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-ares on libuv: c-ares says which of its sockets it waits for, we poll them and tell it, and a timer tells it the time. A socket's poll handle
 * outlives the socket by the turn that libuv needs to close it; the memory of the whole goes with the last handle.
 */
#include "io/dns.h"

#include <ares.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "io/addr.h"
#include "io/state.h"

struct channel_socket {
    struct weir_list node;
    uv_poll_t poll;
    struct weir_dns *dns;
    ares_socket_t fd;
};

struct weir_dns {
    ares_channel channel; /* NULL = being freed */
    struct weir_loop *loop;
    uv_timer_t timer;
    struct weir_list sockets; /* struct channel_socket */
    unsigned n_handles;
};

struct question {
    weir_dns_fn *fn;
    void *arg;
};

static void handle_gone(struct weir_dns *dns) {
    if (--dns->n_handles == 0)
        weir_free(dns);
}

static void on_socket_closed(uv_handle_t *handle) {
    struct channel_socket *s = WEIR_CONTAINER_OF(handle, struct channel_socket, poll);
    struct weir_dns *dns = s->dns;

    weir_free(s);
    handle_gone(dns);
}

static void on_timer_closed(uv_handle_t *handle) {
    handle_gone(handle->data);
}

static void on_timer(uv_timer_t *timer);

/* c-ares wants to hear the time again. */
static void rearm(struct weir_dns *dns) {
    struct timeval tv, *left;

    if (!dns->channel)
        return;
    left = ares_timeout(dns->channel, NULL, &tv);
    if (!left) {
        uv_timer_stop(&dns->timer);
        return;
    }
    uv_update_time(&dns->loop->uv);
    uv_timer_start(&dns->timer, on_timer,
                   (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1, 0);
}

static void on_timer(uv_timer_t *timer) {
    struct weir_dns *dns = timer->data;

    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(dns);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
    struct channel_socket *s = WEIR_CONTAINER_OF(poll, struct channel_socket, poll);
    struct weir_dns *dns = s->dns;
    bool in = status < 0 || (events & UV_READABLE), out = status < 0 || (events & UV_WRITABLE);

    if (!dns->channel)
        return;
    ares_process_fd(dns->channel, in ? s->fd : ARES_SOCKET_BAD, out ? s->fd : ARES_SOCKET_BAD);
    rearm(dns);
}

static struct channel_socket *socket_of(struct weir_dns *dns, ares_socket_t fd) {
    WEIR_LIST_FOREACH (it, &dns->sockets) {
        struct channel_socket *s = WEIR_CONTAINER_OF(it, struct channel_socket, node);

        if (s->fd == fd)
            return s;
    }
    return NULL;
}

/* NULL: the question's own time runs out then. */
static struct channel_socket *socket_new(struct weir_dns *dns, ares_socket_t fd) {
    struct channel_socket *s = weir_calloc(1, sizeof(*s));

    if (!s || uv_poll_init_socket(&dns->loop->uv, &s->poll, fd) < 0) {
        weir_free(s);
        return NULL;
    }
    s->dns = dns;
    s->fd = fd;
    dns->n_handles++;
    weir_list_push_back(&dns->sockets, &s->node);
    return s;
}

/* c-ares: what a socket is waited for from now on; nothing = it is about to be closed. */
static void on_state(void *data, ares_socket_t fd, int readable, int writable) {
    struct weir_dns *dns = data;
    struct channel_socket *s = socket_of(dns, fd);

    if (!s && (readable || writable))
        s = socket_new(dns, fd);
    if (!s)
        return;
    if (readable || writable) {
        uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                      on_ready);
        return;
    }
    weir_list_unlink(&s->node);
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
}

static int result_of(int status) {
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        return -ENOENT;
    case ARES_ETIMEOUT:
        return -ETIMEDOUT;
    case ARES_ECONNREFUSED:
        return -ECONNREFUSED;
    case ARES_EBADRESP:
    case ARES_EFORMERR:
        return -EBADMSG;
    case ARES_ENOMEM:
        return -ENOMEM;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return -ECANCELED;
    default:
        return -EIO;
    }
}

static void add_address(struct weir_ip *ips, uint32_t *n, const struct sockaddr *sa, size_t len) {
    struct sockaddr_storage copy = { 0 };
    struct weir_ip ip;
    uint16_t port;

    if (len > sizeof(copy) || *n == WEIR_DNS_ADDRESSES)
        return;
    memcpy(&copy, sa, len);
    if (!weir_addr_from_sockaddr(&copy, &ip, &port))
        return;
    for (uint32_t i = 0; i < *n; i++)
        if (memcmp(&ips[i], &ip, sizeof(ip)) == 0)
            return;
    ips[(*n)++] = ip;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found) {
    struct weir_ip ips[WEIR_DNS_ADDRESSES];
    struct weir_dns_answer a = { .r = result_of(status), .why = ares_strerror(status), .ips = ips };
    struct question q = *(struct question *)arg;
    uint64_t ttl = UINT64_MAX;

    (void)timeouts;
    weir_free(arg);
    for (struct ares_addrinfo_node *it = found ? found->nodes : NULL; it; it = it->ai_next) {
        add_address(ips, &a.n, it->ai_addr, it->ai_addrlen);
        if (it->ai_ttl >= 0 && (uint64_t)it->ai_ttl < ttl)
            ttl = (uint64_t)it->ai_ttl;
    }
    for (struct ares_addrinfo_cname *it = found ? found->cnames : NULL; it; it = it->next)
        if (it->ttl >= 0 && (uint64_t)it->ttl < ttl)
            ttl = (uint64_t)it->ttl;
    ares_freeaddrinfo(found);
    if (a.r == 0 && a.n == 0)
        a.r = -ENOENT;
    a.ttl_us = ttl == UINT64_MAX ? 0 : ttl * 1000000;
    q.fn(q.arg, &a);
}

void weir_dns_ask(struct weir_dns *dns, const char *host, weir_dns_fn *fn, void *arg) {
    static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
                                                      .ai_socktype = SOCK_STREAM,
                                                      .ai_flags = ARES_AI_NOSORT };
    struct question *q = weir_malloc(sizeof(*q));

    if (!q) {
        fn(arg, &(struct weir_dns_answer){ .r = -ENOMEM, .why = "no memory" });
        return;
    }
    q->fn = fn;
    q->arg = arg;
    ares_getaddrinfo(dns->channel, host, NULL, &hints, on_answer, q);
    rearm(dns);
}

int weir_dns_new(struct weir_loop *loop, const struct weir_dns_params *params,
                 struct weir_dns **ret_dns) {
    struct weir_dns *dns = weir_calloc(1, sizeof(*dns));
    struct ares_options options = { .timeout = (int)(params->timeout_us / 1000),
                                    .tries = (int)params->tries,
                                    .sock_state_cb = on_state,
                                    .sock_state_cb_data = dns };
    int r;

    if (!dns)
        return -ENOMEM;
    weir_list_init(&dns->sockets);
    dns->loop = loop;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
        ares_init_options(&dns->channel, &options,
                          ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) !=
            ARES_SUCCESS) {
        weir_free(dns);
        return -EIO;
    }
    r = params->servers[0] ? ares_set_servers_ports_csv(dns->channel, params->servers)
                           : ARES_SUCCESS;
    if (r != ARES_SUCCESS) {
        ares_destroy(dns->channel);
        weir_free(dns);
        return r == ARES_ENOMEM ? -ENOMEM : -EINVAL;
    }
    uv_timer_init(&loop->uv, &dns->timer);
    dns->timer.data = dns;
    dns->n_handles = 1;
    *ret_dns = dns;
    return 0;
}

struct weir_dns *weir_dns_free(struct weir_dns *dns) {
    ares_channel channel;

    if (!dns)
        return NULL;
    channel = dns->channel;
    ares_destroy(channel); /* tells whoever waits, and closes its sockets by on_state */
    dns->channel = NULL;
    uv_close((uv_handle_t *)&dns->timer, on_timer_closed);
    return NULL;
}
