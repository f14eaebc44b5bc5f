/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: one line in, an answer out. Answers are built whole and leave as the client
 * takes them; a follower that takes its records too slowly loses records (counted), never holds up
 * the agent. The directory and the mode of the socket decide who may ask: root and its group.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/succession.h"
#include "node/tenants.h"
#include "sys/log.h"

#define FOLLOWER_MAX_BYTES (1024UL * 1024)

static void client_close(struct weir_agent_client *c) {
    close(c->source.fd);
    c->source.fd = -1;
    weir_textbuf_deinit(&c->out);
}

/* Writes what it takes; closes when an answer is out or the client is gone. */
static void client_flush(struct weir_agent_client *c) {
    while (c->sent < c->out.len) {
        ssize_t n = send(c->source.fd, c->out.ptr + c->sent, c->out.len - c->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            (void)weir_agent_poll(c->agent, &c->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
            return;
        }
        if (n <= 0) {
            client_close(c);
            return;
        }
        c->sent += (size_t)n;
    }
    c->sent = c->out.len = 0;
    if (!c->follow || c->out.failed)
        client_close(c);
    else
        (void)weir_agent_poll(c->agent, &c->source, EPOLLIN | EPOLLRDHUP);
}

static void flows(struct weir_agent *a, struct weir_textbuf *out) {
    uint64_t first = a->n_flows > WEIR_AGENT_FLOWS ? a->n_flows - WEIR_AGENT_FLOWS : 0;

    for (uint64_t i = first; i < a->n_flows; i++) {
        const struct weir_textbuf *record = &a->flows[i % WEIR_AGENT_FLOWS];

        weir_textbuf_add(out, record->ptr, record->len);
    }
}

static void join(struct weir_agent *a, const char *line, struct weir_textbuf *out) {
    int r = 0;

    if (strcmp(line, "join") != 0) {
        a->join_off = strcmp(line, "join off") == 0;
        r = weir_agent_join_apply(a);
    }
    weir_textbuf_add(out, "{", 1);
    if (r)
        weir_textbuf_member(out, "error", strerror(-r));
    weir_agent_join_status(a, out);
    weir_textbuf_add(out, "}\n", 2);
}

static void client_answer(struct weir_agent_client *c) {
    struct weir_agent *a = c->agent;

    c->answered = true;
    if (strcmp(c->line, "status") == 0) {
        weir_agent_status(a, &c->out);
    } else if (strcmp(c->line, "counters") == 0) {
        weir_agent_counters(a, &c->out);
    } else if (strcmp(c->line, "handover") == 0) {
        weir_agent_hand_over(c);
        return;
    } else if (strcmp(c->line, "generation") == 0) {
        weir_agent_generation(a, &c->out);
    } else if (strcmp(c->line, "join") == 0 || strcmp(c->line, "join on") == 0 ||
               strcmp(c->line, "join off") == 0) {
        join(a, c->line, &c->out);
    } else if (strcmp(c->line, "ready") == 0 || strcmp(c->line, "verify") == 0) {
        if (c->line[0] == 'v')
            weir_agent_prove(a, true);
        weir_agent_ready(a, &c->out);
    } else if (strcmp(c->line, "flows") == 0 || strcmp(c->line, "flows -f") == 0) {
        c->follow = c->line[5] != '\0';
        flows(a, &c->out);
        if (c->follow)
            weir_textbuf_add(&c->out, "\n", 1);
    } else if (strncmp(c->line, "replace ", 8) == 0) {
        weir_textbuf_add(&c->out, "{", 1);
        weir_textbuf_bool(&c->out, "found", weir_tenants_replace(a, c->line + 8));
        weir_textbuf_add(&c->out, "}\n", 2);
    } else if (strcmp(c->line, "names") == 0 || strncmp(c->line, "names ", 6) == 0) {
        weir_agent_names(a, c->line[5] ? c->line + 6 : "", &c->out);
    } else if (strncmp(c->line, "explain ", 8) == 0) {
        weir_agent_explain(a, c->line + 8, &c->out);
    } else {
        weir_textbuf_add(&c->out, "{", 1);
        weir_textbuf_member(
            &c->out, "error",
            "not a command: status, counters, generation, ready, verify, join, join on, "
            "join off, flows, flows -f, replace, names, explain, handover");
        weir_textbuf_add(&c->out, "}\n", 2);
    }
    client_flush(c);
}

static void client_ready(void *arg, uint32_t events) {
    struct weir_agent_client *c = arg;
    char byte;
    ssize_t n;

    if (c->answered) {
        n = recv(c->source.fd, &byte, 1, MSG_DONTWAIT);
        /* A client that only shut its sending side down still wants its answer; a follower's end is
         * its end. */
        if ((events & EPOLLHUP) || (c->follow && n == 0))
            client_close(c);
        else
            client_flush(c);
        return;
    }
    while ((n = recv(c->source.fd, &byte, 1, MSG_DONTWAIT)) == 1) {
        if (byte == '\n')
            break;
        if (byte != '\r' && c->n_line + 1 < sizeof(c->line))
            c->line[c->n_line++] = byte;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    c->line[c->n_line] = '\0';
    if (n == 1 || (n == 0 && c->n_line > 0))
        client_answer(c);
    else
        client_close(c);
}

static void accept_ready(void *arg, uint32_t events) {
    struct weir_agent *a = arg;
    int fd = accept4(a->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    for (size_t i = 0; fd >= 0 && i < WEIR_AGENT_CLIENTS; i++) {
        struct weir_agent_client *c = &a->clients[i];

        if (c->source.fd >= 0)
            continue;
        *c = (struct weir_agent_client){ .agent = a, .source = { client_ready, c, fd } };
        if (weir_agent_poll(a, &c->source, EPOLLIN | EPOLLRDHUP))
            client_close(c);
        return;
    }
    if (fd >= 0)
        close(fd);
}

void weir_agent_admin_flow(struct weir_agent *a, const struct weir_textbuf *record) {
    for (size_t i = 0; i < WEIR_AGENT_CLIENTS; i++) {
        struct weir_agent_client *c = &a->clients[i];

        if (c->source.fd < 0 || !c->follow)
            continue;
        if (c->out.len - c->sent > FOLLOWER_MAX_BYTES) {
            a->n_flows_lost++;
            continue;
        }
        weir_textbuf_add(&c->out, record->ptr, record->len);
        client_flush(c);
    }
}

static void parent_make(const char *path) {
    char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return;
    memcpy(directory, path, (size_t)(slash - path));
    directory[slash - path] = '\0';
    (void)mkdir(directory, 0755); /* bind says what is wrong, if anything is */
}

int weir_agent_admin_open(struct weir_agent *a) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(a->admin_path);
    int fd, r = 0;

    if (len == 0)
        return 0;
    if (len >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, a->admin_path, len + 1);
    parent_make(a->admin_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* The pin directory's lock says that no other agent serves it: what is there is left over. */
    (void)unlink(a->admin_path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(a->admin_path, 0660) < 0 || listen(fd, 16) < 0)
        r = -errno;
    a->listener = (struct weir_agent_source){ accept_ready, a, fd };
    if (r == 0)
        r = weir_agent_poll(a, &a->listener, EPOLLIN);
    if (r) {
        close(fd);
        a->listener.fd = -1;
    }
    return r;
}

void weir_agent_admin_close(struct weir_agent *a) {
    for (size_t i = 0; i < WEIR_AGENT_CLIENTS; i++)
        if (a->clients[i].source.fd >= 0)
            client_close(&a->clients[i]);
    if (a->listener.fd < 0)
        return;
    close(a->listener.fd);
    a->listener.fd = -1;
    (void)unlink(a->admin_path);
}
