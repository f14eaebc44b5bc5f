/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its response, from the first byte of its head to its access line. Born on a downstream connection, it
 * lives until the exchange there is over; the upstream exchange comes and goes underneath (attempts).
 */
#ifndef WEIR_CORE_TXN_H
#define WEIR_CORE_TXN_H

#include "core/down.h"
#include "http/codec.h"

#define WEIR_TXN_TRIES 3u /* attempts at most, the first included */

enum weir_txn_phase {
    WEIR_TXN_HEAD,  /* the request head is being read */
    WEIR_TXN_LEASE, /* routed; waiting for an upstream connection */
    WEIR_TXN_SENT,  /* request head queued upstream, no final response head yet */
    WEIR_TXN_RELAY, /* response head sent downstream, content moves */
    WEIR_TXN_LOCAL, /* a response of our own is (being) sent */
};

/* One direction of content: request (downstream -> upstream) or response. */
struct weir_flow_side {
    struct weir_list blocked; /* in the sink connection's list while the source is paused */
    bool is_request;
    uint64_t bytes;
    size_t uncredited; /* received, and the source not yet given credit for it */
    bool paused;       /* the source is held back */
    bool done;         /* complete: the end was passed on */
    /* How far source and sink had got when their time to make progress began, and when that was; 0 = it has not begun. */
    uint64_t received, received_at, sent, sent_at;
};

struct weir_txn {
    struct weir_list down_node; /* down->txns */
    struct weir_list up_node;   /* up->txns (also while waiting for it to open), or free list */
    struct weir_worker *worker;
    struct weir_epoch *epoch;
    struct weir_conn *down, *up;
    struct weir_cstream *down_cs, *up_cs;
    struct weir_arena arena;
    struct weir_chunk *req_chunk, *res_chunk;
    struct weir_head req, res;
    uint8_t phase;         /* enum weir_txn_phase */
    bool req_end;          /* the request is complete (received) */
    bool res_started;      /* a final response head was queued downstream */
    bool tunnel;           /* after 101 */
    bool left;             /* a tunnel the client is done with, the server not yet: no downstream */
    bool idempotent;       /* its method says that it may be repeated */
    bool fresh;            /* the next attempt must not use a pooled connection */
    bool is_mirror;        /* of another txn: no downstream, nobody waits for it (mirror.c) */
    bool identified;       /* the downstream peer is a verified mesh peer */
    bool marked;           /* an HTTP/1 request, sent on to a mesh peer over HTTP/2 */
    bool carried;          /* such a request, received from one */
    bool continued;        /* the client was told 100 Continue */
    bool made_key;         /* the Sec-WebSocket-Key is ours */
    struct weir_bufq held; /* request content before there is a connection to send it on */
    struct weir_flow_side out, in; /* request, response */
    const struct weir_parent *parent;
    struct weir_route_decision decision;
    const struct weir_backend_ref *backend; /* chosen among the rule's; NULL = none */
    struct weir_session_use *session;       /* session.c; NULL = the rule keeps none */
    const struct weir_filter *answer; /* the filter that answers instead of a backend, or NULL */
    const struct weir_cors *cors;     /* whose fields the answer gets, or NULL */
    struct weir_slice origin;         /* the Origin field, with cors */
    struct weir_slice asked_target, asked_authority; /* before a rewrite; ptr NULL = none */
    struct weir_list mirrors;                        /* copies under way (their down_node) */
    struct weir_cluster *cluster;
    struct weir_lb_endpoint *endpoint, *tried[WEIR_TXN_TRIES];
    struct weir_target *target;
    uint32_t attempts, retries; /* retries: those that the route asked for */
    uint64_t max_body;          /* bytes of request content */
    struct weir_bufq *kept;     /* request content so far, for another attempt; NULL = not kept */
    uint16_t status;
    struct weir_fault fault;
    const char *fault_detail;
    const struct weir_rbac_answer *judged; /* what AuthorizationPolicies said; NULL = nothing */
    struct weir_slice request_id;
    struct weir_deadline deadline;
    uint64_t request_due, backend_due, retry_due, head_due, waiting_due; /* or WEIR_NEVER */
    uint64_t tunnel_bytes; /* at the last look whether a tunnel is silent */
    uint64_t t_begin, t_sent, t_response, wall_begin;
    struct weir_ip up_ip;
    uint16_t up_port;
};

/* NULL = no memory. */
struct weir_txn *weir_txn_new(struct weir_conn *down, struct weir_cstream *cs);
/* A txn without a downstream, for mirror.c, which starts and frees it. NULL = no memory. */
struct weir_txn *weir_txn_new_detached(struct weir_worker *w, struct weir_epoch *epoch);
void weir_txn_free(struct weir_txn *t);
/* One of the worker's free ones (there must be one), its arena as it was left; and back to the heap. */
struct weir_txn *weir_txn_take_free(struct weir_worker *w);
void weir_txn_give_back(struct weir_txn *t);
/* The txn lets go of its upstream exchange, which is over or was never opened. */
struct weir_conn *weir_txn_detach(struct weir_txn *t);
/* Its target is that of t->cluster. */
void weir_txn_aim(struct weir_txn *t);
/* Picks an endpoint and asks for a connection to it; 0, -errno, enum weir_lease. */
int weir_txn_lease(struct weir_txn *t);
/* Downstream events. */
void weir_txn_request_head(struct weir_txn *t, struct weir_chunk *chunk);
void weir_txn_request_data(struct weir_txn *t, struct weir_chunk *chunk, struct weir_slice bytes);
void weir_txn_request_end(struct weir_txn *t);
/* The downstream exchange is over (complete when fault.kind is NONE): writes the access line and frees the txn. */
void weir_txn_finish(struct weir_txn *t, struct weir_fault fault);
/* Upstream events. */
void weir_txn_upstream_open(struct weir_txn *t);
void weir_txn_response_head(struct weir_txn *t, struct weir_chunk *chunk);
void weir_txn_response_data(struct weir_txn *t, struct weir_chunk *chunk, struct weir_slice bytes);
void weir_txn_response_end(struct weir_txn *t);
/* The upstream exchange is over and complete; its connection may serve another. */
void weir_txn_upstream_closed(struct weir_txn *t);
/* The upstream exchange ended early. `reused`: on a connection that had served before. */
void weir_txn_upstream_failed(struct weir_txn *t, struct weir_fault fault, bool reused);

/* Ends the upstream exchange, if any, from our side. */
void weir_txn_abort_upstream(struct weir_txn *t, struct weir_fault why);

/* decide.c: may this request pass, and where to: sets t->cluster. Returns the fault that says why not. */
struct weir_fault weir_txn_decide(struct weir_txn *t);
/* judge.c: the policies' part of it, inbound and at gateways. Kind NONE = it may pass. */
struct weir_fault weir_judge_txn(struct weir_txn *t);

/* mesh.c: HTTP/1 messages over the HTTP/2 between two weir proxies. All: 0, -errno. */
/* Sends the request head upstream, marked if that is a verified mesh peer. As send_head. */
int weir_mesh_send_request(struct weir_txn *t, bool end);
/* From a verified peer: restores what its mark says. Before anything is decided on the head. */
int weir_mesh_take_request(struct weir_txn *t);
/* Both before and behind weir_hop_strip, in this order. The first only does something when t->marked. */
int weir_mesh_take_response(struct weir_txn *t);
int weir_mesh_mark_response(struct weir_txn *t);
/* The whole response is queued: an HTTP/2 client need not send the rest of its request. May end the txn. */
void weir_txn_stop_upload(struct weir_txn *t);

/* reply.c: sends t->res with that content as an answer of our own; its body kind is set here. */
void weir_txn_reply_local(struct weir_txn *t, struct weir_slice body);
/* reply.c: answers with what the fault table says, or resets when a response has begun. */
void weir_txn_reply_fault(struct weir_txn *t, struct weir_fault fault, const char *detail);

/* fields.c: forwarding fields. 0 or -ENOMEM. */
int weir_fields_request(struct weir_txn *t);
int weir_fields_response(struct weir_txn *t);

/* access.c */
void weir_txn_log(struct weir_txn *t);
void weir_relay_log(struct weir_conn *down, struct weir_fault fault, const char *detail);

#endif
