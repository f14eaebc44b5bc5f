/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of a TLS connection of a flow, played with the engine of tls/: a client or a server that speaks HTTP/1 as text. */
#ifndef WEIR_TEST_TLSPEER_H
#define WEIR_TEST_TLSPEER_H

#include "flow.h"
#include "tls/tls.h"

struct tls_peer;

/* Over a connection of the flow. The context stays the caller's. `name`: as weir_tls_new's sni, or expect for a mesh client. */
struct tls_peer *tls_over(struct flow *f, struct mem_conn *c, struct weir_tls_ctx *ctx,
                          const char *name);
/* Encrypted in records of at most `record` bytes and queued; before the handshake is done, kept until then. */
void tls_send(struct tls_peer *p, const void *bytes, size_t n, size_t record);
void tls_say(struct tls_peer *p, const char *text);
/* close_notify and FIN. */
void tls_shutdown(struct tls_peer *p);
/* What was received, NUL-terminated. */
const char *tls_text(struct tls_peer *p);
size_t tls_len(struct tls_peer *p);
bool tls_established(struct tls_peer *p);
/* Neither reads nor answers. */
void tls_hold(struct tls_peer *p, bool hold);

bool tls_pump_all(struct flow *f);
void tls_free_all(struct flow *f);

#endif
