/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lint: size each struct with its offsets asserted */
/*
 * HTTP/1 telemetry without a proxy (docs/adr/0018): what the kernel says of one exchange, and the
 * reader that finds it in the bytes of a connection, compiled by clang for the kernel and by the host
 * compiler for its tests. The reader copies the method, the path (no query, no host) and the status,
 * and nothing else; it never looks at header fields or bodies.
 */
#ifndef WEIR_ABI_HTTP_H
#define WEIR_ABI_HTTP_H

#include "weir/abi/types.h"

/* Index into weir_http_count. All but SEEN: what could not be told. Append only; names for people:
 * weir_http_reason_name() in proxy/kern. */
enum weir_http_reason {
    WEIR_HTTP_SEEN,      /* exchanges told */
    WEIR_HTTP_LATE,      /* a connection that was there before it was watched: its first exchange */
    WEIR_HTTP_GAP,       /* a segment came out of order, or two at once */
    WEIR_HTTP_NO_HEAD,   /* the client sent something else where a request could begin */
    WEIR_HTTP_NO_STATUS, /* the server answered something else than a status line */
    WEIR_HTTP_PIPELINED, /* an answer to a request that was sent behind another */
    WEIR_HTTP_NOT_HTTP1, /* a connection of another protocol, HTTP/2 too: not looked at again */
    WEIR_HTTP_ENCRYPTED, /* a connection that begins with a TLS record: the same */
    WEIR_HTTP_RING_FULL, /* a record that the ring did not take */
    WEIR_HTTP_NO_ROOM,   /* a connection that a map or socket storage did not take */
    WEIR_HTTP_NO_ADDRESS, /* TLS: told without addresses, OpenSSL did not read a socket itself */
    WEIR_HTTP_UNREADABLE, /* TLS: the buffer of the call could not be read */
    WEIR_HTTP_REASON_COUNT_,
};
#define WEIR_HTTP_REASON_SLOTS 16u

#define WEIR_HTTP_LOOK   256u /* bytes looked at, of one segment and of one request line */
#define WEIR_HTTP_METHOD 16u
#define WEIR_HTTP_PATH   128u

/* What is known of one connection's ends; all zero: nothing. */
struct weir_http_flow {
    __u64 cookie; /* socket */
    struct weir_addr local, remote;
    struct weir_addr original; /* what the application asked for; equal to remote when unchanged */
    __u16 local_port, remote_port, original_port;
    __u8 direction; /* WEIR_EGRESS: the local side is the client */
    __u8 pad;
    __u32 pod; /* the local pod */
    __u32 identity;
    __u32 peer_identity; /* 0 = unidentified */
    __u32 service;       /* 0 = none */
};
WEIR_ABI_SIZE(weir_http_flow, 80);
WEIR_ABI_AT(weir_http_flow, cookie, 0);
WEIR_ABI_AT(weir_http_flow, local, 8);
WEIR_ABI_AT(weir_http_flow, remote, 24);
WEIR_ABI_AT(weir_http_flow, original, 40);
WEIR_ABI_AT(weir_http_flow, local_port, 56);
WEIR_ABI_AT(weir_http_flow, remote_port, 58);
WEIR_ABI_AT(weir_http_flow, original_port, 60);
WEIR_ABI_AT(weir_http_flow, direction, 62);
WEIR_ABI_AT(weir_http_flow, pad, 63);
WEIR_ABI_AT(weir_http_flow, pod, 64);
WEIR_ABI_AT(weir_http_flow, identity, 68);
WEIR_ABI_AT(weir_http_flow, peer_identity, 72);
WEIR_ABI_AT(weir_http_flow, service, 76);

/* What was read of one exchange. */
struct weir_http_exchange {
    __u64 began_ns;    /* first byte of the request, CLOCK_MONOTONIC */
    __u64 answered_ns; /* first byte of the final status line; without an answer: the end */
    __u16 status;      /* 0 = the connection ended without an answer */
    __u8 version;      /* minor, of the request */
    __u8 flags;        /* WEIR_HTTP_IS_* */
    __u8 n_method, n_path;
    __u8 pad[2];
    char method[WEIR_HTTP_METHOD]; /* no NUL */
    char path[WEIR_HTTP_PATH];     /* no NUL */
};
#define WEIR_HTTP_IS_CUT   1u /* the path is longer than what is here */
#define WEIR_HTTP_IS_QUERY 2u /* there was a query: left out */
#define WEIR_HTTP_IS_TLS   4u /* read at OpenSSL, in the application */
WEIR_ABI_SIZE(weir_http_exchange, 168);
WEIR_ABI_AT(weir_http_exchange, began_ns, 0);
WEIR_ABI_AT(weir_http_exchange, answered_ns, 8);
WEIR_ABI_AT(weir_http_exchange, status, 16);
WEIR_ABI_AT(weir_http_exchange, version, 18);
WEIR_ABI_AT(weir_http_exchange, flags, 19);
WEIR_ABI_AT(weir_http_exchange, n_method, 20);
WEIR_ABI_AT(weir_http_exchange, n_path, 21);
WEIR_ABI_AT(weir_http_exchange, pad, 22);
WEIR_ABI_AT(weir_http_exchange, method, 24);
WEIR_ABI_AT(weir_http_exchange, path, 40);

/* One record of weir_http_events: RINGBUF. */
struct weir_http_event {
    struct weir_http_flow flow;
    struct weir_http_exchange exchange;
};
WEIR_ABI_SIZE(weir_http_event, 248);
WEIR_ABI_AT(weir_http_event, flow, 0);
WEIR_ABI_AT(weir_http_event, exchange, 80);

/* weir_http_conn: SK_STORAGE, and within weir_tls_conn: kernel only. */
struct weir_http_conn {
    struct weir_http_exchange x;
    __u32 next[2]; /* TCP sequence number awaited: of the client's bytes, of the server's */
    __u32 busy;    /* taken by whoever reads */
    __u16 n_line;  /* bytes of the line looked at */
    __u8 phase;    /* WEIR_HTTP_* below */
    __u8 step;     /* within the line */
    __u8 awaits;   /* bits: next[] is known */
    __u8 proven;   /* it has spoken HTTP/1 */
    __u8 pad[6];
};
WEIR_ABI_SIZE(weir_http_conn, 192);
WEIR_ABI_AT(weir_http_conn, x, 0);
WEIR_ABI_AT(weir_http_conn, next, 168);
WEIR_ABI_AT(weir_http_conn, busy, 176);
WEIR_ABI_AT(weir_http_conn, n_line, 180);
WEIR_ABI_AT(weir_http_conn, phase, 182);
WEIR_ABI_AT(weir_http_conn, step, 183);
WEIR_ABI_AT(weir_http_conn, awaits, 184);
WEIR_ABI_AT(weir_http_conn, proven, 185);
WEIR_ABI_AT(weir_http_conn, pad, 186);

/* weir_tls_call: LRU, kernel. Key: __u64 thread (bpf_get_current_pid_tgid). The call of OpenSSL it is in. */
struct weir_tls_call {
    __u64 ssl;       /* SSL *, in the application */
    __u64 buffer;    /* what is read into or written from */
    __u64 ret_count; /* of the _ex calls: where they put how much it was */
    __u32 kind;      /* WEIR_TLS_*: the cookie of the probe */
    __u32 pod;
};
#define WEIR_TLS_READ      1u
#define WEIR_TLS_WRITE     2u
#define WEIR_TLS_READ_EX   3u
#define WEIR_TLS_WRITE_EX  4u
#define WEIR_TLS_HANDSHAKE 5u
#define WEIR_TLS_FREE      6u
WEIR_ABI_SIZE(weir_tls_call, 32);
WEIR_ABI_AT(weir_tls_call, ssl, 0);
WEIR_ABI_AT(weir_tls_call, buffer, 8);
WEIR_ABI_AT(weir_tls_call, ret_count, 16);
WEIR_ABI_AT(weir_tls_call, kind, 24);
WEIR_ABI_AT(weir_tls_call, pod, 28);

/* weir_tls_conn: LRU, kernel. One SSL object of one process. */
struct weir_tls_key {
    __u64 ssl;
    __u32 process;
    __u32 pad;
};
struct weir_tls_conn {
    struct weir_http_conn http;
    struct weir_http_flow flow; /* cookie 0: its socket is not known */
    __u32 directed;             /* flow.direction is known */
    __u32 pad;
};
WEIR_ABI_SIZE(weir_tls_key, 16);
WEIR_ABI_AT(weir_tls_key, ssl, 0);
WEIR_ABI_AT(weir_tls_key, process, 8);
WEIR_ABI_AT(weir_tls_key, pad, 12);
WEIR_ABI_SIZE(weir_tls_conn, 280);
WEIR_ABI_AT(weir_tls_conn, http, 0);
WEIR_ABI_AT(weir_tls_conn, flow, 192);
WEIR_ABI_AT(weir_tls_conn, directed, 272);
WEIR_ABI_AT(weir_tls_conn, pad, 276);

/*
 * Where a connection stands. A request begins with the first bytes of the client after some of the
 * server: ends of bodies are not looked for.
 *            client sends              server sends
 * NEW        -> REQUEST                -> DEAF
 * REQUEST    line whole -> ASKED       -> STATUS, the path is cut
 * ASKED      (its body)                -> STATUS
 * STATUS     (its body)                1xx -> INTERIM, else told -> ANSWERED
 * INTERIM    (its body)                end of that head -> STATUS
 * ANSWERED   -> REQUEST                (its body)
 * LOST       (unknown)                 -> ANSWERED
 * DEAF       never looked at again: another protocol, or an upgrade
 */
#define WEIR_HTTP_NEW      0u
#define WEIR_HTTP_REQUEST  1u
#define WEIR_HTTP_ASKED    2u
#define WEIR_HTTP_STATUS   3u
#define WEIR_HTTP_INTERIM  4u
#define WEIR_HTTP_ANSWERED 5u
#define WEIR_HTTP_LOST     6u
#define WEIR_HTTP_DEAF     7u

/* Steps of a request line. */
#define WEIR_HTTP_IN_METHOD  0u
#define WEIR_HTTP_IN_SCHEME  1u /* to 3: slashes before the path of http://host/path */
#define WEIR_HTTP_IN_PATH    4u
#define WEIR_HTTP_IN_QUERY   5u
#define WEIR_HTTP_IN_VERSION 6u /* and as many more as characters of it were read */

/* What a byte came to. */
#define WEIR_HTTP_GO_ON 0
#define WEIR_HTTP_DONE  1  /* nothing more is wanted of this segment */
#define WEIR_HTTP_TELL  2  /* an exchange to tell is in conn->x, and nothing more is wanted */
#define WEIR_HTTP_MISS  16 /* and up: WEIR_HTTP_MISS + enum weir_http_reason, to be counted */

#define WEIR_HTTP_INLINE static inline __attribute__((always_inline, unused))

/* What the compiler may know of a number it forgets: the verifier wants the mask behind it. */
#define WEIR_HTTP_OPAQUE(n) asm volatile("" : "+r"(n))

/* The i-th byte of "HTTP/1."; 0 beyond. */
WEIR_HTTP_INLINE char weir_http_name(__u32 i) {
    const __u64 text = 0x2e312f50545448ull; /* first byte lowest */

    return i < 7 ? (char)(text >> (8 * i)) : 0;
}

/* Not what was awaited: another protocol, unless it has spoken HTTP/1 before. After something of the server's a request may begin. */
WEIR_HTTP_INLINE int weir_http_fail(struct weir_http_conn *c, __u32 reason) {
    if (c->proven) {
        c->phase = c->phase == WEIR_HTTP_STATUS ? WEIR_HTTP_ANSWERED : WEIR_HTTP_LOST;
        return WEIR_HTTP_MISS + reason;
    }
    c->phase = WEIR_HTTP_DEAF;
    return WEIR_HTTP_MISS + WEIR_HTTP_NOT_HTTP1;
}

WEIR_HTTP_INLINE int weir_http_asked(struct weir_http_conn *c) {
    c->phase = WEIR_HTTP_ASKED;
    return WEIR_HTTP_DONE;
}

/* RFC 9110, 5.6.2: what a method may consist of; the rare marks are left out. */
WEIR_HTTP_INLINE int weir_http_is_method(__u8 b) {
    return (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') || b == '-' ||
           b == '_';
}

WEIR_HTTP_INLINE int weir_http_method_byte(struct weir_http_conn *c, __u8 b) {
    __u32 n = c->x.n_method;

    /* RFC 9112, 2.2: an empty line before a request is skipped. */
    if (n == 0 && (b == '\r' || b == '\n')) {
        c->n_line = 0;
        return WEIR_HTTP_GO_ON;
    }
    if (b == ' ' && n > 0) {
        c->step = WEIR_HTTP_IN_SCHEME;
        return WEIR_HTTP_GO_ON;
    }
    if (!weir_http_is_method(b) || n >= WEIR_HTTP_METHOD) {
        if (c->n_line == 1 && b == 0x16 && !c->proven) {
            c->phase = WEIR_HTTP_DEAF;
            return WEIR_HTTP_MISS + WEIR_HTTP_ENCRYPTED;
        }
        return weir_http_fail(c, WEIR_HTTP_NO_HEAD);
    }
    WEIR_HTTP_OPAQUE(n);
    c->x.method[n & (WEIR_HTTP_METHOD - 1)] = (char)b;
    c->x.n_method = (__u8)(n + 1);
    return WEIR_HTTP_GO_ON;
}

WEIR_HTTP_INLINE void weir_http_path_add(struct weir_http_conn *c, __u8 b) {
    __u32 n = c->x.n_path;

    if (n >= WEIR_HTTP_PATH) {
        c->x.flags |= WEIR_HTTP_IS_CUT;
        return;
    }
    WEIR_HTTP_OPAQUE(n);
    c->x.path[n & (WEIR_HTTP_PATH - 1)] = (char)b;
    c->x.n_path = (__u8)(n + 1);
}

/* Of http://user@host/path only /path is kept, of CONNECT host:443 nothing. */
WEIR_HTTP_INLINE int weir_http_target_byte(struct weir_http_conn *c, __u8 b) {
    if (b == ' ') {
        c->step = WEIR_HTTP_IN_VERSION;
        return WEIR_HTTP_GO_ON;
    }
    if (b < 0x21 || b == 0x7f)
        return weir_http_fail(c, WEIR_HTTP_NO_HEAD);
    if (c->step == WEIR_HTTP_IN_QUERY)
        return WEIR_HTTP_GO_ON;
    if (b == '?' || b == '#') {
        c->step = WEIR_HTTP_IN_QUERY;
        c->x.flags |= WEIR_HTTP_IS_QUERY;
        return WEIR_HTTP_GO_ON;
    }
    if (c->step != WEIR_HTTP_IN_PATH) {
        int first = c->n_line == c->x.n_method + 2u;

        if ((b == '/' && (first || c->step == WEIR_HTTP_IN_PATH - 1)) || (b == '*' && first))
            c->step = WEIR_HTTP_IN_PATH;
        else if (b == '/')
            c->step++;
    }
    if (c->step == WEIR_HTTP_IN_PATH)
        weir_http_path_add(c, b);
    return WEIR_HTTP_GO_ON;
}

WEIR_HTTP_INLINE int weir_http_request_byte(struct weir_http_conn *c, __u8 b) {
    __u32 at;

    if (c->n_line >= WEIR_HTTP_LOOK && c->step != WEIR_HTTP_IN_METHOD) {
        c->x.flags |= c->step < WEIR_HTTP_IN_QUERY ? WEIR_HTTP_IS_CUT : 0;
        return weir_http_asked(c);
    }
    c->n_line++;
    if (c->step == WEIR_HTTP_IN_METHOD)
        return weir_http_method_byte(c, b);
    if (c->step < WEIR_HTTP_IN_VERSION)
        return weir_http_target_byte(c, b);
    at = c->step - WEIR_HTTP_IN_VERSION;
    if (at < 7) {
        c->step++;
        return b == weir_http_name(at) ? WEIR_HTTP_GO_ON : weir_http_fail(c, WEIR_HTTP_NO_HEAD);
    }
    if (b < '0' || b > '9')
        return weir_http_fail(c, WEIR_HTTP_NO_HEAD);
    c->x.version = b - '0';
    return weir_http_asked(c);
}

/* CONNECT: what follows a 2xx is a tunnel. Another method of that length is no loss. */
WEIR_HTTP_INLINE int weir_http_is_tunnel(const struct weir_http_exchange *x) {
    return x->status == 101 || (x->status / 100 == 2 && x->n_method == 7 && x->method[0] == 'C' &&
                                x->method[1] == 'O' && x->method[3] == 'N');
}

WEIR_HTTP_INLINE int weir_http_status_whole(struct weir_http_conn *c) {
    c->proven = 1;
    c->step = 0;
    if (c->x.status / 100 == 1 && c->x.status != 101) {
        c->phase = WEIR_HTTP_INTERIM;
        return WEIR_HTTP_GO_ON;
    }
    c->phase = weir_http_is_tunnel(&c->x) ? WEIR_HTTP_DEAF : WEIR_HTTP_ANSWERED;
    return WEIR_HTTP_TELL;
}

/* "HTTP/1.1 200": the step is the place in it. */
WEIR_HTTP_INLINE int weir_http_status_byte(struct weir_http_conn *c, __u8 b) {
    __u32 at = c->step++;

    if (at == 0)
        c->x.status = 0;
    if (at < 7)
        return b == weir_http_name(at) ? WEIR_HTTP_GO_ON : weir_http_fail(c, WEIR_HTTP_NO_STATUS);
    if (at == 8)
        return b == ' ' ? WEIR_HTTP_GO_ON : weir_http_fail(c, WEIR_HTTP_NO_STATUS);
    if (b < '0' || b > '9' || (at == 9 && b == '0'))
        return weir_http_fail(c, WEIR_HTTP_NO_STATUS);
    if (at == 7)
        return WEIR_HTTP_GO_ON;
    c->x.status = (__u16)(c->x.status * 10 + (b - '0'));
    return at < 11 ? WEIR_HTTP_GO_ON : weir_http_status_whole(c);
}

/* Up to the empty line behind a 1xx: the step is 1 after a line's end. */
WEIR_HTTP_INLINE int weir_http_interim_byte(struct weir_http_conn *c, __u8 b) {
    if (b == '\n' && c->step == 1) {
        c->phase = WEIR_HTTP_STATUS;
        c->step = 0;
    } else if (b == '\n') {
        c->step = 1;
    } else if (b != '\r') {
        c->step = 0;
    }
    return WEIR_HTTP_GO_ON;
}

/*
 * Bytes are about to be fed, of the client or the server; at is their time. GO_ON: feed them, from the
 * first one on; anything else: none of them, and what it came to.
 */
WEIR_HTTP_INLINE int weir_http_begin(struct weir_http_conn *c, int from_server, __u64 at) {
    if (!from_server) {
        if (c->phase == WEIR_HTTP_NEW || c->phase == WEIR_HTTP_ANSWERED) {
            c->x.began_ns = at;
            c->x.answered_ns = 0;
            c->x.status = 0;
            c->x.flags &= WEIR_HTTP_IS_TLS;
            c->x.n_method = c->x.n_path = 0;
            c->n_line = 0;
            c->step = WEIR_HTTP_IN_METHOD;
            c->phase = WEIR_HTTP_REQUEST;
        }
        return c->phase == WEIR_HTTP_REQUEST ? WEIR_HTTP_GO_ON : WEIR_HTTP_DONE;
    }
    if (c->phase == WEIR_HTTP_NEW)
        return weir_http_fail(c, WEIR_HTTP_NO_HEAD);
    if (c->phase == WEIR_HTTP_LOST)
        c->phase = WEIR_HTTP_ANSWERED;
    if (c->phase == WEIR_HTTP_REQUEST) {
        c->phase = WEIR_HTTP_STATUS;
        if (c->step == WEIR_HTTP_IN_METHOD)
            return weir_http_fail(c, WEIR_HTTP_NO_HEAD);
        c->x.flags |= WEIR_HTTP_IS_CUT;
        c->phase = WEIR_HTTP_ASKED;
    }
    if (c->phase == WEIR_HTTP_ASKED) {
        c->phase = WEIR_HTTP_STATUS;
        c->step = 0;
    }
    if (c->phase == WEIR_HTTP_STATUS && c->step == 0)
        c->x.answered_ns = at;
    return c->phase == WEIR_HTTP_STATUS || c->phase == WEIR_HTTP_INTERIM ? WEIR_HTTP_GO_ON
                                                                         : WEIR_HTTP_DONE;
}

/* One byte, after a begin that said GO_ON. */
WEIR_HTTP_INLINE int weir_http_byte(struct weir_http_conn *c, __u8 b) {
    if (c->phase == WEIR_HTTP_REQUEST)
        return weir_http_request_byte(c, b);
    if (c->phase == WEIR_HTTP_STATUS)
        return weir_http_status_byte(c, b);
    return c->phase == WEIR_HTTP_INTERIM ? weir_http_interim_byte(c, b) : WEIR_HTTP_DONE;
}

/* The bytes fed were not all of their segment, and each said GO_ON. */
WEIR_HTTP_INLINE int weir_http_rest(struct weir_http_conn *c) {
    if (c->phase == WEIR_HTTP_REQUEST && c->step != WEIR_HTTP_IN_METHOD) {
        c->x.flags |= c->step < WEIR_HTTP_IN_QUERY ? WEIR_HTTP_IS_CUT : 0;
        return weir_http_asked(c);
    }
    if (c->phase == WEIR_HTTP_REQUEST)
        return weir_http_fail(c, WEIR_HTTP_NO_HEAD);
    c->phase = WEIR_HTTP_ANSWERED;
    return WEIR_HTTP_MISS + WEIR_HTTP_NO_STATUS;
}

/* Bytes were missed. */
WEIR_HTTP_INLINE int weir_http_gap(struct weir_http_conn *c, int from_server) {
    __u8 phase = c->phase;

    if (phase == WEIR_HTTP_DEAF || phase == WEIR_HTTP_LOST)
        return WEIR_HTTP_DONE;
    if (from_server) {
        if (phase == WEIR_HTTP_ANSWERED)
            return WEIR_HTTP_DONE;
        c->phase = WEIR_HTTP_ANSWERED;
    } else {
        if (phase != WEIR_HTTP_NEW && phase != WEIR_HTTP_REQUEST && phase != WEIR_HTTP_ANSWERED)
            return WEIR_HTTP_DONE;
        c->phase = WEIR_HTTP_LOST;
    }
    c->proven = 1; /* what comes next may be anything */
    return WEIR_HTTP_MISS + WEIR_HTTP_GAP;
}

/* The connection ends. TELL: a request that got no answer. */
WEIR_HTTP_INLINE int weir_http_end(struct weir_http_conn *c, __u64 at) {
    __u8 phase = c->phase;

    c->phase = WEIR_HTTP_DEAF;
    if (phase != WEIR_HTTP_ASKED && phase != WEIR_HTTP_STATUS && phase != WEIR_HTTP_INTERIM)
        return WEIR_HTTP_DONE;
    c->x.status = 0;
    c->x.answered_ns = at;
    return WEIR_HTTP_TELL;
}

#endif
