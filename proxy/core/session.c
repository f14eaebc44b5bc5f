/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session is in what the client shows: backend, endpoint, when it began and when it was used last, sealed (tls/seal.h) under the
 * rule's scope. So a client can neither read an address out of it nor write one into it, and what was sealed for another rule
 * is nothing here. What does not open, is too old, or names an endpoint that is gone, not ready or ejected, begins a new session.
 */
#include "core/session.h"

#include <stdio.h>

#include "route/cookie.h"
#include "tls/seal.h"

#define TOKEN_SIZE (8 + 8 + 4 + 2 + 16)

struct weir_session_use {
    bool known; /* the client came with it; the rest says what it is */
    struct weir_ip ip;
    uint16_t port;
    uint64_t began_ms;
};

struct token {
    uint64_t began_ms, used_ms; /* wall clock */
    uint32_t backend;
    struct weir_ip ip;
    uint16_t port;
};

static void put(uint8_t *to, uint64_t value, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        to[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

static uint64_t get(const uint8_t *from, unsigned n) {
    uint64_t value = 0;

    for (unsigned i = 0; i < n; i++)
        value = value << 8 | from[i];
    return value;
}

static void token_write(const struct token *token, uint8_t bytes[TOKEN_SIZE]) {
    put(bytes, token->began_ms, 8);
    put(bytes + 8, token->used_ms, 8);
    put(bytes + 16, token->backend, 4);
    put(bytes + 20, token->port, 2);
    memcpy(bytes + 22, token->ip.b, 16);
}

static struct token token_read(const uint8_t bytes[TOKEN_SIZE]) {
    struct token token = { .began_ms = get(bytes, 8),
                           .used_ms = get(bytes + 8, 8),
                           .backend = (uint32_t)get(bytes + 16, 4),
                           .port = (uint16_t)get(bytes + 20, 2) };

    memcpy(token.ip.b, bytes + 22, 16);
    return token;
}

/* Which of the rule's backends: by name, so that a change of the others' order or weight ends no session. */
static uint32_t backend_id(const struct weir_cluster *c) {
    uint32_t h = 0x811c9dc5;

    for (const char *p = c->name; *p; p++)
        h = (h ^ (uint8_t)*p) * 0x01000193;
    return h;
}

/* Clocks of replicas differ: what is from the future is new. */
static bool too_old(uint64_t now_ms, uint64_t then_ms, uint64_t limit_us) {
    return limit_us != 0 && now_ms > then_ms && (now_ms - then_ms) * 1000 >= limit_us;
}

static struct weir_lb_endpoint *endpoint_of(const struct weir_txn *t, const struct weir_cluster *c,
                                            const struct weir_ip *ip, uint16_t port) {
    struct weir_target *target = weir_worker_target(t->worker, c);

    return target ? weir_lb_find(target->lb, ip, port, weir_worker_now(t->worker)) : NULL;
}

/* Opens one token; the backend it stands for, or NULL. */
static const struct weir_backend_ref *resume(struct weir_txn *t, struct weir_slice text) {
    const struct weir_route_rule *rule = t->decision.rule;
    const struct weir_session *conf = rule->session;
    uint64_t now_ms = t->wall_begin / 1000;
    uint8_t bytes[TOKEN_SIZE];
    struct token token;

    if (weir_seal_open(t->epoch->rt->tls.sessions, weir_slice_from_str(conf->scope), text, bytes,
                       TOKEN_SIZE) != 0)
        return NULL;
    token = token_read(bytes);
    if (too_old(now_ms, token.began_ms, conf->absolute_us) ||
        too_old(now_ms, token.used_ms, conf->idle_us))
        return NULL;
    for (uint32_t i = 0; i < rule->n_backends; i++) {
        const struct weir_backend_ref *b = &rule->backends[i];
        const struct weir_cluster *c =
            b->service_port ? weir_runtime_cluster(t->epoch->rt, b->service_port) : NULL;

        if (!c || backend_id(c) != token.backend || !endpoint_of(t, c, &token.ip, token.port))
            continue;
        *t->session = (struct weir_session_use){
            .known = true, .ip = token.ip, .port = token.port, .began_ms = token.began_ms
        };
        return b;
    }
    return NULL;
}

const struct weir_backend_ref *weir_session_backend(struct weir_txn *t) {
    const struct weir_session *conf = t->decision.rule->session;
    struct weir_slice name = weir_slice_from_str(conf->name), text;
    const struct weir_backend_ref *b = NULL;
    struct weir_cookie_at at = { 0 };

    if (!t->epoch->rt->tls.sessions)
        return NULL;
    t->session = weir_arena_calloc(&t->arena, 1, sizeof(*t->session));
    if (!t->session)
        return NULL;
    if (conf->header) {
        const struct weir_field *f = weir_head_find(&t->req, name);

        return f ? resume(t, f->value) : NULL;
    }
    while (!b && weir_cookie_next(&t->req, name, &at, &text))
        b = resume(t, text);
    return b;
}

struct weir_lb_endpoint *weir_session_endpoint(const struct weir_txn *t) {
    struct weir_lb_endpoint *e =
        t->session->known ? endpoint_of(t, t->cluster, &t->session->ip, t->session->port) : NULL;

    for (unsigned i = 0; e && i < WEIR_TXN_TRIES; i++)
        if (t->tried[i] == e)
            return NULL;
    return e;
}

/* HttpOnly and SameSite=Strict: no page needs it. Secure only where the client came by TLS, or it would not be sent back. */
static char *set_cookie(struct weir_txn *t, const char *text, uint64_t age_ms) {
    const struct weir_session *conf = t->decision.rule->session;
    uint64_t left_ms = conf->absolute_us / 1000 > age_ms ? conf->absolute_us / 1000 - age_ms : 0;
    struct weir_slice path = weir_cookie_path(t->decision.match);
    char life[40] = "";

    if (conf->permanent)
        snprintf(life, sizeof(life), "; Max-Age=%llu", (unsigned long long)(left_ms + 999) / 1000);
    return weir_arena_printf(&t->arena, "%s=%s; Path=%.*s%s; HttpOnly%s; SameSite=Strict",
                             conf->name, text, WEIR_SLICE_ARG(path), life,
                             t->down->info.tls ? "; Secure" : "");
}

int weir_session_response(struct weir_txn *t) {
    const struct weir_session *conf = t->decision.rule->session;
    const struct weir_session_use *use = t->session;
    uint64_t now_ms = t->wall_begin / 1000;
    bool same = use->known && use->port == t->up_port && memcmp(&use->ip, &t->up_ip, 16) == 0;
    struct token token = { .began_ms = same ? use->began_ms : now_ms,
                           .used_ms = now_ms,
                           .backend = backend_id(t->cluster),
                           .ip = t->up_ip,
                           .port = t->up_port };
    struct weir_slice name = weir_slice_from_str(conf->name);
    char text[WEIR_SEAL_SIZE(TOKEN_SIZE)], *value;
    uint8_t bytes[TOKEN_SIZE];

    if (same && conf->idle_us == 0)
        return 0; /* what the client has says it all */
    if (!conf->header && weir_cookie_is_set(&t->res, name))
        return 0; /* the application's own */
    token_write(&token, bytes);
    if (weir_seal_close(t->epoch->rt->tls.sessions, weir_slice_from_str(conf->scope),
                        weir_slice_make((char *)bytes, TOKEN_SIZE), text) < 0)
        return -ENOMEM;
    value = conf->header ? weir_arena_printf(&t->arena, "%s", text)
                         : set_cookie(t, text, now_ms - token.began_ms);
    if (!value)
        return -ENOMEM;
    return conf->header
               ? weir_head_set(&t->res, name, weir_slice_from_str(value))
               : weir_head_add(&t->res, WEIR_SLICE("set-cookie"), weir_slice_from_str(value));
}
