/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster as a source of configuration: the API server is followed in the agent's own thread, what is in scope of this node
 * becomes documents for the same decoder as files, with the places of this node's Pods put in. An object that the decoder
 * refuses is left out alone; a policy is then replaced by one that denies more, never less.
 */
#ifndef WEIR_NODE_KUBE_H
#define WEIR_NODE_KUBE_H

#include "conf/snapshot.h"
#include "node/text.h"

struct weir_agent;
struct weir_event;
struct weir_pen;

/* Nothing without params->kubernetes. 0, -errno, or 1 when it was refused (logged). */
int weir_agent_kube_open(struct weir_agent *a);
/*
 * What is pinned may hold back everything of a pod that nobody has classified, and such a one is the agent's own after it was
 * deployed anew: before it asks the API server, its cgroup is put down as none of ours.
 */
void weir_agent_kube_admit_self(struct weir_agent *a);
void weir_agent_kube_close(struct weir_agent *a);
/* True: everything that is to be in force is known. Without a cluster always. */
bool weir_agent_kube_synced(const struct weir_agent *a);
/* Once a second, and when something about the places may have changed. */
void weir_agent_kube_tick(struct weir_agent *a);
/* A pod here called somebody. */
void weir_agent_kube_flow(struct weir_agent *a, const struct weir_event *event);
/*
 * The documents in scope, for one build: array on the heap (weir_free); the texts live until weir_agent_kube_built.
 * 0, -ENOMEM.
 */
int weir_agent_kube_sources(struct weir_agent *a, struct weir_source **ret_sources, size_t *ret_n);
/* Which objects the problems are about. True: they are left out from now on, try again. */
bool weir_agent_kube_blame(struct weir_agent *a, const struct weir_problems *problems);
void weir_agent_kube_built(struct weir_agent *a);
/* "kubernetes": {...} */
void weir_agent_kube_status(const struct weir_agent *a, struct weir_textbuf *out);
void weir_agent_kube_expose(const struct weir_agent *a, struct weir_pen *pen);
/* Why it is not as it should be; NULL = nothing is. */
const char *weir_agent_kube_unready(const struct weir_agent *a);

struct weir_kube_answer;
struct weir_kube_client;

/* Another connection to the same API server, within the same loop; freed before weir_agent_kube_close. NULL = no memory. */
struct weir_kube_client *weir_agent_kube_client(struct weir_agent *a,
                                                const struct weir_kube_answer *answer, void *arg);
/* Everything that is due there, now: not from within its callbacks. */
void weir_agent_kube_turn(struct weir_agent *a);

#endif
