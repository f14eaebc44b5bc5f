/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration door (docs/adr/0025): in each enrolled pod in sidecar mode the agent listens at port 15012 of loopback and tells
 * the sidecar, and nobody else of that pod, its configuration (core/door.h). The listeners belong to no process of the pod
 * (PARENT/weir-tenants/0/pPOD), so neither a sidecar nor an agent that starts anew closes one.
 */
#ifndef WEIR_NODE_DOOR_H
#define WEIR_NODE_DOOR_H

#include "core/door.h"
#include "node/sign.h"
#include "node/state.h"

#define WEIR_DOOR_CONNECTIONS 4u   /* of one pod: one more costs the oldest its place */
#define WEIR_DOOR_ACCEPTS     256u /* of one pod in a second; then it waits for the next */

struct weir_doors_figures {
    uint64_t open, connections; /* now */
    uint64_t accepted, refused, paused, broken, snapshots, snapshots_refused, sent;
};

struct weir_doors {
    struct weir_list doors;
    struct weir_doors_figures figures;
};

/* One pod's. */
struct weir_door {
    struct weir_list link;
    struct weir_agent *agent;
    char *name; /* "namespace/pod" */
    const struct weir_place_of_pod *place;
    uint64_t pod_cgroup, netns;
    char *cgroup; /* of its listeners */
    struct weir_agent_source listeners[2];
    unsigned n_listeners;
    struct weir_list connections;    /* the newest first */
    unsigned n_connections, accepts; /* accepts: in this second */
    uint64_t due_us, refused, told_us,
        untold;      /* of refusals: how many, when said last, since then */
    const char *why; /* nobody listens; NULL = nothing is wrong */
};

/* A sidecar that is connected: its socket is proven. */
struct weir_door_connection {
    struct weir_list link;
    struct weir_door *door;
    struct weir_agent_source source;
    struct weir_door_reader in;
    char *out;
    size_t out_len, out_cap, sent;
    bool greeted, busy,
        wants_room; /* busy: a snapshot is being told; wants_room: EPOLLOUT is asked for */
    struct weir_documents *has, *sending; /* what it has; what it is being told */
    struct weir_documents_diff diff;
    struct weir_document_digest in_force;
    struct weir_sign_request sign;
    uint64_t told_trust; /* generation of the bundle it has */
    unsigned csrs;       /* in this second */
    bool told_signer;
    bool said, refused; /* in_force is known; the last one was refused */
    uint64_t since_us, heard_us, moved_us, pinged_us;
};

/* door.c: opens and closes what the places ask for; once a second; when documents have changed; at the end. */
void weir_doors_look(struct weir_agent *a);
void weir_doors_tick(struct weir_agent *a);
void weir_doors_publish(struct weir_agent *a);
void weir_doors_close(struct weir_agent *a);
void weir_doors_status(const struct weir_agent *a, struct weir_textbuf *out);
struct weir_doors_figures weir_doors_figures(const struct weir_agent *a);

/* door_connection.c: takes the descriptor over. NULL = no memory; it is closed. */
struct weir_door_connection *weir_door_connect(struct weir_door *door, int fd);
void weir_door_disconnect(struct weir_door_connection *c);
/* Begins to tell it the documents in force unless it has them or hears others; it is told those next. */
void weir_door_publish(struct weir_door_connection *c);
/* Whose time is up is disconnected. */
void weir_door_tick(struct weir_door_connection *c, uint64_t now);

#endif
