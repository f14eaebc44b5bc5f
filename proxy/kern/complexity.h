/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How hard each program is for this kernel's verifier: the instructions it went through until it was
 * satisfied (bpf_prog_info.verified_insns). It gives up at WEIR_VERIFIER_LIMIT, and a newer or older
 * one may need more for the same program: tests/bpf/complexity.tsv holds what was seen and how much
 * each may take.
 */
#ifndef WEIR_KERN_COMPLEXITY_H
#define WEIR_KERN_COMPLEXITY_H

#include <stdint.h>

#define WEIR_VERIFIER_LIMIT 1000000u

typedef void weir_complexity_fn(void *arg, const char *program, uint32_t instructions);
/* Loads every program that this kernel can have, tells of each and lets go of them. 0 or -errno: it
 * refuses one. */
int weir_kern_complexity(weir_complexity_fn *fn, void *arg);

#endif
