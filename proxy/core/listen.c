/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses are listened on: --listen, a sidecar's two, the ports of Gateways, and the admin addresses. With each configuration the
 * difference is opened and closed; what stays is not touched, and what was accepted before goes on.
 */
#include <stdio.h>

#include "base/mem.h"
#include "core/gateway.h"
#include "core/process_internal.h"
#include "core/server_listen.h"
#include "sys/log.h"

struct address {
    enum weir_direction dir;
    const char *text;      /* ADDR:PORT */
    uint16_t gateway_port; /* or 0 */
    bool optional;         /* an address family this host may lack */
};

static int listening_new(struct weir_thread *t, const struct address *a, const char *key,
                         struct weir_listening **ret) {
    struct weir_listening *l = weir_calloc(1, sizeof(*l));

    if (!l)
        return -ENOMEM;
    l->key = weir_strndup(key, strlen(key));
    if (!l->key) {
        weir_free(l);
        return -ENOMEM;
    }
    l->wanted = true;
    l->listener.dir = a->dir;
    l->listener.port = a->gateway_port;
    l->next = t->listening;
    t->listening = l;
    *ret = l;
    return 0;
}

static struct weir_listening *listening_free(struct weir_listening *l) {
    weir_free(l->key);
    return weir_free(l);
}

/* Is it open? Then it stays so. */
static bool keep(struct weir_thread *t, const char *key) {
    for (struct weir_listening *l = t->listening; l; l = l->next)
        if (strcmp(l->key, key) == 0) {
            l->wanted = true;
            return true;
        }
    return false;
}

static void close_unwanted(struct weir_thread *t) {
    struct weir_listening **at = &t->listening;

    while (*at) {
        struct weir_listening *l = *at;

        if (l->wanted) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        if (t->number == 0)
            weir_log(WEIR_LOG_INFO, "listen", "direction=%s closed=\"%s\"",
                     weir_direction_name(l->listener.dir), l->key);
        weir_loop_unlisten(t->loop, &l->listener);
        listening_free(l);
    }
}

/* The newest is the one that could not be opened. */
static void forget_first(struct weir_thread *t) {
    struct weir_listening *l = t->listening;

    t->listening = l->next;
    listening_free(l);
}

static int open_one(struct weir_thread *t, const struct address *a) {
    struct weir_process *p = t->process;
    struct weir_listen listen = { .reuse_port = true,
                                  .original_dst = a->dir == WEIR_DIR_OUTBOUND,
                                  .handed = p->handed,
                                  .number = t->number,
                                  .of = p->n_wanted };
    struct weir_listening *l;
    char key[256];
    uint16_t port = 0;
    int r;

    snprintf(key, sizeof(key), "%d %s", a->dir, a->text);
    if (keep(t, key))
        return 0;
    if (weir_parse_hostport(a->text, &listen.ip, &listen.port) < 0) {
        weir_log(WEIR_LOG_ERROR, "listen", "addr=%s error=\"not ADDR:PORT\"", a->text);
        return -EINVAL;
    }
    if (listen.port == 0)
        listen.port = p->fixed_port;
    r = listening_new(t, a, key, &l);
    if (r < 0)
        return r;
    listen.user = &l->listener;
    r = weir_loop_listen(t->loop, &listen, &port);
    if (r < 0)
        forget_first(t);
    if (r < 0 && a->optional && (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT))
        return 0;
    if (r < 0) {
        weir_count(&t->worker.metrics, WEIR_C_LISTEN_FAILED, 1);
        return weir_listen_say_failure(a->text, r);
    }
    if (a->dir == WEIR_DIR_REVERSE)
        p->fixed_port = port;
    if (t->number == 0)
        weir_log(WEIR_LOG_INFO, "listen", "direction=%s addr=%s port=%u",
                 weir_direction_name(a->dir), a->text, port);
    return 0;
}

/* ":PORT" is every address of both families, which io keeps apart. */
static int open_text(struct weir_thread *t, enum weir_direction dir, const char *text,
                     uint16_t gateway_port) {
    struct address a = { dir, text, gateway_port, false };
    char v4[64], v6[64];
    int r;

    if (text[0] != ':')
        return open_one(t, &a);
    snprintf(v4, sizeof(v4), "0.0.0.0%s", text);
    snprintf(v6, sizeof(v6), "[::]%s", text);
    a.text = v4;
    r = open_one(t, &a);
    a.text = v6;
    a.optional = true;
    return r == 0 ? open_one(t, &a) : r;
}

/* The kernel half steers both families; an address that was stated is taken as it is. */
static int open_sidecar(struct weir_thread *t, const struct weir_proxy_spec *spec) {
    static const char outbound4[] = "127.0.0.1:15001", inbound4[] = "0.0.0.0:15006";
    const struct address outbound6 = { WEIR_DIR_OUTBOUND, "[::1]:15001", 0, true };
    const struct address inbound6 = { WEIR_DIR_INBOUND, "[::]:15006", 0, true };
    int r = open_text(t, WEIR_DIR_OUTBOUND, spec->outbound, 0);

    if (r == 0 && strcmp(spec->outbound, outbound4) == 0)
        r = open_one(t, &outbound6);
    if (r == 0)
        r = open_text(t, WEIR_DIR_INBOUND, spec->inbound, 0);
    if (r == 0 && strcmp(spec->inbound, inbound4) == 0)
        r = open_one(t, &inbound6);
    return r;
}

/* The first failure, after all has been tried. */
static int open_all(struct weir_thread *t, struct weir_runtime *rt) {
    const struct weir_proxy_spec *spec = &rt->snapshot->proxy;
    char text[16];
    int r = 0, failed = 0;

    if (spec->listen[0])
        failed = open_text(t, WEIR_DIR_REVERSE, spec->listen, 0);
    if (rt->pod) {
        r = open_sidecar(t, spec);
        failed = failed < 0 ? failed : r;
    }
    for (uint32_t i = 0; i < rt->n_ports; i++) {
        snprintf(text, sizeof(text), ":%u", rt->ports[i].number);
        r = open_text(t, WEIR_DIR_GATEWAY, text, rt->ports[i].number);
        failed = failed < 0 ? failed : r;
    }
    return failed;
}

int weir_thread_listen(struct weir_thread *t, struct weir_runtime *rt) {
    int r;

    if (t->pod[0])
        return 0; /* what it listens on was given to it */
    for (struct weir_listening *l = t->listening; l; l = l->next)
        l->wanted = false;
    r = open_all(t, rt);
    close_unwanted(t);
    return r;
}

void weir_thread_forget_listening(struct weir_thread *t) {
    while (t->listening)
        forget_first(t);
}

int weir_process_listen_admin(struct weir_process *p) {
    static const enum weir_admin_scope all = WEIR_ADMIN_ALL, metrics = WEIR_ADMIN_METRICS,
                                       health = WEIR_ADMIN_HEALTH;
    const struct weir_proxy_spec *spec = &p->runtime->snapshot->proxy;
    /* An admin address that is given is the only one. */
    bool sidecar = p->runtime->pod != NULL && !spec->admin_given;
    const struct {
        const char *text;
        const enum weir_admin_scope *scope;
    } addrs[] = {
        { spec->admin, &all },
        { sidecar ? ":15020" : "", &metrics },
        { sidecar ? ":15021" : "", &health },
    };
    int r = 0;

    for (unsigned i = 0; r == 0 && i < WEIR_ARRAY_LEN(addrs); i++)
        if (addrs[i].text[0])
            r = weir_server_listen(p->loop, addrs[i].text, addrs[i].scope, p->handed);
    return r;
}
