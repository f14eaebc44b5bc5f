/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One agent takes over from another that runs (docs/adr/0029): a DaemonSet's rollout starts the new Pod before it ends the
 * old one. The new one reads its configuration whole, then has the other hand over: that lets go of the pins, of the workers
 * and of its admin socket, and stands by. What is pinned decides throughout.
 */
#ifndef WEIR_NODE_SUCCESSION_H
#define WEIR_NODE_SUCCESSION_H

#include "base/err.h"

struct weir_agent;
struct weir_agent_client;

/*
 * Before the kernel half is opened: when an agent answers at the admin socket, waits until the configuration is known and our
 * helper is there, and has it hand over. Nobody there is no error. 0, or 1 when it was told to end meanwhile; -errno.
 */
int weir_agent_succeed(struct weir_agent *a);
/* The admin socket's "handover": lets go of everything, and answers beside a connection to its helper. */
void weir_agent_hand_over(struct weir_agent_client *c);
/* Once a second while another one has the pins: true, it is gone and they are free. */
bool weir_agent_standby(struct weir_agent *a);

#endif
