/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agent and helper say to each other: one request, one reply, each one packet of fixed size,
 * with descriptors beside it. Both are the same file's code or of one release; another version is
 * refused. Nobody outside of this room includes it.
 */
#ifndef WEIR_HELPER_WIRE_H
#define WEIR_HELPER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WEIR_HELPER_VERSION 2u
#define WEIR_HELPER_FDS     2 /* with a request; a reply has as many as a packet may have */

enum weir_helper_verb {
    WEIR_HELPER_HELLO = 1,
    WEIR_HELPER_NETNS,
    WEIR_HELPER_WALK,
    WEIR_HELPER_DIAG,
    WEIR_HELPER_SOCKET,
    WEIR_HELPER_CANARY,
    WEIR_HELPER_CODE,
    WEIR_HELPER_LISTEN,
    WEIR_HELPER_TENANT,
    WEIR_HELPER_PLACE,
    WEIR_HELPER_RELEASE,
    WEIR_HELPER_SPAWN,
    WEIR_HELPER_STOP,
    WEIR_HELPER_PROBE,    /* port: the place in the file; count: 1 at the entry, 2 at the return */
    WEIR_HELPER_HANDOVER, /* value[0] records follow the reply (succession.c) */
    WEIR_HELPER_SUCCEED,  /* beside it, a connection to the helper that hands over */
    WEIR_HELPER_VERBS,
};

/* What a verb does not use is zero, the name's rest included. */
struct weir_helper_request {
    uint32_t version;
    uint32_t verb;
    uint32_t number; /* echoed */
    int32_t pid;
    int32_t family;
    int32_t type;
    uint32_t port;
    uint32_t count;
    char name[992];
};
_Static_assert(sizeof(struct weir_helper_request) == 1024, "wire");

struct weir_helper_reply {
    uint32_t version;
    uint32_t number;
    int32_t error;    /* 0 or -errno */
    uint32_t refused; /* 1: the request was not one of those that are done */
    uint64_t value[4];
};
_Static_assert(sizeof(struct weir_helper_reply) == 48, "wire");

#endif
