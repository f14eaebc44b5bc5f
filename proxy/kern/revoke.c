/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the records of the walk (bpf/revoke.bpf.c). The kernel decides; resetting is the program's
 * own where it can, else inet_diag's, by tuple and cookie, so that a successor with the same tuple
 * is safe.
 */
#include "kern/revoke.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"
#include "kern/priv.h"
#include "kern/skel.h"

#define RECORDS 256

struct walk {
    struct weir_kern *k;
    const struct weir_revoke_params *params;
    struct weir_revoked *sum;
    bool destroys;   /* the program resets by itself */
    bool counting;   /* what is still there has failed */
    bool doomed;     /* the second walk: for what the first one found to be gone */
    size_t n_unseen; /* inet_diag knew of no such socket */
    int diag_fd;     /* -1 = not opened yet */
    struct weir_event *gone;
    size_t n_gone, cap_gone;
};

static int destroy_send(int fd, const struct weir_event *e) {
    bool v4 = weir_addr_is_v4(&e->local) && weir_addr_is_v4(&e->remote);
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 req;
    } msg = { .head = { .nlmsg_len = sizeof(msg),
                        .nlmsg_type = SOCK_DESTROY,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
              .req = { .sdiag_family = v4 ? AF_INET : AF_INET6,
                       .sdiag_protocol = e->proto,
                       .idiag_states = UINT32_MAX } };

    msg.req.id.idiag_sport = htons(e->local_port);
    msg.req.id.idiag_dport = htons(e->remote_port);
    memcpy(msg.req.id.idiag_src, v4 ? &e->local.w[3] : e->local.w, v4 ? 4 : 16);
    memcpy(msg.req.id.idiag_dst, v4 ? &e->remote.w[3] : e->remote.w, v4 ? 4 : 16);
    msg.req.id.idiag_cookie[0] = (uint32_t)e->cookie;
    msg.req.id.idiag_cookie[1] = (uint32_t)(e->cookie >> 32);
    return send(fd, &msg, sizeof(msg), 0) < 0 ? -errno : 0;
}

static int destroy_answer(int fd) {
    union {
        struct nlmsghdr head;
        char bytes[1024];
    } answer;
    struct nlmsgerr error;
    ssize_t n = recv(fd, &answer, sizeof(answer), 0);

    if (n < 0)
        return -errno;
    if ((size_t)n < sizeof(answer.head) + sizeof(error) || answer.head.nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    memcpy(&error, NLMSG_DATA(&answer.head), sizeof(error));
    return error.error;
}

/* 0, -ENOENT: it is gone by itself, or -errno. */
static int destroy(struct walk *w, const struct weir_event *e) {
    int r = 0;

    if (w->diag_fd < 0)
        r = weir_helper_diag(w->k->helper, w->params->netns_fd, &w->diag_fd);
    if (r == 0)
        r = destroy_send(w->diag_fd, e);
    if (r == 0)
        r = destroy_answer(w->diag_fd);
    return r == -ESTALE ? -ENOENT : r;
}

static void revoked(struct walk *w, const struct weir_event *e, bool done) {
    int r;

    if (w->counting) {
        w->sum->failed++;
        return;
    }
    r = done ? 0 : destroy(w, e);
    w->n_unseen += r == -ENOENT;
    if (e->reason == WEIR_DENY_ENDPOINT_GONE)
        w->sum->kept--; /* counted so by the first walk */
    else
        w->sum->checked++;
    if (r == 0) {
        w->sum->killed++;
        w->params->reset(w->params->arg, e);
    } else if (r != -ENOENT) {
        w->sum->failed++;
    }
}

static int note_gone(struct walk *w, const struct weir_event *e) {
    if (w->n_gone == w->cap_gone) {
        size_t cap = w->cap_gone ? w->cap_gone * 2 : 64;
        struct weir_event *gone = weir_reallocarray(w->gone, cap, sizeof(*gone));

        if (!gone)
            return -ENOMEM;
        w->gone = gone;
        w->cap_gone = cap;
    }
    w->gone[w->n_gone] = *e;
    w->gone[w->n_gone].kind = WEIR_EVENT_REVOKE;
    w->gone[w->n_gone++].reason = WEIR_DENY_ENDPOINT_GONE;
    return 0;
}

static int take(struct walk *w, const struct weir_event *e) {
    if (e->kind == WEIR_EVENT_REVOKE)
        revoked(w, e, w->destroys);
    else if (e->kind == WEIR_EVENT_SERVICE && w->params->gone(w->params->arg, e))
        return note_gone(w, e);
    return 0;
}

static int read_all(struct walk *w, int fd) {
    struct weir_event *records = weir_calloc(RECORDS, sizeof(*records));
    size_t held = 0, size = RECORDS * sizeof(*records);
    char *bytes = (char *)records;
    ssize_t n = 1;
    int r = records ? 0 : -ENOMEM;

    /* A read may end within a record. */
    while (r == 0 && n != 0) {
        n = read(fd, bytes + held, size - held);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            r = -errno;
            break;
        }
        held += (size_t)n;
        for (size_t i = 0; r == 0 && i < held / sizeof(*records); i++)
            r = take(w, &records[i]);
        memmove(bytes, bytes + held - held % sizeof(*records), held % sizeof(*records));
        held %= sizeof(*records);
        if (w->params->breathe)
            w->params->breathe(w->params->arg);
    }
    weir_free(records);
    return r;
}

static int walk_protocol(struct walk *w, const struct bpf_program *prog) {
    int link, fd, r;

    memset(w->k->bpf->bss->weir_walk_listening, 0, sizeof(w->k->bpf->bss->weir_walk_listening));
    w->k->bpf->bss->weir_walk_checked = 0;
    w->k->bpf->bss->weir_walk_services = w->params->gone != NULL && !w->doomed;
    w->k->bpf->bss->weir_walk_doomed = w->doomed;
    link = bpf_link_create(bpf_program__fd(prog), 0, BPF_TRACE_ITER, NULL);
    if (link < 0)
        return link;
    r = weir_helper_walk(w->k->helper, w->params->netns_fd, link, &fd);
    close(link);
    if (r)
        return r;
    r = read_all(w, fd);
    close(fd);
    if (!w->counting && !w->doomed) {
        w->sum->checked += w->k->bpf->bss->weir_walk_checked;
        w->sum->kept += w->k->bpf->bss->weir_walk_checked;
    }
    return r;
}

static int walk_both(struct walk *w) {
    const struct weir_bpf *bpf = w->k->bpf;
    bool destroys = w->destroys && !w->counting;
    int r = walk_protocol(w, destroys ? bpf->progs.weir_reset_tcp : bpf->progs.weir_walk_tcp);

    return r ? r
             : walk_protocol(w, destroys ? bpf->progs.weir_reset_udp : bpf->progs.weir_walk_udp);
}

/* By inet_diag, one by one. */
static void destroy_gone(struct walk *w) {
    for (size_t i = 0; i < w->n_gone; i++) {
        revoked(w, &w->gone[i], false);
        if (i % RECORDS == 0 && w->params->breathe)
            w->params->breathe(w->params->arg);
    }
}

/* By a second walk that is told their cookies, as many at a time as the map takes. */
static int reset_gone(struct walk *w) {
    int fd = weir_kern_map_fd(w->k, "weir_doomed"), r = fd < 0 ? fd : 0;
    const uint8_t yes = 1;

    w->doomed = true;
    for (size_t from = 0, to; r == 0 && from < w->n_gone; from = to) {
        for (to = from; to < w->n_gone; to++)
            if (bpf_map_update_elem(fd, &w->gone[to].cookie, &yes, BPF_ANY))
                break;
        r = to == from ? -ENOSPC : walk_both(w);
        for (size_t i = from; i < to; i++)
            (void)bpf_map_delete_elem(fd, &w->gone[i].cookie);
    }
    w->doomed = false;
    return r;
}

int weir_kern_revoke(struct weir_kern *k, const struct weir_revoke_params *params,
                     struct weir_revoked *ret) {
    struct walk w = { .k = k, .params = params, .sum = ret, .diag_fd = -1 };
    const struct weir_bpf *bpf = k->bpf;
    int r;

    w.destroys = !params->by_diag && bpf_program__fd(bpf->progs.weir_reset_tcp) >= 0;
    r = walk_both(&w);
    if (r == 0 && w.n_gone > 0 && w.destroys)
        r = reset_gone(&w);
    else if (r == 0)
        destroy_gone(&w);
    w.n_gone = 0;
    /* Closed by itself meanwhile, or is inet_diag's module not to be had? It says the same of both. */
    if (r == 0 && w.n_unseen > 0) {
        w.counting = true;
        r = walk_both(&w);
        ret->failed += w.n_gone;
    }
    if (w.diag_fd >= 0)
        close(w.diag_fd);
    weir_free(w.gone);
    return r;
}

/* A dump of no state at all: an empty answer, or the error that destroying would meet. */
static int diag_ask(int fd, uint8_t proto) {
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 req;
    } msg = { .head = { .nlmsg_len = sizeof(msg),
                        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
              .req = { .sdiag_family = AF_INET, .sdiag_protocol = proto } };
    union {
        struct nlmsghdr head;
        char bytes[8192];
    } answer;
    ssize_t n;
    int error;

    if (send(fd, &msg, sizeof(msg), 0) < 0)
        return -errno;
    n = recv(fd, &answer, sizeof(answer), 0);
    if (n < (ssize_t)(sizeof(answer.head) + sizeof(error)))
        return n < 0 ? -errno : -EPROTO;
    /* Both begin with an error number. */
    if (answer.head.nlmsg_type != NLMSG_ERROR && answer.head.nlmsg_type != NLMSG_DONE)
        return -EPROTO;
    memcpy(&error, NLMSG_DATA(&answer.head), sizeof(error));
    return error;
}

const char *weir_revoke_way(void) {
    int fd, r;

    if (weir_kernel_destroys())
        return "bpf_sock_destroy";
    fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return NULL;
    r = diag_ask(fd, IPPROTO_TCP);
    if (r == 0)
        r = diag_ask(fd, IPPROTO_UDP);
    close(fd);
    return r == 0 ? "inet_diag" : NULL;
}
