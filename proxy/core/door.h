/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sidecar (`weir proxy --agent`, docs/adr/0025) and the agent say to each other over one TCP connection inside the pod:
 * messages of 4 bytes length of what follows, 2 bytes kind, 2 bytes zero, and the content; numbers in network order. A
 * kind that is not known is passed over, so that either side may be the newer one.
 *
 * The sidecar begins with HELLO, the agent answers WELCOME and a snapshot: BEGIN, any number of KEEP, DROP and DOCUMENT, END;
 * and another one whenever its documents change. A snapshot is told as what is to be done to the list that the sidecar has.
 */
#ifndef WEIR_CORE_DOOR_H
#define WEIR_CORE_DOOR_H

#include "base/err.h"
#include "base/slice.h"
#include "core/documents.h"

#define WEIR_DOOR_PORT    15012u
#define WEIR_DOOR_VERSION 1u
#define WEIR_DOOR_HEADER  8u

enum weir_door_kind {
    /* the sidecar says */
    WEIR_DOOR_HELLO = 1, /* version 4; digests of what it has, 16 each */
    WEIR_DOOR_STATE,     /* digest of the snapshot 16; 1: in force, 0: refused, the log says why */
    WEIR_DOOR_PONG,      /* as the PING */
    WEIR_DOOR_CSR,       /* certificate request, PEM */
    /* the agent says */
    WEIR_DOOR_WELCOME = 16, /* version 4; "namespace/pod" */
    WEIR_DOOR_BEGIN,        /* documents 4; digest of the whole 16 */
    WEIR_DOOR_KEEP,         /* how many of the old ones come next, 4 */
    WEIR_DOOR_DROP,         /* how many of the old ones are left out, 4 */
    WEIR_DOOR_DOCUMENT,     /* the next one */
    WEIR_DOOR_END,          /* the old ones that remain are left out */
    WEIR_DOOR_PING,         /* anything, up to 8 */
    WEIR_DOOR_SVID,         /* certificate chain, then CAs, each with its length 4 before it, PEM */
    WEIR_DOOR_NO_SVID,      /* why not */
    WEIR_DOOR_TRUST,        /* CAs, PEM: they replace those before; the certificate stays */
    WEIR_DOOR_SIGNER,       /* before the first BEGIN: CSRs are answered */
};

/* Bytes of one message's content. */
#define WEIR_DOOR_DOCUMENT_MAX WEIR_DOCUMENT_BYTES
#define WEIR_DOOR_HELLO_MAX    (4u + WEIR_DOCUMENTS_MAX * 16u)
#define WEIR_DOOR_SVID_MAX     (256u * 1024u) /* of a TRUST as well */
#define WEIR_DOOR_SMALL_MAX    (16u * 1024u)  /* of all other kinds */

/* How long one side may be silent, and in between a message; the agent PINGs three times as often. */
#define WEIR_DOOR_SILENCE_US (30u * 1000000u)
#define WEIR_DOOR_HELLO_US   (10u * 1000000u)

void weir_door_u32(char *to, uint32_t value);
uint32_t weir_door_from_u32(const char *from);
/* The header of a message with a content of len bytes. */
void weir_door_header(char to[WEIR_DOOR_HEADER], enum weir_door_kind kind, size_t len);

/* Messages out of bytes as they come. Memory grows with what has come, not with what is announced. */
struct weir_door_reader {
    bool from_agent; /* who speaks */
    char *ptr;
    size_t len, cap;
};
void weir_door_reader_deinit(struct weir_door_reader *in);
/* fn is told of every message that is complete; what it returns but 0 ends the reading for good and is forwarded. 0,
 * -ENOMEM, -EPROTO: not this protocol, or a message that is too long. */
int weir_door_read(struct weir_door_reader *in, struct weir_slice bytes,
                   int (*fn)(void *arg, unsigned kind, struct weir_slice content), void *arg);

#endif
