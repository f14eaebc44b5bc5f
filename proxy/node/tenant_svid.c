/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of tenants' workers: a worker asks for that of its own tenant, which the agent knows by the socket, and is
 * told what became of it. A worker that starts is told its pods only then, so that the first connection finds mTLS; when
 * nobody signs in time it serves without, and what has to be mTLS fails.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "node/tenants.h"
#include "sys/clock.h"
#include "sys/log.h"

#define PATIENCE_US     5000000ULL
#define CSRS_PER_SECOND 2

/* Descriptor of a file in memory with that text, or -errno. */
static int file_of(struct weir_slice text) {
    int fd = memfd_create("weir-pem", MFD_CLOEXEC), r = 0;

    if (fd < 0)
        return -errno;
    while (r == 0 && text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0)
            r = -errno;
        else
            text = weir_slice_make(text.ptr + n, text.len - (size_t)n);
    }
    if (r)
        close(fd);
    return r ? r : fd;
}

static void say_files(struct weir_tenant_worker *w, enum weir_tenant_verb verb,
                      const struct weir_slice *texts, unsigned n) {
    struct weir_tenant_packet packet = { .verb = verb };
    int fds[2] = { -1, -1 }, r = 0;

    for (unsigned i = 0; r >= 0 && i < n; i++)
        r = fds[i] = file_of(texts[i]);
    if (r >= 0)
        weir_tenant_say(w, &packet, fds, n);
    else
        weir_log(WEIR_LOG_ERROR, "tenant_not_told", "tenant=%s pid=%d verb=%u error=\"%s\"",
                 w->tenant->name, (int)w->pid, (unsigned)verb, strerror(-r));
    for (unsigned i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void refuse(struct weir_tenant_worker *w, const char *why) {
    struct weir_tenant_packet packet = { .verb = WEIR_TENANT_NO_SVID };

    snprintf(packet.text, sizeof(packet.text), "%s", why);
    weir_tenant_say(w, &packet, NULL, 0);
}

static void introduce(struct weir_tenant_worker *w) {
    if (!w->waits)
        return;
    w->waits = false;
    WEIR_LIST_FOREACH (it, &w->tenant->pods) {
        const struct weir_tenant_pod *pod = WEIR_CONTAINER_OF(it, struct weir_tenant_pod, link);

        if (pod->n_listeners > 0)
            weir_tenant_tell_worker(w, pod, true);
    }
}

static void signed_(struct weir_sign_request *request, const struct weir_sign_answer *answer) {
    struct weir_tenant_worker *w = request->arg;
    const struct weir_slice texts[2] = { answer->chain, answer->bundle };

    if (answer->why) {
        refuse(w, answer->why);
    } else {
        say_files(w, WEIR_TENANT_SVID, texts, 2);
        w->told_trust = weir_sign_bundle_generation(w->tenant->agent);
    }
    introduce(w);
}

void weir_tenant_on_csr(struct weir_tenant_worker *w, const struct weir_tenant_packet *q) {
    char ns[256];
    const char *slash = strchr(w->tenant->name, '/');

    if (w->sign.asked)
        return; /* it hears of the first one */
    if (w->csrs++ >= CSRS_PER_SECOND) {
        refuse(w, "it asks too often");
        return;
    }
    snprintf(ns, sizeof(ns), "%.*s", (int)(slash - w->tenant->name), w->tenant->name);
    w->sign = (struct weir_sign_request){ .ns = ns,
                                          .account = slash + 1,
                                          .csr = weir_slice_from_str(q->text),
                                          .done = signed_,
                                          .arg = w };
    weir_sign_ask(w->tenant->agent, &w->sign);
}

void weir_tenant_introduce(struct weir_tenant_worker *w) {
    w->waits = true;
    if (!weir_sign_on(w->tenant->agent))
        introduce(w);
}

void weir_tenant_svid_tick(struct weir_tenant_worker *w, uint64_t now) {
    const struct weir_agent *a = w->tenant->agent;
    uint64_t generation = weir_sign_bundle_generation(a);
    struct weir_slice bundle = weir_sign_bundle(a);

    w->csrs = 0;
    if (w->waits && now - w->started_us >= PATIENCE_US) {
        weir_log(WEIR_LOG_ERROR, "tenant_without_svid",
                 "tenant=%s pid=%d effect=\"mTLS fails until it is signed\"", w->tenant->name,
                 (int)w->pid);
        introduce(w);
    }
    if (generation == w->told_trust || w->draining)
        return;
    w->told_trust = generation;
    say_files(w, WEIR_TENANT_TRUST, &bundle, 1);
}
