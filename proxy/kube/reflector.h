/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One kind of object kept as the API server has it: list, then watch from there, again and again. Pure: it says what to ask
 * for and when, is told what came back, and puts it into the store; who carries the bytes and tells the time is the caller.
 *
 *   LIST   a page at a time; the last one sweeps what no page named   -> WATCH
 *   WATCH  from the last resourceVersion seen; its end, by time-out or accident -> WATCH; 410 Gone -> LIST
 *   any    404, or 403 of a kind that need not be there -> empty, asked again every 20 s
 *   any    another failure -> the same again, after a while that doubles to 30 s, by chance half of it more or less
 */
#ifndef WEIR_KUBE_REFLECTOR_H
#define WEIR_KUBE_REFLECTOR_H

#include "kube/split.h"
#include "kube/store.h"

#define WEIR_REFLECTOR_PATH 1024u /* bytes of a request target */

struct weir_reflector_spec {
    enum weir_kube_kind kind;
    uint8_t source;       /* tells reflectors of one kind apart in the store */
    bool own;             /* Pods of this node: more is kept */
    const char *selector; /* "fieldSelector=...", in URL encoding; "" = none */
    uint32_t watch_s;     /* how long one watch lasts */
    uint64_t random;      /* seed of its jitter */
};

enum weir_reflector_state { WEIR_REFLECTOR_LIST, WEIR_REFLECTOR_WATCH };

struct weir_reflector_counts {
    uint64_t lists, watches, events, bookmarks; /* begun, begun, taken, taken */
    uint64_t expired;                           /* 410 Gone */
    uint64_t failures;                          /* of any other kind */
    uint64_t refused;                           /* objects that could not be taken */
};

struct weir_reflector {
    struct weir_reflector_spec spec;
    struct weir_kube_store *store;
    enum weir_reflector_state state;
    struct weir_kube_split split;
    struct weir_reflector_counts counts;
    char *selector;
    char version[64]; /* resourceVersion to go on from */
    char *more;       /* continue token of the page asked for; NULL = the first */
    char *following;  /* the token this page gives */
    uint32_t seen;    /* mark of the list under way */
    uint32_t failed;  /* in a row */
    uint64_t due;     /* us: ask then */
    uint64_t deadline, begun;
    int status;        /* of the response under way; 0 = none yet */
    int gone;          /* outcome of a watch event: 410, or another code */
    uint32_t retry_s;  /* Retry-After */
    bool asking;       /* a request is under way */
    bool unpaged;      /* a token went stale: all at once */
    bool synced;       /* the store holds one whole list, or there is no such kind */
    bool absent;       /* there is no such kind, or it is not ours to see */
    bool unauthorised; /* the last answer was 401: new credentials, please */
    char why[160];     /* what is the matter; "" = nothing */
};

/* 0, -ENOMEM. The store is borrowed. */
int weir_reflector_init(struct weir_reflector *r, const struct weir_reflector_spec *spec,
                        struct weir_kube_store *store);
void weir_reflector_deinit(struct weir_reflector *r);
/* True: ask for this now (GET); the answer is expected by r->deadline. */
bool weir_reflector_next(struct weir_reflector *r, uint64_t now,
                         char path[static WEIR_REFLECTOR_PATH]);
/* The answer's head; retry_s: its Retry-After in seconds, 0 = none. */
void weir_reflector_head(struct weir_reflector *r, uint64_t now, int status, uint32_t retry_s);
/* 0; anything else: it makes no sense, close the connection and tell the end. */
int weir_reflector_body(struct weir_reflector *r, uint64_t now, struct weir_slice bytes);
/* The answer is over. broken: why it was cut short, NULL = it was whole. */
void weir_reflector_end(struct weir_reflector *r, uint64_t now, const char *broken);
/* It hears of changes as they happen. */
bool weir_reflector_current(const struct weir_reflector *r);

#endif
