/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of fixed size over a unix seqpacket socket, with descriptors beside them: how the processes of a node speak. */
#ifndef WEIR_SYS_PACKET_H
#define WEIR_SYS_PACKET_H

#include <stddef.h>

#define WEIR_PACKET_FDS 32u /* in one packet */

/* One packet with n descriptors, which stay the caller's. 0 or -errno; -EAGAIN: the socket does not block and is full. */
int weir_packet_send(int fd, const void *packet, size_t size, const int *fds, unsigned n);
/*
 * Takes one packet of that size; its descriptors, at most *n, are the caller's, and *n is how many came. 0; -EPIPE at
 * the end of the stream; -EPROTO for one of another size or with more descriptors (none is left open); -errno.
 */
int weir_packet_receive(int fd, void *packet, size_t size, int *ret_fds, unsigned *n);

#endif
