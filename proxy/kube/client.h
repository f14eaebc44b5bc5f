/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1.1 connection to the API server, dialled when it is asked something and kept for the next question. One question
 * at a time; who wants two has two of them. It knows no retry: how it ended is told, what follows is the caller's.
 */
#ifndef WEIR_KUBE_CLIENT_H
#define WEIR_KUBE_CLIENT_H

#include "io/loop.h"
#include "kube/access.h"

struct weir_dns;
struct weir_kube_client;

/* What comes back. `end` may come from within weir_kube_client_ask, when nothing can be dialled. */
struct weir_kube_answer {
    void (*head)(void *arg, int status, uint32_t retry_s); /* Retry-After in seconds; 0 = none */
    /* Borrowed. Not 0: it makes no sense, the connection is closed and `end` follows. */
    int (*body)(void *arg, struct weir_slice bytes);
    /* broken: why it was cut short, static; NULL = it was whole. The next question may be asked from within. */
    void (*end)(void *arg, const char *broken);
};

struct weir_kube_question {
    const char *method, *path; /* path in URL encoding, with its query */
    const char *type;          /* of the content; NULL = no content */
    struct weir_slice content;
};

/* All is borrowed for its life. dns may be NULL when the access is by address. NULL = no memory. */
struct weir_kube_client *weir_kube_client_new(struct weir_loop *loop, struct weir_dns *dns,
                                              struct weir_kube_access *access,
                                              const struct weir_kube_answer *answer, void *arg);
/* 0; -EBUSY: one is under way; -ENOMEM. */
int weir_kube_client_ask(struct weir_kube_client *c, const struct weir_kube_question *question);
/* Closes the connection; a question under way ends with `why`. */
void weir_kube_client_cut(struct weir_kube_client *c, const char *why);
/* No callback follows. The memory goes with the loop's next turns. Takes NULL, returns NULL. */
struct weir_kube_client *weir_kube_client_free(struct weir_kube_client *c);

#endif
