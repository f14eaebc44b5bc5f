/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation with one sidecar. It is told what there is to tell step by step, as it reads, so a slow one holds a bounded
 * buffer and a reference to the documents, and nobody else up. What it says is believed only about itself.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "node/door.h"
#include "sys/clock.h"
#include "sys/log.h"

#define OUT_BYTES                                                                                  \
    (64u * 1024u) /* beyond it the next step waits until it has read; one document may be more */
#define READ_BYTES      (16u * 1024u)
#define CSRS_PER_SECOND 2u
#define PING_US         (WEIR_DOOR_SILENCE_US / 3)

static void ready(void *arg, uint32_t events);

static void forget_out(struct weir_door_connection *c) {
    c->out = weir_free(c->out);
    c->out_len = c->out_cap = c->sent = 0;
}

void weir_door_disconnect(struct weir_door_connection *c) {
    weir_sign_forget(&c->sign);
    weir_list_unlink(&c->link);
    c->door->n_connections--;
    weir_agent_unpoll(c->door->agent, &c->source);
    weir_door_reader_deinit(&c->in);
    forget_out(c);
    weir_documents_unref(c->has);
    weir_documents_unref(c->sending);
    weir_free(c);
}

static void broken(struct weir_door_connection *c, const char *why) {
    c->door->agent->doors->figures.broken++;
    weir_log(WEIR_LOG_WARN, "door_disconnected", "pod=%s why=\"%s\"", c->door->name, why);
    weir_door_disconnect(c);
}

struct weir_door_connection *weir_door_connect(struct weir_door *door, int fd) {
    struct weir_door_connection *c = weir_calloc(1, sizeof(*c));

    if (!c) {
        close(fd);
        return NULL;
    }
    c->door = door;
    c->source = (struct weir_agent_source){ ready, c, fd };
    c->since_us = c->heard_us = c->moved_us = c->pinged_us = weir_clock_mono_us();
    weir_list_push_front(&door->connections, &c->link);
    door->n_connections++;
    if (weir_agent_poll(door->agent, &c->source, EPOLLIN)) {
        weir_door_disconnect(c);
        return NULL;
    }
    return c;
}

/* ---- saying ---- */

static int add(struct weir_door_connection *c, const void *bytes, size_t len) {
    size_t cap = c->out_cap ? c->out_cap : 1024;
    char *out;

    while (cap < c->out_len + len)
        cap *= 2;
    if (cap != c->out_cap) {
        out = weir_reallocarray(c->out, cap, 1);
        if (!out)
            return -ENOMEM;
        c->out = out;
        c->out_cap = cap;
    }
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
    return 0;
}

static int say(struct weir_door_connection *c, enum weir_door_kind kind,
               struct weir_slice content) {
    char header[WEIR_DOOR_HEADER];
    int r;

    weir_door_header(header, kind, content.len);
    r = add(c, header, sizeof(header));
    return r || content.len == 0 ? r : add(c, content.ptr, content.len);
}

static int say_number(struct weir_door_connection *c, enum weir_door_kind kind, uint32_t n) {
    char text[4];

    weir_door_u32(text, n);
    return say(c, kind, weir_slice_make(text, sizeof(text)));
}

static int say_begin(struct weir_door_connection *c) {
    char text[4 + sizeof(struct weir_document_digest)];

    weir_door_u32(text, c->sending->n);
    memcpy(text + 4, &c->sending->digest, sizeof(c->sending->digest));
    return say(c, WEIR_DOOR_BEGIN, weir_slice_make(text, sizeof(text)));
}

/* A snapshot has been told to its end: that is what it has. */
static int say_end(struct weir_door_connection *c) {
    weir_documents_unref(c->has);
    c->has = c->sending;
    c->sending = NULL;
    c->door->agent->doors->figures.snapshots++;
    return say(c, WEIR_DOOR_END, WEIR_SLICE_NONE);
}

static int say_step(struct weir_door_connection *c) {
    const struct weir_document *document = NULL;
    uint32_t n = 0;

    switch (weir_documents_next(&c->diff, &n, &document)) {
    case WEIR_DOCUMENTS_KEEP:
        return say_number(c, WEIR_DOOR_KEEP, n);
    case WEIR_DOCUMENTS_DROP:
        return say_number(c, WEIR_DOOR_DROP, n);
    case WEIR_DOCUMENTS_ADD:
        return say(c, WEIR_DOOR_DOCUMENT, weir_slice_make(document->text, document->len));
    default:
        return say_end(c);
    }
}

/* What is in force now, if it has not that. 0 or -ENOMEM. */
static int begin(struct weir_door_connection *c) {
    struct weir_documents *now = c->door->agent->documents;

    if (!c->greeted || c->sending || !now ||
        memcmp(&c->has->digest, &now->digest, sizeof(now->digest)) == 0)
        return 0;
    c->sending = weir_documents_ref(now);
    c->diff = (struct weir_documents_diff){ c->has, c->sending, 0, 0 };
    return say_begin(c);
}

static int push(struct weir_door_connection *c) {
    while (c->sent < c->out_len) {
        ssize_t n = send(c->source.fd, c->out + c->sent, c->out_len - c->sent, MSG_NOSIGNAL);

        if (n < 0)
            return errno == EINTR ? 0 : -errno;
        c->sent += (size_t)n;
        c->door->agent->doors->figures.sent += (uint64_t)n;
        c->moved_us = weir_clock_mono_us();
    }
    forget_out(c);
    return 0;
}

/* Everything that can be said now is: -EAGAIN is waited for. 0 or -errno. */
static int talk(struct weir_door_connection *c) {
    bool full;
    int r = 0;

    do {
        while (r == 0 && c->sending && c->out_len < OUT_BYTES)
            r = say_step(c);
        if (r == 0)
            r = begin(c);
        if (r == 0)
            r = push(c);
    } while (r == 0 && (c->sending || c->out_len));
    full = r == -EAGAIN;
    if (full != c->wants_room) {
        c->wants_room = full;
        if (full)
            c->moved_us = weir_clock_mono_us();
        (void)weir_agent_poll(c->door->agent, &c->source, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    return full ? 0 : r;
}

void weir_door_publish(struct weir_door_connection *c) {
    int r = begin(c);

    if (r == 0)
        r = talk(c);
    if (r)
        broken(c, strerror(-r));
}

/* ---- certificates ---- */

/* What was added is sent in a turn of its own: its connection may not end within this one. */
static void soon(struct weir_door_connection *c) {
    c->wants_room = true;
    c->moved_us = weir_clock_mono_us();
    (void)weir_agent_poll(c->door->agent, &c->source, EPOLLIN | EPOLLOUT);
}

static int say_svid(struct weir_door_connection *c, const struct weir_sign_answer *answer) {
    char number[4], header[WEIR_DOOR_HEADER];
    const struct weir_slice texts[2] = { answer->chain, answer->bundle };
    size_t len = 8 + texts[0].len + texts[1].len;
    int r;

    if (len > WEIR_DOOR_SVID_MAX)
        return say(c, WEIR_DOOR_NO_SVID, WEIR_SLICE("certificate and CAs are too long"));
    weir_door_header(header, WEIR_DOOR_SVID, len);
    r = add(c, header, sizeof(header));
    for (unsigned i = 0; r == 0 && i < 2; i++) {
        weir_door_u32(number, (uint32_t)texts[i].len);
        r = add(c, number, sizeof(number));
        if (r == 0 && texts[i].len)
            r = add(c, texts[i].ptr, texts[i].len);
    }
    return r;
}

static void signed_(struct weir_sign_request *request, const struct weir_sign_answer *answer) {
    struct weir_door_connection *c = request->arg;
    int r = answer->why ? say(c, WEIR_DOOR_NO_SVID, weir_slice_from_str(answer->why))
                        : say_svid(c, answer);

    if (r == 0 && !answer->why)
        c->told_trust = weir_sign_bundle_generation(c->door->agent);
    soon(c);
}

static int on_csr(struct weir_door_connection *c, struct weir_slice csr) {
    const struct weir_place_of_pod *p = c->door->place;

    if (c->sign.asked)
        return 0; /* it hears of the first one */
    if (!p || c->csrs++ >= CSRS_PER_SECOND)
        return say(c, WEIR_DOOR_NO_SVID,
                   p ? WEIR_SLICE("it asks too often") : WEIR_SLICE("its pod is gone"));
    c->sign = (struct weir_sign_request){ .ns = p->pod->meta.namespace_,
                                          .account = p->pod->service_account,
                                          .csr = csr,
                                          .done = signed_,
                                          .arg = c };
    weir_sign_ask(c->door->agent, &c->sign);
    return 0;
}

/* Whether somebody signs, and whom to trust, may change. */
static int tell_trust(struct weir_door_connection *c) {
    const struct weir_agent *a = c->door->agent;
    uint64_t generation = weir_sign_bundle_generation(a);
    struct weir_slice bundle = weir_sign_bundle(a);
    int r = 0;

    if (!c->told_signer && weir_sign_on(a)) {
        c->told_signer = true;
        r = say(c, WEIR_DOOR_SIGNER, WEIR_SLICE_NONE);
    }
    if (r || !c->told_signer || generation == c->told_trust || bundle.len > WEIR_DOOR_SVID_MAX)
        return r;
    c->told_trust = generation;
    return say(c, WEIR_DOOR_TRUST, bundle);
}

/* ---- hearing ---- */

static int on_hello(struct weir_door_connection *c, struct weir_slice content) {
    const size_t size = sizeof(struct weir_document_digest);
    char text[4 + 344];
    size_t n = strlen(c->door->name);
    int r = 0;

    if (c->greeted || content.len < 4 || (content.len - 4) % size != 0 ||
        weir_door_from_u32(content.ptr) < WEIR_DOOR_VERSION || n > sizeof(text) - 4)
        return -EPROTO;
    c->has = weir_documents_new();
    if (!c->has)
        return -ENOMEM;
    for (size_t at = 4; r == 0 && at < content.len; at += size) {
        struct weir_document_digest digest;

        memcpy(&digest, content.ptr + at, size);
        r = weir_documents_add_known(c->has, &digest);
    }
    if (r == 0)
        r = weir_documents_seal(c->has);
    if (r)
        return r;
    c->greeted = true;
    weir_door_u32(text, WEIR_DOOR_VERSION);
    memcpy(text + 4, c->door->name, n);
    r = say(c, WEIR_DOOR_WELCOME, weir_slice_make(text, 4 + n));
    if (r == 0)
        r = tell_trust(c);
    weir_log(WEIR_LOG_INFO, "sidecar_connected", "pod=%s documents=%u", c->door->name, c->has->n);
    return r;
}

static int on_state(struct weir_door_connection *c, struct weir_slice content) {
    if (!c->greeted || content.len != sizeof(c->in_force) + 1)
        return -EPROTO;
    memcpy(&c->in_force, content.ptr, sizeof(c->in_force));
    c->said = true;
    c->refused = content.ptr[sizeof(c->in_force)] == 0;
    if (c->refused) {
        c->door->agent->doors->figures.snapshots_refused++;
        weir_log(WEIR_LOG_ERROR, "sidecar_refuses",
                 "pod=%s effect=\"it goes on with what it had: its log says why\"", c->door->name);
    }
    return 0;
}

static int on_message(void *arg, unsigned kind, struct weir_slice content) {
    struct weir_door_connection *c = arg;

    if (!c->greeted && kind != WEIR_DOOR_HELLO)
        return -EPROTO;
    if (kind == WEIR_DOOR_HELLO)
        return on_hello(c, content);
    if (kind == WEIR_DOOR_STATE)
        return on_state(c, content);
    if (kind == WEIR_DOOR_CSR)
        return on_csr(c, content);
    return 0; /* PONG: it was heard; others: of a newer sidecar */
}

/* One read in a turn: nobody is served before the others for writing much. */
static int hear(struct weir_door_connection *c) {
    char bytes[READ_BYTES];
    ssize_t n = recv(c->source.fd, bytes, sizeof(bytes), 0);

    if (n == 0)
        return -EPIPE;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    c->heard_us = weir_clock_mono_us();
    return weir_door_read(&c->in, weir_slice_make(bytes, (size_t)n), on_message, c);
}

static void ready(void *arg, uint32_t events) {
    struct weir_door_connection *c = arg;
    int r = events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? hear(c) : 0;

    if (r == 0)
        r = talk(c);
    if (r == -EPIPE || r == -ECONNRESET) {
        weir_log(WEIR_LOG_INFO, "sidecar_left", "pod=%s", c->door->name);
        weir_door_disconnect(c);
    } else if (r) {
        broken(c, r == -EPROTO ? "what it says is not understood" : strerror(-r));
    }
}

void weir_door_tick(struct weir_door_connection *c, uint64_t now) {
    int r = 0;

    if (!c->greeted && now - c->since_us > WEIR_DOOR_HELLO_US) {
        broken(c, "it says nothing");
        return;
    }
    if (now - c->heard_us > WEIR_DOOR_SILENCE_US ||
        (c->wants_room && now - c->moved_us > WEIR_DOOR_SILENCE_US)) {
        broken(c, c->wants_room ? "it does not read" : "it is silent");
        return;
    }
    c->csrs = 0;
    /* Not in the middle of a snapshot: it says all that is to be known of itself. */
    if (c->greeted && !c->sending) {
        r = tell_trust(c);
        if (r == 0 && c->out_len)
            r = talk(c);
    }
    if (r == 0 && c->greeted && !c->sending && c->out_len == 0 && now - c->pinged_us > PING_US) {
        c->pinged_us = now;
        r = say(c, WEIR_DOOR_PING, WEIR_SLICE_NONE);
        if (r == 0)
            r = talk(c);
    }
    if (r)
        broken(c, strerror(-r));
}
