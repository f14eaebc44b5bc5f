/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sidecars with real mesh TLS between them: what the caller's sidecar dials arrives at the server's, byte by byte. The
 * test plays the application at either end.
 */
#ifndef WEIR_TEST_PAIR_H
#define WEIR_TEST_PAIR_H

#include "flow.h"

#define PAIR_LINKS 16u

struct pair {
    struct flow out, in; /* the caller's sidecar (pod web), the server's (pod v1) */
    char out_yaml[8192], in_yaml[8192];
    struct {
        struct mem_conn *a, *b; /* out's upstream, in's downstream */
        bool a_eof, b_eof;
        size_t n; /* bytes on the wire */
    } links[PAIR_LINKS];
    uint32_t n_links;
    const char *needle; /* looked for on the wire */
    bool found;
};

/* Documents besides Pods web (10.1.0.1) and v1 (10.1.0.2), Service api (10.96.0.10:80 -> v1:8080) and the Proxy; `port`
 * is the ports entry of the Service: "{name: http, port: 80}". */
void pair_start(struct pair *p, const char *port, const char *more);
/* The same, but web and v1 hold SVIDs of other service accounts than theirs. */
void pair_start_as(struct pair *p, const char *port, const char *more, const char *web,
                   const char *v1);
void pair_end(struct pair *p);
/* Until nothing moves on either side. */
void pair_run(struct pair *p);
/* Moves both clocks. */
void pair_advance(struct pair *p, uint64_t us);
/* web's application connects to 10.96.0.10:80. */
struct mem_conn *pair_client(struct pair *p);
/* v1's application gets a connection; fails the test when there is none. */
struct mem_conn *pair_server(struct pair *p);
void pair_send(struct pair *p, struct mem_conn *c, const char *text);

#endif
