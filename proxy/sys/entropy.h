/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from the kernel, for seeds and identifiers. (Not named random.h: <sys/random.h> would find
 * it.) */
#ifndef WEIR_SYS_ENTROPY_H
#define WEIR_SYS_ENTROPY_H

#include <stddef.h>

/* Fills n bytes. 0 or -errno (then the buffer must not be used). */
int weir_random(void *buf, size_t n);

#endif
