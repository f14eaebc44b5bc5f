/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel half says of an accepted connection (struct weir_facts), asked of its socket. */
#ifndef WEIR_IO_FACTS_H
#define WEIR_IO_FACTS_H

#include <stdint.h>

/* As weir_stream_first. */
uint8_t weir_facts_first(int fd, uint8_t spoke);

#endif
