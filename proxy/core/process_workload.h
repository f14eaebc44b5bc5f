/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of this process from a SPIFFE Workload API: FetchX509SVID, a call of gRPC over a unix socket that is answered for
 * as long as both live. Shared by the process's own files only; control thread.
 */
#ifndef WEIR_CORE_PROCESS_WORKLOAD_H
#define WEIR_CORE_PROCESS_WORKLOAD_H

struct weir_process;
struct weir_workload;

/* The path is borrowed. 0, -errno. */
int weir_workload_new(struct weir_process *p, const char *path,
                      struct weir_workload **ret_workload);
/* The identity is wanted (weir_svid_want): begins to ask when the loop runs, if it has not yet. 0, -errno. */
int weir_workload_ask(struct weir_workload *w);
/* Nothing of it is left in the loop once that ends. Takes NULL. */
void weir_workload_close(struct weir_workload *w);
/* After the loop. Takes NULL, returns NULL. */
struct weir_workload *weir_workload_free(struct weir_workload *w);

#endif
