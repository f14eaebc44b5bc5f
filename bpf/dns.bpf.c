/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * DNS answers on their way to a pod that has rules with names: the addresses in them are bound before the process
 * that asked can read them, so its connect() finds them. Only answers of the pod's own servers to a socket that has
 * asked them count; the question's name says which pattern they are for, and every address of the answer section
 * is taken (a chain of CNAMEs stands there too). Packets pass whatever comes of it: what is not understood is not
 * bound, so policy fails closed. No hook of its own.
 */
#include "lib/dns.bpf.h"
#include "lib/addr.bpf.h"
#include "lib/policy.bpf.h"

#define IPV4_SADDR  12
#define IPV4_PROTO  9
#define IPV6_SADDR  8
#define IPV6_NEXT   6
#define IPV6_HEADER 40
#define UDP_HEADER  8
#define TCP_DOFF    12

#define HEADER     12 /* RFC 1035 4.1.1 */
#define QR         0x80
#define OPCODE     0x78
#define TC         0x02
#define RCODE      0x0f
#define TYPE_A     1
#define TYPE_AAAA  28
#define CLASS_IN   1
#define RECORD     10 /* type, class, TTL, length */
#define LABEL_MAX  63
#define LABELS_MAX 128 /* of a name of 255 bytes */
#define WIRE_MAX   256

struct segment {
    struct weir_addr from;
    __u32 header; /* of UDP or TCP: where it begins */
    __u16 sport;
    __u8 proto;
};

/* One message on its way through; too large for the stack. One at a time: on a core, receiving is not interrupted
 * by receiving. */
struct scratch {
    struct weir_dns_setting setting;
    __u32 pod, pattern;
    __u32 len, pos;
    __u32 label, n; /* of the question: bytes left of a label; characters of the name */
    __u32 left;     /* records */
    __u16 type;
    __u8 ended, bad, refused;
    __u8 msg[WEIR_DNS_MESSAGE];
    char name[WIRE_MAX];
    struct weir_dns_pattern_key key;
    struct weir_dns_bound_value fresh;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct scratch);
} weir_dns_scratch SEC(".maps");

static __always_inline struct scratch *scratch_get(void) {
    __u32 zero = 0;

    return bpf_map_lookup_elem(&weir_dns_scratch, &zero);
}

static __always_inline void count(__u32 what) {
    __u64 *n = bpf_map_lookup_elem(&weir_dns_count, &what);

    if (n)
        __sync_fetch_and_add(n, 1);
}

static __always_inline __u8 byte_at(const struct scratch *s, __u32 at) {
    return s->msg[at & (WEIR_DNS_MESSAGE - 1)];
}

static __always_inline __u32 half_at(const struct scratch *s, __u32 at) {
    return (__u32)byte_at(s, at) << 8 | byte_at(s, at + 1);
}

static __always_inline __u32 word_at(const struct scratch *s, __u32 at) {
    return half_at(s, at) << 16 | half_at(s, at + 2);
}

/* --- the question --- */

/* What a name consists of; '*' and what else may stand in a label would only read as something else. */
static __always_inline bool is_plain(__u8 c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The next byte of the question's name, lower case, labels joined by dots. It is never compressed: nothing comes
 * before it. */
static long name_step(__u32 i, void *unused) {
    struct scratch *s = scratch_get();
    __u8 c;

    if (!s)
        return 1;
    if (s->pos >= s->len) {
        s->bad = 1;
        return 1;
    }
    c = byte_at(s, s->pos++);
    if (s->label == 0) {
        s->label = c;
        s->ended = c == 0;
        s->bad = c > LABEL_MAX;
        if (c && s->n)
            s->name[s->n++ & (WIRE_MAX - 1)] = '.';
        return s->ended || s->bad;
    }
    s->label--;
    if (c >= 'A' && c <= 'Z')
        c += 'a' - 'A';
    if (!is_plain(c))
        s->refused = 1;
    s->name[s->n++ & (WIRE_MAX - 1)] = c;
    return 0;
}

static long turn_step(__u32 i, void *unused) {
    struct scratch *s = scratch_get();

    if (!s || i >= s->n || i >= WEIR_DNS_NAME_BYTES - 1)
        return 1;
    s->key.name[i] = s->name[(s->n - 1 - i) & (WIRE_MAX - 1)];
    return 0;
}

/* Which pattern of the pod the name is for. 0: none. */
static __always_inline __u32 pattern_of(struct scratch *s) {
    __u32 *pattern, n = s->n;

    if (n == 0 || n >= WEIR_DNS_NAME_BYTES)
        return 0;
    bpf_loop(WEIR_DNS_NAME_BYTES, turn_step, NULL, 0);
    s->key.name[n] = '\0';
    s->key.pod = s->pod;
    s->key.prefix = 32 + 8 * (n + 1);
    pattern = bpf_map_lookup_elem(&weir_dns_pattern, &s->key);
    return pattern ? *pattern : 0;
}

/* --- an address --- */

/* No name may lead to the pod itself, its node's link, or to many at once. */
static __always_inline bool may_be_named(const struct weir_addr *a, bool v4) {
    __u32 first = bpf_ntohl(a->w[v4 ? 3 : 0]);
    struct weir_ip_value pod;

    if (weir_addr_is_any(a) || weir_addr_is_loopback(a) || weir_ip_get(a, &pod))
        return false;
    if (v4)
        return first >> 24 != 0 && first >> 16 != 0xa9fe && first >> 28 < 0xe;
    return !weir_addr_is_v4(a) && first >> 22 != 0xfe80 >> 6 && first >> 24 != 0xff;
}

/* Enters the pattern, or makes it last longer. The slot is taken before it lasts: one that is taken from another
 * pattern must not give that one the time. Of two cores that want one slot, one finds none. */
static __always_inline bool renew(struct weir_dns_bound_value *v, __u32 pattern, __u32 until_s,
                                  __u64 now) {
    __u32 at = WEIR_DNS_SLOTS, old = 0;
    struct weir_dns_slot *slot;

    for (__u32 i = 0; i < WEIR_DNS_SLOTS; i++) {
        __u32 here = v->slots[i].pattern;

        if (here == pattern ||
            (at == WEIR_DNS_SLOTS && !weir_dns_slot_holds(v, &v->slots[i], false, now))) {
            at = i;
            old = here;
        }
        if (here == pattern)
            break;
    }
    if (at >= WEIR_DNS_SLOTS)
        return false;
    slot = &v->slots[at & (WEIR_DNS_SLOTS - 1)];
    if (old != pattern && __sync_val_compare_and_swap(&slot->pattern, old, pattern) != old)
        return false;
    if (slot->until_s < until_s)
        slot->until_s = until_s;
    return true;
}

/* False: no room. */
static __always_inline bool enter(struct scratch *s, const struct weir_dns_bound_key *key,
                                  __u32 until_s) {
    __u32 pod = key->pod, first = 0, *used;

    used = bpf_map_lookup_elem(&weir_dns_used, &pod);
    if (!used) {
        bpf_map_update_elem(&weir_dns_used, &pod, &first, BPF_NOEXIST);
        used = bpf_map_lookup_elem(&weir_dns_used, &pod);
    }
    if (!used || *used >= s->setting.addresses)
        return false;
    s->fresh.slots[0].pattern = s->pattern;
    s->fresh.slots[0].until_s = until_s;
    if (bpf_map_update_elem(&weir_dns_bound, key, &s->fresh, BPF_NOEXIST))
        return false;
    __sync_fetch_and_add(used, 1);
    return true;
}

static __always_inline void bind(struct scratch *s, const struct weir_addr *addr, __u32 ttl) {
    struct weir_dns_bound_key key = { .addr = *addr, .pod = s->pod };
    __u64 now = bpf_ktime_get_ns();
    __u32 until_s;
    struct weir_dns_bound_value *v;

    if (ttl >> 31) /* RFC 2181 8 */
        ttl = 0;
    if (ttl < s->setting.min_ttl_s)
        ttl = s->setting.min_ttl_s;
    if (ttl > s->setting.max_ttl_s)
        ttl = s->setting.max_ttl_s;
    until_s = now / 1000000000ull + ttl + s->setting.grace_s;
    v = bpf_map_lookup_elem(&weir_dns_bound, &key);
    if (!v && enter(s, &key, until_s)) {
        count(WEIR_DNS_BOUND);
        return;
    }
    /* Another core may just have entered it. */
    if (!v)
        v = bpf_map_lookup_elem(&weir_dns_bound, &key);
    if (!v)
        count(WEIR_DNS_FULL);
    else
        count(renew(v, s->pattern, until_s, now) ? WEIR_DNS_RENEWED : WEIR_DNS_SHARED);
}

/* --- the answer section --- */

/* Past a record's own name; where a pointer leads is of no interest, so none is followed. */
static long skip_step(__u32 i, void *unused) {
    struct scratch *s = scratch_get();
    __u8 c;

    if (!s)
        return 1;
    if (s->pos >= s->len) {
        s->bad = 1;
        return 1;
    }
    c = byte_at(s, s->pos);
    s->bad = c > LABEL_MAX && c < 0xc0;
    s->pos += c > LABEL_MAX ? 2 : 1 + c;
    s->ended = c == 0 || c > LABEL_MAX;
    return s->ended || s->bad;
}

static __always_inline void take_address(struct scratch *s, __u32 at, __u32 ttl) {
    bool v4 = s->type == TYPE_A;
    struct weir_addr a;

    if (v4)
        weir_addr_set_v4(&a, bpf_htonl(word_at(s, at)));
    else
        weir_addr_set_v6(&a, bpf_htonl(word_at(s, at)), bpf_htonl(word_at(s, at + 4)),
                         bpf_htonl(word_at(s, at + 8)), bpf_htonl(word_at(s, at + 12)));
    if (may_be_named(&a, v4))
        bind(s, &a, ttl);
    else
        count(WEIR_DNS_ADDRESS);
}

static long record_step(__u32 i, void *unused) {
    struct scratch *s = scratch_get();
    __u32 at, len;

    if (!s || s->left == 0)
        return 1;
    s->ended = 0;
    bpf_loop(LABELS_MAX, skip_step, NULL, 0);
    at = s->pos;
    s->bad = s->bad || !s->ended || at + RECORD > s->len;
    if (s->bad)
        return 1;
    len = half_at(s, at + 8);
    s->bad = at + RECORD + len > s->len;
    if (s->bad)
        return 1;
    if (half_at(s, at) == s->type && half_at(s, at + 2) == CLASS_IN) {
        if (len == (s->type == TYPE_A ? 4 : 16))
            take_address(s, at + RECORD, word_at(s, at + 4));
        else
            s->bad = 1;
    }
    s->pos = at + RECORD + len;
    s->left--;
    return s->bad != 0;
}

/* The header and the question. 0: go on to the answers; else what is to be counted. */
static __always_inline __u32 read_question(struct scratch *s) {
    __u32 flags, answers;

    if (s->len < HEADER)
        return WEIR_DNS_MALFORMED;
    flags = half_at(s, 2);
    answers = half_at(s, 6);
    if (!(flags >> 8 & QR) || half_at(s, 4) != 1)
        return WEIR_DNS_MALFORMED;
    if ((flags >> 8 & OPCODE) || (flags & RCODE) || answers == 0)
        return WEIR_DNS_OTHER;
    s->pos = HEADER;
    bpf_loop(WIRE_MAX, name_step, NULL, 0);
    if (s->bad || !s->ended || s->pos + 4 > s->len)
        return WEIR_DNS_MALFORMED;
    s->type = half_at(s, s->pos);
    if ((s->type != TYPE_A && s->type != TYPE_AAAA) || half_at(s, s->pos + 2) != CLASS_IN ||
        s->refused)
        return WEIR_DNS_OTHER;
    s->pos += 4;
    s->left = answers;
    s->pattern = pattern_of(s);
    if (!s->pattern)
        return WEIR_DNS_OTHER;
    return flags >> 8 & TC ? WEIR_DNS_TRUNCATED : 0;
}

int weir_dns_message(__u32 cut) {
    struct scratch *s = scratch_get();
    __u32 outcome;

    if (!s)
        return 0;
    s->label = s->n = s->ended = s->bad = s->refused = 0;
    count(WEIR_DNS_ANSWERS);
    outcome = read_question(s);
    if (outcome) {
        count(outcome);
        return 0;
    }
    __builtin_memcpy(s->fresh.asked, s->name, sizeof(s->fresh.asked));
    s->fresh.asked[s->n < WEIR_DNS_NAME_BYTES ? s->n : WEIR_DNS_NAME_BYTES - 1] = '\0';
    bpf_loop(WEIR_DNS_RECORDS, record_step, NULL, 0);
    if (s->bad && !cut)
        count(WEIR_DNS_MALFORMED);
    else if (cut)
        count(WEIR_DNS_LONG);
    else if (s->left)
        count(WEIR_DNS_MANY);
    return 0;
}

/* --- from the packet --- */

/* False: nothing to look for in it. */
static __always_inline bool read_segment(struct __sk_buff *skb, struct segment *seg) {
    __be32 w[4];
    __be16 port;
    __u8 first;

    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        if (bpf_skb_load_bytes(skb, IPV6_SADDR, w, 16) ||
            bpf_skb_load_bytes(skb, IPV6_NEXT, &seg->proto, 1))
            return false;
        weir_addr_set_v6(&seg->from, w[0], w[1], w[2], w[3]);
        seg->header = IPV6_HEADER;
    } else {
        if (bpf_skb_load_bytes(skb, 0, &first, 1) || bpf_skb_load_bytes(skb, IPV4_SADDR, w, 4) ||
            bpf_skb_load_bytes(skb, IPV4_PROTO, &seg->proto, 1))
            return false;
        weir_addr_set_v4(&seg->from, w[0]);
        seg->header = (first & 0xf) * 4;
    }
    if (seg->proto != WEIR_IPPROTO_UDP && seg->proto != WEIR_IPPROTO_TCP)
        return false;
    if (bpf_skb_load_bytes(skb, seg->header, &port, sizeof(port)))
        return false;
    seg->sport = bpf_ntohs(port);
    return true;
}

/* Copies what is there of `len` bytes. False: nothing. */
static __always_inline bool load(struct __sk_buff *skb, struct scratch *s, __u32 at, __u32 len) {
    __u32 have = skb->len > at ? skb->len - at : 0;

    if (have > len)
        have = len;
    if (have > WEIR_DNS_MESSAGE)
        have = WEIR_DNS_MESSAGE;
    s->len = have;
    /* At least one: 6.1's verifier sees it of what is one more than something. */
    have--;
    asm volatile("" : "+r"(have));
    if (have >= WEIR_DNS_MESSAGE)
        return false;
    return bpf_skb_load_bytes(skb, at, s->msg, have + 1) == 0;
}

/* An unconnected socket gets datagrams from anybody: it must have asked within the last minute. */
static __always_inline bool has_asked(const struct bpf_sock *sk, const struct segment *seg,
                                      __u64 netns) {
    struct weir_tuple key = { .netns = netns,
                              .dst = seg->from,
                              .sport = sk->src_port,
                              .dport = seg->sport,
                              .kind = WEIR_UDP_WE_ASKED };

    return sk->dst_port != 0 || weir_udp_remembers(&key);
}

/*
 * RFC 1035 4.2.2: each message behind its length. One is only looked for where the last one ended, never in the
 * middle of another, where a hostile zone could have put anything.
 */
static __always_inline void read_stream(struct __sk_buff *skb, struct bpf_sock *sk,
                                        struct scratch *s, const struct segment *seg) {
    struct weir_dns_stream *at =
        bpf_sk_storage_get(&weir_dns_stream, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
    __u32 payload, size, seq;
    __be32 be_seq;
    __be16 be_len;
    __u8 doff;

    if (!at || !tcp || bpf_skb_load_bytes(skb, seg->header + 4, &be_seq, sizeof(be_seq)) ||
        bpf_skb_load_bytes(skb, seg->header + TCP_DOFF, &doff, 1))
        return;
    payload = seg->header + (doff >> 4) * 4;
    if (skb->len <= payload || at->state == WEIR_DNS_STREAM_LOST)
        return;
    size = skb->len - payload;
    seq = bpf_ntohl(be_seq);
    /* What is behind what was received is a repetition; what is ahead will not be seen again. */
    if (seq != tcp->rcv_nxt) {
        if ((__s32)(seq - tcp->rcv_nxt) > 0)
            at->state = WEIR_DNS_STREAM_LOST;
        return;
    }
    if (at->state == WEIR_DNS_STREAM_NEW) {
        if (tcp->bytes_received != 0) {
            at->state = WEIR_DNS_STREAM_LOST;
            return;
        }
        at->state = WEIR_DNS_STREAM_ON;
        at->next = seq;
    }
    for (int i = 0; i < WEIR_DNS_PIPELINE; i++) {
        __u32 begin = at->next - seq, len;

        if ((__s32)begin < 0 || begin >= size)
            return;
        if (bpf_skb_load_bytes(skb, payload + begin, &be_len, sizeof(be_len))) {
            at->state = WEIR_DNS_STREAM_LOST;
            count(WEIR_DNS_LONG);
            return;
        }
        len = bpf_ntohs(be_len);
        at->next += 2 + len;
        if (load(skb, s, payload + begin + 2, len))
            weir_dns_message(s->len < len);
    }
    at->state = WEIR_DNS_STREAM_LOST;
    count(WEIR_DNS_LONG);
}

static __always_inline void read_datagram(struct __sk_buff *skb, struct scratch *s,
                                          const struct segment *seg) {
    __u32 payload = seg->header + UDP_HEADER;

    if (load(skb, s, payload, 65535))
        weir_dns_message(skb->len - payload > s->len);
}

int weir_dns_see(struct __sk_buff *skb) {
    struct weir_dns_server_key server = {};
    struct weir_sock_value *known;
    struct weir_pod_value *pod;
    struct segment seg = {};
    struct scratch *s = scratch_get();
    struct bpf_sock *sk = weir_ctx_sk(skb);
    __u64 netns;

    if (!s || !sk)
        return 0;
    sk = bpf_sk_fullsock(sk);
    if (!sk)
        return 0;
    known = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    if (!known || (known->role != WEIR_ROLE_APP && known->role != WEIR_ROLE_PROXY))
        return 0;
    server.pod = known->facts.pod;
    pod = weir_pod_find(server.pod);
    if (!pod || !(pod->flags & WEIR_POD_NAMES))
        return 0;
    netns = pod->netns;
    if (!read_segment(skb, &seg))
        return 0;
    server.addr = seg.from;
    server.port = seg.sport;
    if (!bpf_map_lookup_elem(&weir_dns_server, &server) || !weir_dns_setting_get(&s->setting))
        return 0;
    s->pod = server.pod;
    if (seg.proto == WEIR_IPPROTO_TCP)
        read_stream(skb, sk, s, &seg);
    else if (has_asked(sk, &seg, netns))
        read_datagram(skb, s, &seg);
    else
        count(WEIR_DNS_UNASKED);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
