/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * getsockopt(): the sidecar asks where a connection it accepted was going, and reports who spoke first on it: an
 * option and not setsockopt(), of which no program has to see each one that the pods make (docs/adr/0030). Fails
 * closed: a socket of the sidecar of which nothing is known gets ENOENT, never a guess. A socket that is not the
 * sidecar's gets the kernel's own answer.
 */
#include "lib/cgroup.bpf.h"
#include "lib/count.bpf.h"
#include "lib/first.bpf.h"

#define PAGE 4096

struct sockaddr_in {
    __u16 family;
    __be16 port;
    __be32 addr;
    __u8 zero[8];
};

struct sockaddr_in6 {
    __u16 family;
    __be16 port;
    __u32 flowinfo;
    __be32 addr[4];
    __u32 scope;
};

static __always_inline void answer(struct bpf_sockopt *ctx, int len) {
    ctx->optlen = len;
    weir_barrier();
    ctx->retval = 0;
}

static __always_inline void answer_v4(struct bpf_sockopt *ctx, const struct weir_facts *f) {
    struct sockaddr_in *to = (void *)ctx->optval;

    if ((void *)(to + 1) > (void *)ctx->optval_end || !weir_addr_is_v4(&f->original)) {
        ctx->retval = -EINVAL;
        return;
    }
    to->family = AF_INET;
    to->port = bpf_htons(f->original_port);
    to->addr = f->original.w[3];
    __builtin_memset(to->zero, 0, sizeof(to->zero));
    answer(ctx, sizeof(*to));
}

static __always_inline void answer_v6(struct bpf_sockopt *ctx, const struct weir_facts *f) {
    struct sockaddr_in6 *to = (void *)ctx->optval;

    if ((void *)(to + 1) > (void *)ctx->optval_end) {
        ctx->retval = -EINVAL;
        return;
    }
    to->family = AF_INET6;
    to->port = bpf_htons(f->original_port);
    to->flowinfo = 0;
    to->addr[0] = f->original.w[0];
    to->addr[1] = f->original.w[1];
    to->addr[2] = f->original.w[2];
    to->addr[3] = f->original.w[3];
    to->scope = 0;
    answer(ctx, sizeof(*to));
}

static __always_inline __u8 join_state(struct bpf_sockopt *ctx) {
    struct weir_join_sock_value *w = bpf_sk_storage_get(&weir_join_sock, weir_ctx_sk(ctx), NULL, 0);

    if (!w || w->state == WEIR_JOIN_NEVER)
        return WEIR_FACTS_JOIN_NO;
    return w->state == WEIR_JOIN_ON ? WEIR_FACTS_JOIN_ON : WEIR_FACTS_JOIN_TCP;
}

static __always_inline void answer_facts(struct bpf_sockopt *ctx, const struct weir_facts *f) {
    struct weir_facts *to = (void *)ctx->optval;

    if ((void *)(to + 1) > (void *)ctx->optval_end) {
        ctx->retval = -EINVAL;
        return;
    }
    *to = *f;
    to->join = join_state(ctx);
    to->first = weir_first_known(f);
    answer(ctx, sizeof(*to));
}

/* A report, taken once of each connection. */
static __always_inline void take_report(struct bpf_sockopt *ctx, struct weir_sock_value *s) {
    __u32 spoke = ctx->optname - WEIR_SO_SPOKE;

    if (spoke == WEIR_SPOKE_NOBODY || spoke >= WEIR_SPOKE_COUNT_) {
        ctx->retval = -EINVAL;
    } else if (s->state & WEIR_SOCK_SPOKE) {
        ctx->retval = -EALREADY;
    } else {
        s->state |= WEIR_SOCK_SPOKE;
        weir_first_note(&s->facts, spoke);
        answer_facts(ctx, &s->facts);
    }
}

enum question { ASKS_NOTHING, ASKS_V4, ASKS_V6, ASKS_FACTS, REPORTS };

static __always_inline enum question question_of(const struct bpf_sockopt *ctx) {
    if (ctx->level == WEIR_SOL && ctx->optname == WEIR_SO_FACTS)
        return ASKS_FACTS;
    if (ctx->level == WEIR_SOL && ctx->optname >= WEIR_SO_SPOKE)
        return REPORTS;
    if (ctx->optname != SO_ORIGINAL_DST)
        return ASKS_NOTHING;
    if (ctx->level == SOL_IP)
        return ASKS_V4;
    return ctx->level == SOL_IPV6 ? ASKS_V6 : ASKS_NOTHING;
}

SEC("cgroup/getsockopt")
int weir_getsockopt(struct bpf_sockopt *ctx) {
    enum question question = question_of(ctx);
    struct bpf_sock *sk = weir_ctx_sk(ctx);
    struct weir_cgroup_value owner;
    struct weir_sock_value *s;

    if (question == ASKS_NOTHING) {
        /* Older kernels turn a buffer longer than a page into EFAULT unless the program steps
         * aside. */
        if (ctx->optlen > PAGE)
            ctx->optlen = 0;
        return 1;
    }
    weir_cgroup_of(sk, &owner);
    if (owner.role != WEIR_ROLE_PROXY)
        return 1;
    s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    if (!s || !(s->state & WEIR_SOCK_FACTS) || s->facts.pod != owner.pod) {
        weir_count_one(WEIR_DENY_NO_ORIGIN);
        ctx->retval = -ENOENT;
    } else if (question == ASKS_V4) {
        answer_v4(ctx, &s->facts);
    } else if (question == ASKS_V6) {
        answer_v6(ctx, &s->facts);
    } else if (question == REPORTS) {
        take_report(ctx, s);
    } else {
        answer_facts(ctx, &s->facts);
    }
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
