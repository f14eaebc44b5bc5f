/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from the kernel, for seeds and identifiers. (Not named random.h: <sys/random.h> would find
 * it.) */
#ifndef WEIR_SYS_ENTROPY_H
#define WEIR_SYS_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

/* Fills n bytes. 0 or -errno (then the buffer must not be used). */
int weir_random(void *buf, size_t n);
/* One of least..most, both included, by chance: to be out of step with others, nothing that must not be guessed. least when the kernel
 * gives nothing. */
uint64_t weir_random_between(uint64_t least, uint64_t most);

#endif
