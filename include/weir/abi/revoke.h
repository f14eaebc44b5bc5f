/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the walk over a namespace's sockets (bpf/revoke.bpf.c) writes for its reader: struct
 * weir_event records with one of two kinds of their own.
 */
#ifndef WEIR_ABI_REVOKE_H
#define WEIR_ABI_REVOKE_H

/* kind of a struct weir_event, beside those of flow.h */
#define WEIR_EVENT_REVOKE  5 /* no longer allowed: `reason` and `policy` say why */
#define WEIR_EVENT_SERVICE 6 /* never reported: allowed, its endpoint was picked for a service */

#endif
