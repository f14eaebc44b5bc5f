/* SPDX-License-Identifier: Apache-2.0 */
#include "core/svid.h"

#include <stdio.h>

#include "base/mem.h"
#include "sys/entropy.h"
#include "sys/log.h"
#include "tls/ca.h"
#include "tls/csr.h"

#define SECOND         1000000ull
#define ANSWER_US      (30 * SECOND)
#define BACKOFF_US     (1 * SECOND)
#define BACKOFF_MAX_US (60 * SECOND)

/* A key, its certificate and whom to trust. */
struct holding {
    struct weir_tls_key *key;
    char *chain, *bundle; /* PEM */
};

struct weir_svid {
    const struct weir_svid_ops *ops;
    void *arg;
    char *id, *trust_domain;
    char *given_id; /* of what is held, where it is given; NULL = nothing was */
    enum weir_svid_state state;
    struct holding held; /* of use only in HELD; before that, of a CA of its own */
    struct weir_tls_key
        *asking;            /* the key of the request; NULL = none is under way or to be repeated */
    bool asked;             /* and no answer yet */
    uint64_t deadline, due; /* us: of the answer; of the next request */
    uint64_t arrived_at, ends_at; /* us: of what is held */
    unsigned failures;            /* in a row */
    uint64_t n_asked, n_arrived, n_refused;
    char why[200];
};

static void drop(struct holding *h) {
    h->key = weir_tls_key_free(h->key);
    h->chain = weir_free(h->chain);
    h->bundle = weir_free(h->bundle);
}

int weir_svid_new(const struct weir_svid_ops *ops, void *arg, struct weir_svid **ret_svid) {
    struct weir_svid *s = weir_calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->ops = ops;
    s->arg = arg;
    *ret_svid = s;
    return 0;
}

struct weir_svid *weir_svid_free(struct weir_svid *s) {
    if (!s)
        return NULL;
    drop(&s->held);
    weir_tls_key_free(s->asking);
    weir_free(s->id);
    weir_free(s->given_id);
    weir_free(s->trust_domain);
    return weir_free(s);
}

/* us * least% ... us * most%, by chance. */
static uint64_t between(uint64_t us, unsigned least, unsigned most) {
    return weir_random_between(us / 100 * least, us / 100 * most);
}

/* us that what is held is good for. */
static uint64_t left(const struct weir_svid *s, uint64_t now) {
    return s->state == WEIR_SVID_HELD && s->ends_at > now ? s->ends_at - now : 0;
}

/* ---- asking ---- */

/* Later and later, but sooner when what is held ends soon. */
static void retry_later(struct weir_svid *s, uint64_t now) {
    uint64_t us = s->failures < 7 ? BACKOFF_US << s->failures : BACKOFF_MAX_US;
    uint64_t soon = left(s, now) / 8;

    us = us > BACKOFF_MAX_US ? BACKOFF_MAX_US : us;
    if (soon > 0 && soon < us)
        us = soon < BACKOFF_US ? BACKOFF_US : soon;
    s->failures++;
    s->due = now + between(us, 75, 125);
}

/* Counts it. How loudly it is to be said: an error from the last quarter of what is held on. */
static enum weir_log_level note(struct weir_svid *s, uint64_t now, struct weir_slice why) {
    s->n_refused++;
    snprintf(s->why, sizeof(s->why), "%.*s", (int)(why.len < 199 ? why.len : 199), why.ptr);
    return left(s, now) <= (s->ends_at - s->arrived_at) / 4 ? WEIR_LOG_ERROR : WEIR_LOG_WARN;
}

static void fail(struct weir_svid *s, uint64_t now, struct weir_slice why) {
    enum weir_log_level level = note(s, now, why);

    s->asked = false;
    retry_later(s, now);
    weir_log(level, "svid_not_issued", "identity=%s why=%s held_for_s=%llu retry_ms=%llu", s->id,
             weir_log_quote(why).s, (unsigned long long)(left(s, now) / SECOND),
             (unsigned long long)(s->due - now) / 1000);
}

static void ask(struct weir_svid *s, uint64_t now) {
    WEIR_CLEANUP(weir_freep)
    char *csr = NULL;
    int r = s->asking ? 0 : weir_tls_key_new(&s->asking);

    if (r == 0)
        r = weir_csr_new(s->asking, s->id, &csr);
    s->n_asked++;
    s->asked = true;
    s->deadline = now + ANSWER_US;
    if (r == 0)
        r = s->ops->ask(s->arg, weir_slice_from_str(csr));
    if (r)
        fail(s, now,
             r == -ENOMEM ? WEIR_SLICE("out of memory")
                          : WEIR_SLICE("there is no way to the agent"));
}

/* ---- what came ---- */

/* Would contexts of it work, and is it what was asked for? NULL = yes. *ret_end: seconds since the epoch. */
static const char *check(const struct weir_svid *s, const struct holding *h, const char *id,
                         uint64_t now, int64_t *ret_end) {
    struct weir_tls_params params = { .mode = WEIR_TLS_MESH_CLIENT,
                                      .trust_domain = s->trust_domain,
                                      .material = { .cert_chain = weir_slice_from_str(h->chain),
                                                    .ca = weir_slice_from_str(h->bundle),
                                                    .own_key = h->key } };
    struct weir_tls_ctx *ctx = NULL;
    const char *why = NULL;
    int r = weir_tls_ctx_new(&params, &ctx, &why);

    if (r)
        return r < 0 ? "out of memory" : why;
    *ret_end = weir_tls_ctx_not_after(ctx);
    if (strcmp(weir_tls_ctx_identity(ctx)->uri, id) != 0)
        why = "it is for another identity";
    else if (*ret_end <= (int64_t)(now / SECOND))
        why = "it has expired";
    weir_tls_ctx_unref(ctx);
    return why;
}

static int copy(struct holding *h, struct weir_slice chain, struct weir_slice bundle) {
    if (chain.len > WEIR_SVID_BUNDLE_MAX || bundle.len > WEIR_SVID_BUNDLE_MAX)
        return -EFBIG;
    h->chain = weir_strndup(chain.ptr, chain.len);
    h->bundle = weir_strndup(bundle.ptr, bundle.len);
    return h->chain && h->bundle ? 0 : -ENOMEM;
}

/* end: seconds since the epoch. */
static void hold(struct weir_svid *s, uint64_t now, const struct holding *fresh, int64_t end) {
    drop(&s->held);
    s->held = *fresh;
    s->why[0] = '\0';
    s->n_arrived++;
    s->state = WEIR_SVID_HELD;
    s->arrived_at = now;
    s->ends_at = (uint64_t)end * SECOND;
}

void weir_svid_arrived(struct weir_svid *s, uint64_t now, struct weir_slice chain,
                       struct weir_slice bundle) {
    struct holding fresh = { .key = s->asking };
    const char *why = "nothing was asked for";
    int64_t end = 0;
    int r = 0;

    if (!s->asked)
        return; /* of a request that was given up */
    r = copy(&fresh, chain, bundle);
    why = r ? strerror(-r) : check(s, &fresh, s->id, now, &end);
    if (why) {
        fresh.key = NULL; /* asked for again with it */
        drop(&fresh);
        fail(s, now, weir_slice_from_str(why));
        return;
    }
    hold(s, now, &fresh, end);
    s->asking = NULL;
    s->asked = false;
    s->failures = 0;
    s->due = now + between(s->ends_at - now, 45, 55);
    weir_log(WEIR_LOG_INFO, "svid", "identity=%s lasts_s=%llu renewed_in_s=%llu", s->id,
             (unsigned long long)((s->ends_at - now) / SECOND),
             (unsigned long long)((s->due - now) / SECOND));
    s->ops->changed(s->arg);
}

const char *weir_svid_given(struct weir_svid *s, uint64_t now,
                            const struct weir_svid_given *given) {
    struct holding fresh = { .key = given->key };
    char *id = weir_strndup(given->id.ptr, given->id.len);
    const char *why;
    int64_t end = 0;
    int r = id ? copy(&fresh, given->chain, given->bundle) : -ENOMEM;

    why = r ? strerror(-r) : check(s, &fresh, id, now, &end);
    if (why) {
        weir_free(id);
        drop(&fresh);
        return why;
    }
    weir_free(s->given_id);
    s->given_id = id;
    hold(s, now, &fresh, end);
    weir_log(WEIR_LOG_INFO, "svid", "identity=%s lasts_s=%llu", id,
             (unsigned long long)((s->ends_at - now) / SECOND));
    s->ops->changed(s->arg);
    return NULL;
}

void weir_svid_bundle(struct weir_svid *s, uint64_t now, struct weir_slice bundle) {
    struct holding fresh = { .key = s->held.key };
    const char *why;
    int64_t end;
    int r;

    if (s->state != WEIR_SVID_HELD || weir_slice_eq(weir_slice_from_str(s->held.bundle), bundle))
        return;
    r = copy(&fresh, weir_slice_from_str(s->held.chain), bundle);
    why = r ? strerror(-r) : check(s, &fresh, s->id, now, &end);
    fresh.key = NULL;
    if (why) {
        weir_log(WEIR_LOG_ERROR, "trust_bundle_kept", "identity=%s why=\"%s\"", s->id, why);
        drop(&fresh);
        return;
    }
    weir_free(fresh.chain);
    weir_free(s->held.bundle);
    s->held.bundle = fresh.bundle;
    weir_log(WEIR_LOG_INFO, "trust_bundle", "identity=%s bytes=%zu", s->id, bundle.len);
    s->ops->changed(s->arg);
}

void weir_svid_refused(struct weir_svid *s, uint64_t now, struct weir_slice why) {
    if (s->asked)
        fail(s, now, why);
    else if (!s->ops->ask)
        weir_log(note(s, now, why), "svid_not_received", "why=%s held_for_s=%llu",
                 weir_log_quote(why).s, (unsigned long long)(left(s, now) / SECOND));
}

/* ---- time ---- */

void weir_svid_tick(struct weir_svid *s, uint64_t now) {
    if (!s->id)
        return;
    if (s->state == WEIR_SVID_HELD && now >= s->ends_at) {
        s->state = WEIR_SVID_EXPIRED;
        weir_log(WEIR_LOG_ERROR, "svid_expired", "identity=%s why=%s effect=\"mTLS fails\"",
                 s->given_id ? s->given_id : s->id, weir_log_quote(weir_slice_from_str(s->why)).s);
        s->ops->changed(s->arg);
    }
    if (!s->ops->ask)
        return;
    if (s->asked && now >= s->deadline)
        fail(s, now, WEIR_SLICE("no answer in time"));
    if (!s->asked && now >= s->due)
        ask(s, now);
}

void weir_svid_connected(struct weir_svid *s, uint64_t now) {
    bool waiting = s->asked || s->failures > 0;

    s->asked = false;
    s->failures = 0;
    if (waiting || s->state != WEIR_SVID_HELD)
        s->due = now;
    weir_svid_tick(s, now);
}

/* ---- wanting ---- */

/* Material of a CA that nobody trusts, so that there are contexts, which will be stopped. */
static int hold_nothing(struct weir_svid *s, uint64_t now) {
    struct weir_ca_request req = { .spiffe_id = s->id,
                                   .now = (int64_t)(now / SECOND),
                                   .lifetime = 3600 };
    struct weir_pem ca = { 0 }, leaf = { 0 };
    struct holding none = { 0 };
    const char *why;
    WEIR_CLEANUP(weir_freep)
    char *text = NULL;
    struct weir_csr *csr = NULL;
    int r = weir_tls_key_new(&none.key);

    if (r == 0)
        r = weir_csr_new(none.key, s->id, &text);
    if (r == 0)
        r = weir_csr_parse(weir_slice_from_str(text), s->trust_domain, &csr, &why);
    if (r == 0)
        r = weir_ca_new(s->trust_domain, req.now, req.lifetime, &ca, &why);
    req.csr = csr;
    req.ca_cert = weir_slice_from_str(ca.cert);
    req.ca_key = weir_slice_from_str(ca.key);
    if (r == 0)
        r = weir_ca_issue(&req, &leaf, &why);
    if (r == 0)
        r = copy(&none, weir_slice_from_str(leaf.cert), req.ca_cert);
    weir_csr_free(csr);
    weir_pem_deinit(&ca);
    weir_pem_deinit(&leaf);
    if (r) {
        drop(&none);
        return r > 0 ? -EINVAL : r;
    }
    drop(&s->held);
    s->held = none;
    s->state = WEIR_SVID_NONE;
    s->ends_at = 0;
    return 0;
}

/* Of an id with a path. */
static int trust_domain_of(const char *spiffe_id, char **ret_domain) {
    WEIR_CLEANUP(weir_freep)
    struct weir_identity *id = NULL;
    int r = weir_identity_new(weir_slice_from_str(spiffe_id), &id);

    if (r)
        return r;
    *ret_domain = weir_strndup(id->trust_domain, strlen(id->trust_domain));
    return *ret_domain ? 0 : -ENOMEM;
}

int weir_svid_want(struct weir_svid *s, uint64_t now, const char *spiffe_id) {
    char *id, *domain = NULL;
    int r;

    if (s->id && strcmp(s->id, spiffe_id) == 0)
        return 0;
    r = trust_domain_of(spiffe_id, &domain);
    id = r == 0 ? weir_strndup(spiffe_id, strlen(spiffe_id)) : NULL;
    if (!id) {
        weir_free(domain);
        return r ? r : -ENOMEM;
    }
    weir_free(s->id);
    s->given_id = weir_free(s->given_id);
    weir_free(s->trust_domain);
    s->id = id;
    s->trust_domain = domain;
    s->asking = weir_tls_key_free(s->asking);
    s->asked = false;
    s->failures = 0;
    s->due = now;
    r = hold_nothing(s, now);
    if (r == 0)
        weir_svid_tick(s, now);
    return r;
}

/* ---- looking ---- */

struct weir_svid_view weir_svid_view(const struct weir_svid *s) {
    return (struct weir_svid_view){ .state = s->state,
                                    .identity = s->given_id ? s->given_id
                                                : s->id     ? s->id
                                                            : "",
                                    .not_after_s = (int64_t)(s->ends_at / SECOND),
                                    .asked = s->n_asked,
                                    .arrived = s->n_arrived,
                                    .refused = s->n_refused,
                                    .why = s->why };
}

struct weir_tls_material weir_svid_material(const struct weir_svid *s) {
    return (struct weir_tls_material){ .cert_chain = weir_slice_from_str(s->held.chain),
                                       .ca = weir_slice_from_str(s->held.bundle),
                                       .own_key = s->held.key };
}
