/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake of WebSocket over HTTP/1 (RFC 6455 4), for a proxy whose other side speaks HTTP/2, which has none (RFC 8441 5). */
#ifndef WEIR_HTTP_WEBSOCKET_H
#define WEIR_HTTP_WEBSOCKET_H

#include "base/slice.h"

#define WEIR_WEBSOCKET_KEY_LEN    24u
#define WEIR_WEBSOCKET_ACCEPT_LEN 28u

/* Sec-WebSocket-Key from 16 random bytes. Not terminated. */
void weir_websocket_key(const uint8_t random[16], char ret_key[WEIR_WEBSOCKET_KEY_LEN]);
/* The Sec-WebSocket-Accept that answers a key. Not terminated. */
void weir_websocket_accept(struct weir_slice key, char ret_accept[WEIR_WEBSOCKET_ACCEPT_LEN]);

#endif
