/* SPDX-License-Identifier: Apache-2.0 */
/* The differential fuzz of the policy matcher. */
#ifndef WEIR_TEST_BPF_FUZZ_H
#define WEIR_TEST_BPF_FUZZ_H

#include "kern/kern.h"

#define WEIR_FUZZ_DIFFERENT 100

/* 0 when both copies agreed on every flow, WEIR_FUZZ_DIFFERENT, or -errno. ret_verdicts: flows by
 * WEIR_VERDICT_*, added. */
int weir_fuzz_run(struct weir_kern *k, uint64_t seed, uint32_t rounds, uint32_t ret_verdicts[4]);

#endif
