/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of its own, one question at a time: the requests take turns. Each is created as an object and then looked
 * at again and again, later each time, until it is signed, refused, or too old. Nothing is deleted: the API server's own
 * collector removes requests that are done, and this agent may not.
 */
#include "node/sign_kube.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "kube/client.h"
#include "kube/resource.h"
#include "kube/signing.h"
#include "node/kube.h"
#include "node/state.h"
#include "sys/clock.h"

#define MS          1000ull
#define POLL_US     (100 * MS)
#define POLL_MAX_US (3000 * MS)
#define PATIENCE_US (25000 * MS) /* less than a proxy has */
#define ANSWER_US   (5000 * MS)
#define TURN_NS     (50 * 1000 * 1000)
#define BODY_MAX    65536u

struct weir_sign_kube_request {
    struct weir_list link;
    struct weir_sign_request *request;
    char *pem;
    char name[80]; /* of the object; "" = not created yet */
    uint64_t due, wait, deadline;
};

struct weir_sign_kube {
    struct weir_agent *agent;
    struct weir_kube_client *client;
    struct weir_agent_source timer;
    struct weir_list waiting;
    struct weir_sign_kube_request *current; /* asked about; NULL = nobody, or he has gone */
    bool asking;
    uint64_t asked;
    int status;
    char *body;
    size_t n_body;
};

static void tell(struct weir_sign_kube_request *q, const char *chain, const char *why) {
    struct weir_sign_request *request = q->request;
    const struct weir_sign_answer answer = { .why = why,
                                             .chain = weir_slice_from_str(chain),
                                             .bundle = weir_sign_bundle(request->agent) };

    weir_sign_answer(request, &answer); /* q is no more */
}

/* ---- asking ---- */

static void ask(struct weir_sign_kube *k, struct weir_sign_kube_request *q) {
    struct weir_kube_question question = { .method = "GET" };
    char path[256], *text = NULL;

    snprintf(path, sizeof(path), "%s%s%s", WEIR_KUBE_CSRS, q->name[0] ? "/" : "", q->name);
    question.path = path;
    if (!q->name[0]) {
        text = weir_kube_csr_new(k->agent->signer, weir_slice_from_str(q->pem),
                                 weir_sign_lifetime_s(k->agent));
        question.method = "POST";
        question.type = "application/json";
        question.content = weir_slice_from_str(text);
    }
    k->status = 0;
    k->n_body = 0;
    k->current = q;
    k->asking = true;
    k->asked = weir_clock_mono_us();
    q->wait = q->wait ? q->wait * 2 : POLL_US;
    q->wait = q->wait > POLL_MAX_US ? POLL_MAX_US : q->wait;
    q->due = k->asked + q->wait;
    if ((!q->name[0] && !text) || weir_kube_client_ask(k->client, &question)) {
        k->asking = false;
        k->current = NULL;
    }
    free(text);
}

static void turn(struct weir_sign_kube *k) {
    uint64_t now = weir_clock_mono_us();

    if (k->asking && now >= k->asked + ANSWER_US)
        weir_kube_client_cut(k->client, "no answer in time");
    WEIR_LIST_FOREACH_SAFE (it, next, &k->waiting) {
        struct weir_sign_kube_request *q =
            WEIR_CONTAINER_OF(it, struct weir_sign_kube_request, link);

        if (now >= q->deadline) {
            tell(q, "",
                 q->name[0] ? "the signer has not signed it in time"
                            : "the API server did not take the request");
        } else if (!k->asking && now >= q->due) {
            weir_list_unlink(&q->link); /* the others are next */
            weir_list_push_back(&k->waiting, &q->link);
            ask(k, q);
        }
    }
}

static void arm(struct weir_sign_kube *k, bool on) {
    const struct itimerspec every = { { 0, on ? TURN_NS : 0 }, { 0, on ? TURN_NS / 10 : 0 } };

    (void)timerfd_settime(k->timer.fd, 0, &every, NULL);
}

static void timer_ready(void *arg, uint32_t events) {
    struct weir_sign_kube *k = arg;
    uint64_t expirations;

    if (read(k->timer.fd, &expirations, sizeof(expirations)) != sizeof(expirations))
        return;
    turn(k);
    if (weir_list_empty(&k->waiting))
        arm(k, false);
    weir_agent_kube_turn(k->agent);
}

/* ---- answers ---- */

static void on_head(void *arg, int status, uint32_t retry_s) {
    ((struct weir_sign_kube *)arg)->status = status;
}

static int on_body(void *arg, struct weir_slice bytes) {
    struct weir_sign_kube *k = arg;

    if (k->n_body + bytes.len > BODY_MAX)
        return -EFBIG;
    memcpy(k->body + k->n_body, bytes.ptr, bytes.len);
    k->n_body += bytes.len;
    return 0;
}

static void on_object(struct weir_sign_kube_request *q, const json_t *object) {
    enum weir_kube_csr_state state = WEIR_KUBE_CSR_WAITS;
    WEIR_CLEANUP(weir_freep)
    char *text = NULL;

    snprintf(q->name, sizeof(q->name), "%s", weir_kube_text(object, "metadata", "name"));
    if (weir_kube_csr_read(object, &state, &text))
        return; /* looked at again */
    if (state == WEIR_KUBE_CSR_SIGNED)
        tell(q, text, NULL);
    else if (state == WEIR_KUBE_CSR_REFUSED)
        tell(q, "", text);
}

static void on_end(void *arg, const char *broken) {
    struct weir_sign_kube *k = arg;
    struct weir_sign_kube_request *q = k->current;
    char why[64];
    json_t *object;

    k->asking = false;
    k->current = NULL;
    if (!q || broken || k->status == 429 || k->status >= 500 || k->status == 401)
        return; /* the time of each request runs */
    if (k->status != 200 && k->status != 201) {
        snprintf(why, sizeof(why), "the API server answers %d", k->status);
        tell(q, "", why);
        return;
    }
    object = json_loadb(k->body, k->n_body, 0, NULL);
    if (object)
        on_object(q, object);
    json_decref(object);
}

/* ---- life ---- */

void weir_sign_kube_ask(struct weir_sign_kube *k, struct weir_sign_request *request) {
    struct weir_sign_kube_request *q = weir_calloc(1, sizeof(*q));
    const struct weir_sign_answer no = { .why = "out of memory" };

    if (q)
        q->pem = weir_strndup(request->csr.ptr, request->csr.len);
    if (!q || !q->pem) {
        weir_free(q);
        weir_sign_answer(request, &no);
        return;
    }
    q->request = request;
    q->deadline = weir_clock_mono_us() + PATIENCE_US;
    request->kube = q;
    weir_list_push_back(&k->waiting, &q->link);
    arm(k, true);
}

void weir_sign_kube_forget(struct weir_sign_request *request) {
    struct weir_sign_kube_request *q = request->kube;
    struct weir_sign_kube *k = weir_sign_kube_of(request->agent);

    if (k->current == q)
        k->current = NULL;
    request->kube = NULL;
    weir_list_unlink(&q->link);
    weir_free(q->pem);
    weir_free(q);
}

int weir_sign_kube_new(struct weir_agent *a, struct weir_sign_kube **ret_kube) {
    static const struct weir_kube_answer answer = { on_head, on_body, on_end };
    struct weir_sign_kube *k = weir_calloc(1, sizeof(*k));

    if (!k)
        return -ENOMEM;
    k->agent = a;
    weir_list_init(&k->waiting);
    k->timer =
        (struct weir_agent_source){ timer_ready, k,
                                    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK) };
    k->body = weir_malloc(BODY_MAX);
    k->client = weir_agent_kube_client(a, &answer, k);
    if (!k->body || !k->client || k->timer.fd < 0 || weir_agent_poll(a, &k->timer, EPOLLIN)) {
        weir_sign_kube_free(k);
        return -ENOMEM;
    }
    *ret_kube = k;
    return 0;
}

void weir_sign_kube_free(struct weir_sign_kube *k) {
    if (!k)
        return;
    weir_kube_client_free(k->client);
    weir_agent_unpoll(k->agent, &k->timer);
    weir_free(k->body);
    weir_free(k);
}
