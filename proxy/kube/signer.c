/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two connections: one follows (LIST, then WATCH from there, and again), one does what is next for the request at hand:
 *   PODS     is there such a pod on that node?         -> APPROVE or DENY
 *   APPROVE  the condition                             -> SIGN
 *   SIGN     the certificate, or the condition Failed  -> the next request
 * and between two requests the trust bundle: BUNDLE_READ, BUNDLE_WRITE. What the server did not take is tried again when the
 * object is seen anew: each list begins with all that is not done.
 */
#include "kube/signer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "io/dns.h"
#include "io/events.h"
#include "kube/ca_files.h"
#include "kube/lease.h"
#include "kube/resource.h"
#include "kube/split.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "tls/csr.h"

#define SECOND     1000000ull
#define ANSWER_US  (15 * SECOND)
#define RETRY_US   (2 * SECOND)
#define BUNDLE_US  (10 * SECOND)
#define REFRESH_US (30 * SECOND)
#define BODY_MAX   (4u * 1024u * 1024u)
#define QUEUE_MAX  4096u
#define WATCH_S    300u

enum doing { NOTHING, PODS, APPROVE, DENY, SIGN, BUNDLE_READ, BUNDLE_WRITE };

/* A request that waits, as it was seen last. */
struct item {
    struct weir_list link;
    json_t *object;
};

struct signer {
    const struct weir_kube_signer_params *params;
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    struct weir_dns *dns;
    struct weir_kube_access access;
    struct weir_kube_lease lease;
    struct weir_event *on_second, *on_term, *on_int;
    /* following */
    struct weir_kube_client *follower;
    struct weir_kube_split split;
    bool following, watching, split_open;
    int follow_status;
    uint64_t follow_due, followed_at;
    char version[64];
    struct weir_list queue;
    uint32_t n_queue;
    /* working */
    struct weir_kube_client *worker;
    enum doing doing;
    int status;
    char *body;
    size_t n_body, cap;
    uint64_t asked, rest_until, bundle_due, refresh_due;
    json_t *object; /* the request at hand */
    struct weir_kube_csr_asked about;
};

static void work(struct signer *s);
static void follow(struct signer *s, uint64_t now);

static uint64_t now_of(const struct signer *s) {
    struct weir_net *net = weir_loop_net(s->loop);

    return net->ops->now(net);
}

static const char *name_of(const json_t *object) {
    return weir_kube_text(object, "metadata", "name");
}

/* ---- what waits ---- */

static void item_free(struct signer *s, struct item *i) {
    weir_list_unlink(&i->link);
    json_decref(i->object);
    weir_free(i);
    s->n_queue--;
}

static void forget(struct signer *s, const char *name) {
    WEIR_LIST_FOREACH_SAFE (it, next, &s->queue) {
        struct item *i = WEIR_CONTAINER_OF(it, struct item, link);

        if (strcmp(name_of(i->object), name) == 0)
            item_free(s, i);
    }
}

static void forget_all(struct signer *s) {
    WEIR_LIST_FOREACH_SAFE (it, next, &s->queue)
        item_free(s, WEIR_CONTAINER_OF(it, struct item, link));
}

static void see(struct signer *s, json_t *object) {
    enum weir_kube_csr_state state = WEIR_KUBE_CSR_SIGNED;
    char *text = NULL;
    struct item *i;

    forget(s, name_of(object));
    (void)weir_kube_csr_read(object, &state, &text);
    weir_free(text);
    if (state != WEIR_KUBE_CSR_WAITS && state != WEIR_KUBE_CSR_APPROVED)
        return;
    if (s->object && strcmp(name_of(s->object), name_of(object)) == 0)
        return; /* it is being dealt with */
    i = s->n_queue < QUEUE_MAX ? weir_calloc(1, sizeof(*i)) : NULL;
    if (!i) {
        s->watching = false; /* seen again with the next list */
        return;
    }
    i->object = json_incref(object);
    /* Elements of a list do not say what they are. */
    (void)json_object_set_new(object, "apiVersion", json_string("certificates.k8s.io/v1"));
    (void)json_object_set_new(object, "kind", json_string("CertificateSigningRequest"));
    weir_list_push_back(&s->queue, &i->link);
    s->n_queue++;
}

/* ---- following ---- */

static void note_version(struct signer *s, const json_t *meta) {
    const char *version = weir_kube_text(meta, "resourceVersion", NULL);

    if (version[0])
        snprintf(s->version, sizeof(s->version), "%s", version);
}

static int on_value(void *arg, const char *key, struct weir_slice value) {
    struct signer *s = arg;
    json_t *v = json_loadb(value.ptr, value.len, JSON_DECODE_ANY, NULL);
    const char *type = weir_kube_text(v, "type", NULL);
    json_t *object = json_object_get(v, "object");
    int r = 0;

    if (!v)
        return -EBADMSG;
    if (!s->watching && strcmp(key, "items") == 0) {
        see(s, v);
    } else if (!s->watching && strcmp(key, "metadata") == 0) {
        note_version(s, v);
    } else if (s->watching && strcmp(type, "ERROR") == 0) {
        s->watching = false;
        r = -ESTALE;
    } else if (s->watching) {
        note_version(s, json_object_get(object, "metadata"));
        if (strcmp(type, "DELETED") == 0)
            forget(s, name_of(object));
        else if (strcmp(type, "BOOKMARK") != 0)
            see(s, object);
    }
    json_decref(v);
    return r;
}

static void follow_head(void *arg, int status, uint32_t retry_s) {
    ((struct signer *)arg)->follow_status = status;
}

static int follow_body(void *arg, struct weir_slice bytes) {
    struct signer *s = arg;
    int r = s->follow_status == 200 ? weir_kube_split_feed(&s->split, bytes) : 0;

    if (s->watching)
        work(s);
    return r;
}

static void follow_end(void *arg, const char *broken) {
    struct signer *s = arg;
    bool fine = !broken && s->follow_status == 200;

    if (s->split_open)
        weir_kube_split_deinit(&s->split);
    s->split_open = s->following = false;
    if (!fine && (!s->watching || s->follow_status != 200)) {
        weir_log(WEIR_LOG_WARN, "signer_follows_not", "status=%d why=\"%s\"", s->follow_status,
                 broken ? broken : "the API server refuses");
        s->watching = false;
        s->follow_due = now_of(s) + RETRY_US;
        return;
    }
    s->watching = s->version[0] != '\0' && fine;
    s->follow_due = now_of(s) + (fine ? 0 : RETRY_US);
    work(s);
    if (fine && weir_kube_lease_leads(&s->lease, now_of(s)))
        follow(s, now_of(s));
}

static void follow(struct signer *s, uint64_t now) {
    char path[1024], name[600], *to = name;
    const struct weir_kube_question question = { .method = "GET", .path = path };

    for (const char *c = s->params->policy.signer; *c && to < name + sizeof(name) - 4; c++)
        to += snprintf(to, 4, *c == '/' ? "%%2F" : "%c", *c);
    snprintf(path, sizeof(path), WEIR_KUBE_CSRS "?fieldSelector=spec.signerName%%3D%s", name);
    if (s->watching)
        snprintf(path + strlen(path), sizeof(path) - strlen(path),
                 "&watch=true&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%u",
                 s->version, WATCH_S);
    else
        forget_all(s);
    s->follow_status = 0;
    s->followed_at = now;
    weir_kube_split_init(&s->split, s->watching, on_value, s);
    s->split_open = true;
    s->following = weir_kube_client_ask(s->follower, &question) == 0;
    if (!s->following) {
        weir_kube_split_deinit(&s->split);
        s->split_open = false;
        s->follow_due = now + RETRY_US;
    }
}

/* ---- asking ---- */

static void ask(struct signer *s, enum doing doing, const char *method, const char *path,
                const char *content) {
    const struct weir_kube_question question = { .method = method,
                                                 .path = path,
                                                 .type = content ? "application/json" : NULL,
                                                 .content = weir_slice_from_str(content) };

    s->doing = doing;
    s->status = 0;
    s->n_body = 0;
    s->asked = now_of(s);
    if (weir_kube_client_ask(s->worker, &question)) {
        s->doing = NOTHING;
        s->rest_until = s->asked + RETRY_US;
    }
}

static void drop(struct signer *s) {
    s->about.csr = weir_csr_free(s->about.csr);
    json_decref(s->object);
    s->object = NULL;
}

/* Into the approval or the status of the request at hand. `text` is taken over. */
static void put(struct signer *s, enum doing doing, char *text) {
    char path[512];

    snprintf(path, sizeof(path), WEIR_KUBE_CSRS "/%s/%s", name_of(s->object),
             doing == SIGN ? "status" : "approval");
    if (text)
        ask(s, doing, "PUT", path, text);
    else
        drop(s);
    free(text);
}

static void deny(struct signer *s, const char *why) {
    weir_log(WEIR_LOG_WARN, "svid_denied", "request=%s by=%s why=\"%s\"", name_of(s->object),
             weir_log_quote(weir_slice_from_str(weir_kube_text(s->object, "spec", "username"))).s,
             why);
    put(s, DENY, weir_kube_csr_condition(s->object, "Denied", "WeirPolicy", why));
}

/* ---- signing ---- */

/* Of the Secret, as its mount has it. */
static struct weir_ca_files ca_of(const struct signer *s) {
    return (struct weir_ca_files){ s->params->ca_dir, "tls.crt", "tls.key" };
}

static void sign(struct signer *s) {
    const struct weir_identity *id = weir_csr_identity(s->about.csr);
    const struct weir_ca_files ca = ca_of(s);
    struct weir_pem leaf = { 0 };
    const char *why = "";
    int r = weir_ca_files_sign(&ca, s->about.csr, s->about.lifetime_s, &leaf, &why);

    if (r) {
        weir_log(WEIR_LOG_ERROR, "svid_not_signed", "request=%s identity=%s why=\"%s\"",
                 name_of(s->object), id->uri, why);
        put(s, SIGN, weir_kube_csr_condition(s->object, "Failed", "WeirSigner", why));
        return;
    }
    weir_log(WEIR_LOG_INFO, "svid_issued", "request=%s identity=%s node=%s lasts_s=%lld",
             name_of(s->object), id->uri, s->about.node, (long long)s->about.lifetime_s);
    put(s, SIGN, weir_kube_csr_signed(s->object, weir_slice_from_str(leaf.cert)));
    weir_pem_deinit(&leaf);
}

static void ask_pods(struct signer *s) {
    const struct weir_identity *id = weir_csr_identity(s->about.csr);
    char path[1200];

    /* Names of Kubernetes: letters, digits, '-' and '.', since a SPIFFE id holds no others but '_'. */
    snprintf(path, sizeof(path),
             "/api/v1/namespaces/%s/pods?fieldSelector=spec.nodeName%%3D%s%%2C"
             "spec.serviceAccountName%%3D%s&limit=50",
             id->ns, s->about.node, id->account);
    ask(s, PODS, "GET", path, NULL);
}

static bool plain_name(const char *name) {
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(name) && name[0];
}

/* The next request that waits. False: there is none. */
static bool take(struct signer *s) {
    struct item *i;
    const char *why = "";
    int r;

    if (weir_list_empty(&s->queue))
        return false;
    i = WEIR_CONTAINER_OF(s->queue.next, struct item, link);
    s->object = json_incref(i->object);
    item_free(s, i);
    r = weir_kube_csr_check(s->object, &s->params->policy, &s->about, &why);
    if (r == 0 && !plain_name(s->about.node)) {
        s->about.csr = weir_csr_free(s->about.csr);
        r = 1;
        why = "the node's name is none";
    }
    if (r < 0)
        drop(s);
    else if (r > 0)
        deny(s, why);
    else
        ask_pods(s);
    return true;
}

/* ---- the trust bundle ---- */

static int read_bundle(const struct signer *s, char **ret_text, size_t *ret_len) {
    const struct weir_ca_files ca = ca_of(s);
    int r = weir_ca_files_read(&ca, "ca.crt", ret_text, ret_len);

    return r == -ENOENT ? weir_ca_files_read(&ca, ca.cert, ret_text, ret_len) : r;
}

static void bundle_path(const struct signer *s, char *path, size_t size, bool named) {
    snprintf(path, size, "/api/v1/namespaces/%s/configmaps%s", s->lease.ns,
             named ? "/" WEIR_KUBE_SIGNER_BUNDLE : "");
}

/* old NULL: there is none yet. */
static void write_bundle(struct signer *s, const json_t *old) {
    const char *version = weir_kube_text(old, "metadata", "resourceVersion");
    char path[256], *text = NULL, *pem = NULL;
    size_t len = 0;
    json_t *map;

    if (read_bundle(s, &pem, &len)) {
        weir_log(WEIR_LOG_ERROR, "trust_bundle_unread", "dir=%s", s->params->ca_dir);
        return;
    }
    if (!old || strcmp(weir_kube_text(old, "data", "ca.crt"), pem) != 0) {
        map = json_pack("{s:s, s:s, s:{s:s, s:s, s:s*}, s:{s:s}}", "apiVersion", "v1", "kind",
                        "ConfigMap", "metadata", "name", WEIR_KUBE_SIGNER_BUNDLE, "namespace",
                        s->lease.ns, "resourceVersion", version[0] ? version : NULL, "data",
                        "ca.crt", pem);
        text = map ? json_dumps(map, JSON_COMPACT) : NULL;
        json_decref(map);
    }
    weir_free(pem);
    bundle_path(s, path, sizeof(path), old != NULL);
    if (text)
        ask(s, BUNDLE_WRITE, old ? "PUT" : "POST", path, text);
    free(text);
}

/* ---- answers ---- */

static void work_head(void *arg, int status, uint32_t retry_s) {
    ((struct signer *)arg)->status = status;
}

static int work_body(void *arg, struct weir_slice bytes) {
    struct signer *s = arg;
    size_t cap = s->cap ? s->cap : 16384;
    char *more;

    if (s->n_body + bytes.len > BODY_MAX)
        return -EFBIG;
    while (cap < s->n_body + bytes.len)
        cap *= 2;
    more = cap > s->cap ? weir_reallocarray(s->body, cap, 1) : s->body;
    if (!more)
        return -ENOMEM;
    s->body = more;
    s->cap = cap;
    memcpy(s->body + s->n_body, bytes.ptr, bytes.len);
    s->n_body += bytes.len;
    return 0;
}

static void on_pods(struct signer *s, const json_t *list) {
    const struct weir_identity *id = weir_csr_identity(s->about.csr);
    enum weir_kube_csr_state state = WEIR_KUBE_CSR_WAITS;
    char *text = NULL;

    if (!weir_kube_csr_has_pod(list, s->about.node, id->account)) {
        deny(s, "no Pod of that namespace and service account is bound to the node of who asks");
        return;
    }
    (void)weir_kube_csr_read(s->object, &state, &text);
    weir_free(text);
    if (state == WEIR_KUBE_CSR_APPROVED) /* by one before us, which did not come to signing */
        sign(s);
    else
        put(s, APPROVE,
            weir_kube_csr_condition(s->object, "Approved", "WeirPolicy",
                                    "a Pod of that identity is bound to the agent's node"));
}

/* A request whose answer is `document`. */
static void go_on(struct signer *s, enum doing doing, json_t *document) {
    if (doing == PODS) {
        on_pods(s, document);
    } else if (doing == APPROVE) {
        json_decref(s->object);
        s->object = json_incref(document);
        /* its strings were the old object's */
        s->about.node = json_string_value(
            json_array_get(weir_kube_get(document, "spec", "extra",
                                         "authentication.kubernetes.io/node-name", NULL),
                           0));
        if (s->about.node)
            sign(s);
        else
            drop(s);
    } else if (doing == BUNDLE_READ) {
        write_bundle(s, document);
    } else if (doing == BUNDLE_WRITE) {
        weir_log(WEIR_LOG_INFO, "trust_bundle", "configmap=%s/%s", s->lease.ns,
                 WEIR_KUBE_SIGNER_BUNDLE);
    } else {
        drop(s);
    }
}

static void work_end(void *arg, const char *broken) {
    struct signer *s = arg;
    enum doing doing = s->doing;
    bool fine = !broken && (s->status == 200 || s->status == 201);
    json_t *document = fine ? json_loadb(s->body, s->n_body, 0, NULL) : NULL;

    s->doing = NOTHING;
    if (doing == BUNDLE_READ && !broken && s->status == 404) {
        write_bundle(s, NULL);
    } else if (document) {
        go_on(s, doing, document);
    } else {
        weir_log(WEIR_LOG_WARN, "signer_failed", "doing=%d status=%d why=\"%s\"", (int)doing,
                 s->status, broken ? broken : "the API server refuses");
        if (doing < BUNDLE_READ) {
            drop(s);
            s->watching = s->status == 409 && s->watching; /* else it is listed again */
            if (!s->watching && s->following)
                weir_kube_client_cut(s->follower, "to list again");
        }
        s->rest_until = now_of(s) + (s->status == 409 ? 0 : RETRY_US);
    }
    json_decref(document);
    work(s);
}

static void work(struct signer *s) {
    uint64_t now = now_of(s);
    char path[256];

    while (s->doing == NOTHING && now >= s->rest_until && weir_kube_lease_leads(&s->lease, now)) {
        if (s->object)
            drop(s);
        if (now >= s->bundle_due) {
            s->bundle_due = now + BUNDLE_US;
            bundle_path(s, path, sizeof(path), true);
            ask(s, BUNDLE_READ, "GET", path, NULL);
        } else if (!take(s)) {
            return;
        }
    }
}

/* ---- life ---- */

static void on_second(void *arg) {
    struct signer *s = arg;
    uint64_t now = now_of(s);

    if (now >= s->refresh_due) {
        (void)weir_kube_access_refresh(&s->access);
        s->refresh_due = now + REFRESH_US;
    }
    weir_kube_lease_tick(&s->lease, now);
    if (!weir_kube_lease_leads(&s->lease, now)) {
        s->watching = false;
        if (s->following)
            weir_kube_client_cut(s->follower, "another one leads");
        forget_all(s);
        return;
    }
    if (s->doing != NOTHING && now >= s->asked + ANSWER_US)
        weir_kube_client_cut(s->worker, "no answer in time");
    if (s->following && now >= s->followed_at + (WATCH_S + 30) * SECOND)
        weir_kube_client_cut(s->follower, "no answer in time");
    if (!s->following && now >= s->follow_due)
        follow(s, now);
    work(s);
}

static void on_stop(void *arg) {
    struct signer *s = arg;

    s->on_second = weir_event_free(s->on_second);
    s->on_term = weir_event_free(s->on_term);
    s->on_int = weir_event_free(s->on_int);
    s->follower = weir_kube_client_free(s->follower);
    s->worker = weir_kube_client_free(s->worker);
    weir_kube_lease_deinit(&s->lease);
    s->dns = weir_dns_free(s->dns);
    weir_loop_stop(s->loop);
}

static int reach(struct signer *s) {
    const struct weir_dns_params dns = { .servers = "", .timeout_us = 2 * SECOND, .tries = 2 };
    int r = weir_kube_access_init(&s->access, s->params->kubeconfig);

    if (r == WEIR_KUBE_REFUSED)
        weir_log(WEIR_LOG_ERROR, "kubernetes_refused", "why=%s",
                 weir_log_quote(weir_slice_from_str(s->access.why)).s);
    return r || s->access.literal ? r : weir_dns_new(s->loop, &dns, &s->dns);
}

static int start(struct signer *s) {
    static const struct weir_kube_answer following = { follow_head, follow_body, follow_end };
    static const struct weir_kube_answer working = { work_head, work_body, work_end };
    struct weir_kube_lease_params lease = { .loop = s->loop,
                                            .access = &s->access,
                                            .name = WEIR_KUBE_SIGNER_LEASE,
                                            .member = s->params->member };
    int r = reach(s);

    if (r)
        return r;
    lease.dns = s->dns;
    lease.ns = weir_kube_access_namespace(&s->access);
    r = weir_kube_lease_init(&s->lease, &lease);
    s->follower = weir_kube_client_new(s->loop, s->dns, &s->access, &following, s);
    s->worker = weir_kube_client_new(s->loop, s->dns, &s->access, &working, s);
    if (r == 0 && (!s->follower || !s->worker))
        r = -ENOMEM;
    if (r == 0)
        r = weir_event_signal(s->loop, SIGTERM, on_stop, s, &s->on_term);
    if (r == 0)
        r = weir_event_signal(s->loop, SIGINT, on_stop, s, &s->on_int);
    return r ? r : weir_event_every(s->loop, SECOND, on_second, s, &s->on_second);
}

int weir_kube_signer_run(const struct weir_kube_signer_params *params) {
    static const struct weir_net_events no_events;
    struct signer s = { .params = params };
    int r;

    weir_list_init(&s.queue);
    weir_chunk_pool_init(&s.pool, 4);
    r = weir_loop_new(&s.pool, &s.loop);
    if (r == 0) {
        weir_loop_net(s.loop)->events = &no_events;
        weir_loop_net(s.loop)->arg = &s;
        r = start(&s);
    }
    if (r) {
        weir_log(WEIR_LOG_ERROR, "start", "error=\"%s\"", r < 0 ? strerror(-r) : "see above");
        return 1; /* the process ends here */
    }
    weir_log(WEIR_LOG_INFO, "signer", "name=%s trust_domain=%s requester=%s", params->policy.signer,
             params->policy.trust_domain, params->policy.requester);
    weir_loop_run(s.loop);
    weir_loop_free(s.loop);
    forget_all(&s);
    drop(&s);
    if (s.split_open)
        weir_kube_split_deinit(&s.split);
    weir_free(s.body);
    weir_kube_access_deinit(&s.access);
    weir_chunk_pool_deinit(&s.pool);
    return 0;
}
