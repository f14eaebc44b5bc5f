/* SPDX-License-Identifier: Apache-2.0 */
/* The whole proxy of one worker over memory streams with a fake clock: configuration text in, bytes in, bytes out. */
#ifndef WEIR_TEST_FLOW_H
#define WEIR_TEST_FLOW_H

#include "core/worker.h"
#include "memnet.h"

#define FLOW_TO_MAX 4u

struct h2_peer;
struct tls_peer;

struct flow_options {
    enum weir_direction dir;
    const char *yaml;
    enum weir_scheme scheme; /* reverse: of the servers */
    unsigned n_to;           /* reverse: servers 10.0.0.1, 10.0.0.2, ...; 0 = one */
    const char *sni;         /* reverse, https; NULL = "server", or with `host` that */
    const char *host;        /* a name all servers are known by; its addresses: flow_address */
    const struct weir_tls_set *tls; /* taken over; NULL = no TLS */
};

struct flow {
    struct flow_options options;
    struct mem_net *net;
    struct weir_quota quota;
    struct weir_worker worker;
    struct weir_listener listener;
    struct weir_bufq lines;  /* access lines */
    struct weir_tls_set tls; /* given to each runtime; the flow owns one reference of each */
    struct weir_to to[FLOW_TO_MAX];
    char hosts[FLOW_TO_MAX][24];
    struct weir_ip addresses[8]; /* of options.host */
    uint32_t n_addresses;
    struct h2_peer *peers;      /* h2peer.c: run with the flow, freed by flow_end */
    struct tls_peer *tls_peers; /* tlspeer.c: likewise */
    uint64_t generation;
};

void flow_open(struct flow *f, const struct flow_options *options);
/* One more address of options.host, from the next reload on. */
void flow_address(struct flow *f, const char *text);
/* A reverse proxy to http://10.0.0.1:80; `yaml` may hold a Proxy document with limits, "" = defaults. */
void flow_reverse(struct flow *f, const char *yaml);
/* Any configuration; connections come in on a listener of that direction. */
void flow_start(struct flow *f, enum weir_direction dir, const char *yaml);
/* The same with TLS contexts, whose references are taken over; other ones in f->tls count from the next reload. */
void flow_start_tls(struct flow *f, enum weir_direction dir, const char *yaml,
                    const struct weir_tls_set *tls);
/* Offers a new configuration (and what f->options say by now); fails the test when it is refused. */
void flow_reload(struct flow *f, const char *yaml);
/* A runtime as flow_reload offers it, for tests that offer it themselves. */
struct weir_runtime *flow_runtime(struct flow *f, const char *yaml);
/* Stops everything; fails the test when something is left. */
void flow_end(struct flow *f);

/* Until nothing moves, HTTP/2 peers included. */
void flow_run(struct flow *f);
/* flow_run before, between and after the ticks of that time. */
void flow_wait(struct flow *f, uint64_t us);

struct mem_conn *flow_client(struct flow *f);
/* Runs, then takes and accepts the next dial; fails the test when there is none. */
struct mem_conn *flow_server(struct flow *f);
/* Sends and runs. */
void flow_send(struct flow *f, struct mem_conn *c, const char *text);
uint64_t flow_count(struct flow *f, enum weir_counter c);
uint64_t flow_faults(struct flow *f, struct weir_fault fault);
/* The access lines so far, NUL-terminated, valid until the next call. */
const char *flow_lines(struct flow *f);

/* Fails with both texts when `received` does not begin with or hold `text`. */
void flow_expect_starts(struct mem_conn *c, const char *text);
void flow_expect_holds(struct mem_conn *c, const char *text);
void flow_expect_lacks(struct mem_conn *c, const char *text);
void flow_expect_text(const char *got, const char *holds);

#endif
