/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy decision asked from user space, twice: the kernel's copy over the live maps, and this
 * process's copy (include/weir/abi/policy.h, compiled by the host compiler) over a mapset. They are
 * the same function; tests/bpf compares them over random policies and flows.
 */
#ifndef WEIR_KERN_EXPLAIN_H
#define WEIR_KERN_EXPLAIN_H

#include "kern/mapset.h"
#include "weir/abi/explain.h"

/* Fills the answer into *x. 0, -errno, -EINVAL when the program did not understand the question. */
int weir_kern_explain(struct weir_kern *k, struct weir_explain *x);
/* WEIR_EXPLAIN_VERDICT over the entries of a set, nothing else. */
void weir_mapset_verdict(const struct weir_mapset *set, struct weir_explain *x);

#endif
