/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ClientHello on a Gateway's port: the name in it says which of the port's listeners is meant, hence which certificate is shown. It is
 * read before anything is answered, and goes on to the server with all that follows where TLS is passed through. What is no ClientHello, or asks for a name that nobody here has, is refused with an alert and counted.
 */
#ifndef WEIR_CORE_HELLO_H
#define WEIR_CORE_HELLO_H

#include "core/down.h"

/* Waits for it, from what is held on, at most limits.handshakeTimeout since c->since, the handshake included. */
void weir_hello_begin(struct weir_conn *c);
void weir_hello_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes);
/* The handshake with a listener for opaque bytes is done: to which server by the name that was asked for. */
void weir_hello_opened(struct weir_conn *c);

#endif
