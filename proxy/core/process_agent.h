/* SPDX-License-Identifier: Apache-2.0 */
/* Of `weir proxy --agent`: what the process's control thread has of the node's agent. Shared by the process's own files only. */
#ifndef WEIR_CORE_PROCESS_AGENT_H
#define WEIR_CORE_PROCESS_AGENT_H

#include "conf/snapshot.h"
#include "core/door.h"
#include "io/events.h"
#include "io/stream.h"
#include "sys/backoff.h"

struct weir_process;

struct weir_link {
    struct weir_process *process;
    const char *at; /* ADDR:PORT */
    struct weir_ip ip;
    uint16_t port;
    char pod[344];              /* "namespace/pod", once it was told */
    struct weir_stream *stream; /* NULL = not connected, nor about to be */
    struct weir_event *on_retry, *on_second;
    struct weir_door_reader in;
    struct weir_documents *held;   /* what came last, whole; NULL = nothing yet */
    struct weir_documents *coming; /* what is being received */
    struct weir_document_digest expected;
    uint32_t n_expected, n_old; /* documents in it; of the held ones, how many are dealt with */
    struct weir_backoff retry;
    uint64_t heard_us, told_us;
    bool fresh; /* held is not yet loaded */
    bool closed;
    struct {
        bool up;
        uint64_t connects, failures, snapshots, refused, bytes;
    } figures;
};

/* Until a snapshot is in force (runtime is set); when the threads run. 0, -errno; -ECANCELED: it is to end. */
int weir_link_begin(struct weir_process *p);
void weir_link_open(struct weir_process *p);
void weir_link_close(struct weir_link *l);
void weir_link_deinit(struct weir_link *l); /* after the loop */
/* Which pod this is. */
void weir_link_overlay(const struct weir_link *l, struct weir_snapshot *s);
void weir_link_said(struct weir_link *l, bool in_force);

#endif
