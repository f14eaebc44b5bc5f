/* SPDX-License-Identifier: Apache-2.0 */
/* What a proxy must take out of a head before it forwards it (RFC 9110 7.6.1) and what it may not let pass. */
#ifndef WEIR_HTTP_HOP_H
#define WEIR_HTTP_HOP_H

#include "http/head.h"

/*
 * Drops hop-by-hop fields: Connection and those it nominates (never framing, Host or weir's identity fields),
 * Keep-Alive, Proxy-Connection, TE (other than trailers, kept as a flag), Transfer-Encoding, Upgrade unless
 * head->wants_upgrade and the protocol is not h2c, HTTP2-Settings and x-weir-h1 (http/carry.h) always.
 */
void weir_hop_strip(struct weir_head *head);
/*
 * Drops fields by which an outsider could claim an identity or an origin: x-forwarded-client-cert, x-forwarded-for,
 * forwarded, x-forwarded-host, x-forwarded-proto, x-envoy-*, l5d-*, x-weir-*, in every spelling ('_', '.' and the like
 * count as '-'). `keep_origin`: x-forwarded-for, -host, -proto and forwarded, spelt so, are left.
 */
void weir_hop_strip_identity(struct weir_head *head, bool keep_origin);
/*
 * For a head whose sender may say such things: drops those spelt with anything but '-' between the words. No proxy writes
 * them so, but servers that map names to variables (CGI, WSGI) read them as if it had.
 */
void weir_hop_strip_disguised(struct weir_head *head);
/*
 * May a field of that name come behind the content (RFC 9110 6.5.1)? No framing, routing, authentication, identity,
 * caching or content-* fields; '_' and the like count as '-'. Codecs leave the others out of cs->trailers.
 */
bool weir_trailer_allowed(struct weir_slice name);
/* Content_Length and the like: framing to a CGI-like server, an unknown field to everybody else. Refused in both versions. */
bool weir_hop_reads_as_framing(struct weir_slice name);
static inline bool weir_hop_imitates_framing(struct weir_slice name) {
    /* Most names are neither as long as content-length nor as transfer-encoding. */
    return (name.len == 14 || name.len == 17) && weir_hop_reads_as_framing(name);
}

#endif
