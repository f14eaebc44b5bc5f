/* SPDX-License-Identifier: Apache-2.0 */
/* What a TLS client says first and openly: the name it asks for and the protocols it offers. Pure: bytes in, answer out. */
#ifndef WEIR_HTTP_CLIENT_HELLO_H
#define WEIR_HTTP_CLIENT_HELLO_H

#include "base/slice.h"

/* A longer one is refused, however it is cut into records. */
#define WEIR_CLIENT_HELLO_MAX 16384u

struct weir_client_hello {
    struct weir_slice sni;  /* empty = none */
    struct weir_slice alpn; /* the ProtocolNameList's bytes: length-prefixed names; empty = none */
};

/*
 * Reads SNI and ALPN of a ClientHello (RFC 8446 4.1.2) from a connection's first bytes. `join` has room for WEIR_CLIENT_HELLO_MAX
 * bytes, used when the message comes in several records; the slices point into it or into `bytes`. 0 = done, -EAGAIN = more bytes are
 * needed, -EINVAL = not a ClientHello, or one that cannot be relied on (a name twice, lengths that do not fit).
 */
int weir_client_hello_parse(struct weir_slice bytes, char *join,
                            struct weir_client_hello *ret_hello);
/* True when the ALPN list holds that name. */
bool weir_client_hello_offers(const struct weir_client_hello *hello, struct weir_slice name);

#endif
