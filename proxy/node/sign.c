/* SPDX-License-Identifier: Apache-2.0 */
#include "node/sign.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "kube/ca_files.h"
#include "node/sign_kube.h"
#include "node/state.h"
#include "node/text.h"
#include "sys/clock.h"
#include "sys/files.h"
#include "sys/log.h"
#include "tls/csr.h"

#define PEM_MAX (1024u * 1024u)
#define SECOND  1000000u

struct weir_sign {
    struct weir_list waiting;    /* of struct weir_sign_request */
    struct weir_sign_kube *kube; /* NULL = the development CA */
    char *bundle;                /* PEM; NULL = none is known */
    size_t n_bundle;
    uint64_t generation;
    struct stat seen; /* the bundle's file, as it was read last */
    struct weir_sign_figures n;
    char why[200]; /* what is the matter; "" = nothing */
};

bool weir_sign_on(const struct weir_agent *a) {
    return a->sign != NULL;
}

struct weir_slice weir_sign_bundle(const struct weir_agent *a) {
    return a->sign && a->sign->bundle ? weir_slice_make(a->sign->bundle, a->sign->n_bundle)
                                      : WEIR_SLICE("");
}

uint64_t weir_sign_bundle_generation(const struct weir_agent *a) {
    return a->sign && a->sign->bundle ? a->sign->generation : 0;
}

/* ---- the bundle ---- */

static const char *bundle_path(const struct weir_agent *a, char *buf, size_t size) {
    if (a->trust_bundle[0])
        return a->trust_bundle;
    snprintf(buf, size, "%s/ca.crt", a->mesh_ca);
    return buf;
}

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* What cannot be read leaves what was known as it is. */
static void read_bundle(struct weir_agent *a) {
    struct weir_sign *s = a->sign;
    char buf[4096], *text = NULL;
    const char *path = bundle_path(a, buf, sizeof(buf));
    struct stat now = { 0 };
    size_t len = 0;
    int r = stat(path, &now) < 0 ? -errno : 0;

    if (r == 0 && s->bundle && is_same(&now, &s->seen))
        return;
    if (r == 0)
        r = weir_file_read(path, PEM_MAX, &text, &len);
    if (r) {
        if (!s->why[0])
            weir_log(WEIR_LOG_ERROR, "trust_bundle_unread", "file=%s error=\"%s\"",
                     weir_log_quote(weir_slice_from_str(path)).s, strerror(-r));
        snprintf(s->why, sizeof(s->why), "%.120s: %s", path, strerror(-r));
        return;
    }
    s->why[0] = '\0';
    s->seen = now;
    if (s->bundle &&
        weir_slice_eq(weir_slice_make(s->bundle, s->n_bundle), weir_slice_make(text, len))) {
        weir_free(text);
        return;
    }
    weir_free(s->bundle);
    s->bundle = text;
    s->n_bundle = len;
    s->generation++;
    weir_log(WEIR_LOG_INFO, "trust_bundle", "file=%s bytes=%zu",
             weir_log_quote(weir_slice_from_str(path)).s, len);
}

/* ---- requests ---- */

void weir_sign_answer(struct weir_sign_request *q, const struct weir_sign_answer *answer) {
    struct weir_sign_figures *n = &q->agent->sign->n;

    if (answer->why)
        n->failed++;
    else
        n->issued++;
    weir_sign_forget(q);
    q->done(q, answer);
}

static void refuse(struct weir_sign_request *q, const char *why) {
    const struct weir_sign_answer no = { .why = why };

    q->agent->sign->n.refused++;
    weir_log(WEIR_LOG_WARN, "svid_refused", "identity=%s/%s why=%s", q->ns, q->account,
             weir_log_quote(weir_slice_from_str(why)).s);
    weir_sign_forget(q);
    q->done(q, &no);
}

int64_t weir_sign_lifetime_s(const struct weir_agent *a) {
    uint64_t us = a->params->svid_lifetime_us;

    return (int64_t)((us ? us : a->snapshot->agent.svid_lifetime_us) / SECOND);
}

/* The development CA, read each time: it may be another one. */
static void sign_here(struct weir_agent *a, struct weir_sign_request *q, struct weir_csr *csr) {
    const struct weir_ca_files ca = { a->mesh_ca, "ca.crt", "ca.key" };
    struct weir_sign_answer yes = { .bundle = weir_sign_bundle(a) };
    struct weir_pem leaf = { 0 };
    const char *why = NULL;
    int r = weir_ca_files_sign(&ca, csr, weir_sign_lifetime_s(a), &leaf, &why);

    if (r)
        yes.why = why;
    else
        yes.chain = weir_slice_from_str(leaf.cert);
    weir_sign_answer(q, &yes);
    weir_pem_deinit(&leaf);
}

/* It must be for the pod's identity, whatever it says itself. NULL = it is. */
static const char *check(const struct weir_agent *a, const struct weir_sign_request *q,
                         struct weir_csr **ret_csr) {
    const char *domain = a->snapshot->proxy.trust_domain, *why = NULL;
    int r = weir_csr_parse(q->csr, domain, ret_csr, &why);
    const struct weir_identity *id = r == 0 ? weir_csr_identity(*ret_csr) : NULL;

    if (r)
        return r < 0 ? "out of memory" : why;
    if (strcmp(id->ns, q->ns) != 0 || strcmp(id->account, q->account) != 0)
        return "the request is not for the identity of the pod it comes from";
    return NULL;
}

void weir_sign_ask(struct weir_agent *a, struct weir_sign_request *q) {
    struct weir_csr *csr = NULL;
    const char *why;

    if (q->asked)
        return;
    q->agent = a;
    if (!a->sign) {
        const struct weir_sign_answer none = { .why = "this agent has no signer" };

        q->done(q, &none);
        return;
    }
    q->asked = true;
    a->sign->n.asked++;
    weir_list_push_back(&a->sign->waiting, &q->link);
    if (a->sign->n.waiting++ >= WEIR_SIGN_REQUESTS) {
        refuse(q, "too many requests are under way on this node");
        return;
    }
    why = check(a, q, &csr);
    if (!why && !a->sign->bundle)
        why = "no trust bundle is known";
    if (why)
        refuse(q, why);
    else if (a->sign->kube)
        weir_sign_kube_ask(a->sign->kube, q);
    else
        sign_here(a, q, csr);
    weir_csr_free(csr);
}

void weir_sign_forget(struct weir_sign_request *q) {
    if (!q->asked)
        return;
    q->asked = false;
    q->agent->sign->n.waiting--;
    if (q->kube)
        weir_sign_kube_forget(q);
    weir_list_unlink(&q->link);
}

struct weir_sign_kube *weir_sign_kube_of(const struct weir_agent *a) {
    return a->sign->kube;
}

/* ---- life ---- */

int weir_sign_open(struct weir_agent *a) {
    int r = 0;

    if (!a->mesh_ca[0] && !a->signer[0])
        return 0;
    if (!a->mesh_ca[0] && (!a->kube || !a->trust_bundle[0])) {
        weir_log(WEIR_LOG_ERROR, "signer",
                 "signer=%s error=\"a signer of the cluster needs --kubernetes and a trust bundle "
                 "(--trust-bundle)\"",
                 a->signer);
        return -EINVAL;
    }
    a->sign = weir_calloc(1, sizeof(*a->sign));
    if (!a->sign)
        return -ENOMEM;
    weir_list_init(&a->sign->waiting);
    if (!a->mesh_ca[0])
        r = weir_sign_kube_new(a, &a->sign->kube);
    if (r == 0)
        read_bundle(a);
    return r;
}

void weir_sign_tick(struct weir_agent *a) {
    if (a->sign)
        read_bundle(a);
}

void weir_sign_close(struct weir_agent *a) {
    if (!a->sign)
        return;
    WEIR_LIST_FOREACH_SAFE (it, next, &a->sign->waiting)
        weir_sign_forget(WEIR_CONTAINER_OF(it, struct weir_sign_request, link));
    weir_sign_kube_free(a->sign->kube);
    weir_free(a->sign->bundle);
    a->sign = weir_free(a->sign);
}

/* ---- what it says of itself ---- */

struct weir_sign_figures weir_sign_figures(const struct weir_agent *a) {
    return a->sign ? a->sign->n : (struct weir_sign_figures){ 0 };
}

void weir_sign_status(const struct weir_agent *a, struct weir_textbuf *out) {
    if (!a->sign)
        return;
    weir_textbuf_name(out, "signer");
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_member(out, "from", a->mesh_ca[0] ? a->mesh_ca : a->signer);
    weir_textbuf_member(out, "trouble", a->sign->why);
    weir_textbuf_number(out, "bundle_generation", weir_sign_bundle_generation(a));
    weir_textbuf_number(out, "waiting", a->sign->n.waiting);
    weir_textbuf_number(out, "asked", a->sign->n.asked);
    weir_textbuf_number(out, "issued", a->sign->n.issued);
    weir_textbuf_number(out, "refused", a->sign->n.refused);
    weir_textbuf_number(out, "failed", a->sign->n.failed);
    weir_textbuf_add(out, "}", 1);
}
