/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one matcher against itself: random rule chains, identity sets, address sets and names are put into
 * the live maps and into a mapset, then random flows are asked of the kernel's copy and of the host
 * compiler's. Broken tables (missing blocks, chains too long or circular, counts beyond the block)
 * are part of it: both must read them alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "kern/explain.h"

#define BLOCKS   24u /* more than a chain may have */
#define SETS     6u
#define FIRST_ID 900000u /* no id of the tests beside it */
#define FLOWS    400u
#define NAMES    8u

struct fuzz {
    struct weir_kern *k;
    struct weir_mapset *set;
    uint64_t seed;
};

static uint32_t below(struct fuzz *f, uint32_t n) {
    f->seed = f->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(f->seed >> 33) % n;
}

/* From few, so that rules and flows meet. */
static struct weir_addr address(struct fuzz *f) {
    unsigned char b[16] = { 0 };
    struct weir_addr a;

    if (below(f, 3)) {
        b[10] = b[11] = 0xff;
        b[12] = 10;
    } else {
        b[0] = 0xfd;
        b[12] = (unsigned char)below(f, 2);
    }
    b[13] = (unsigned char)(below(f, 2) ? 0 : 0x80);
    b[14] = (unsigned char)below(f, 4);
    b[15] = (unsigned char)below(f, 6);
    memcpy(&a, b, sizeof(a));
    return a;
}

static struct weir_addr network(struct fuzz *f, unsigned *ret_prefix) {
    struct weir_addr a = address(f);
    unsigned char *b = (unsigned char *)&a;
    unsigned prefix = below(f, 4) ? 100 + below(f, 29) : below(f, 129);

    for (unsigned bit = prefix; bit < 128; bit++)
        b[bit / 8] = (unsigned char)(b[bit / 8] & ~(0x80U >> (bit % 8)));
    *ret_prefix = prefix;
    return a;
}

static int put(struct fuzz *f, enum weir_map map, const void *key, const void *value) {
    int r = weir_kern_put(f->k, map, key, value);

    return r ? r : weir_mapset_put(f->set, map, key, value);
}

static int put_sets(struct fuzz *f) {
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < SETS * 4; i++) {
        const struct weir_idset_key key = { FIRST_ID + below(f, SETS), 1 + below(f, 10) };
        const __u32 policy = below(f, 2) ? 200 + below(f, 9) : 0;

        r = put(f, WEIR_MAP_IDSET, &key, &policy);
    }
    for (uint32_t i = 0; r == 0 && i < SETS * 4; i++) {
        struct weir_cidr_key key = { .set = FIRST_ID + below(f, SETS) };
        struct weir_cidr_value value = { .policy = below(f, 2) ? 300 + below(f, 9) : 0 };

        value.verdict = below(f, 3) ? WEIR_CIDR_IN : WEIR_CIDR_OUT;

        key.addr = network(f, &key.prefix);
        key.prefix += 32;
        r = put(f, WEIR_MAP_CIDR, &key, &value);
    }
    return r;
}

/* Addresses bound to names of two pods: in time, run out, kept by a socket. */
static int put_names(struct fuzz *f) {
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < SETS * 2; i++) {
        const struct weir_idset_key key = { FIRST_ID + below(f, SETS),
                                            (1 + below(f, NAMES)) | WEIR_DNS_MEMBER };
        const __u32 policy = below(f, 2) ? 400 + below(f, 9) : 0;

        r = put(f, WEIR_MAP_IDSET, &key, &policy);
    }
    for (uint32_t i = 0; r == 0 && i < 24; i++) {
        const struct weir_dns_bound_key key = { address(f), FIRST_ID + below(f, 2) };
        struct weir_dns_bound_value value = { .kept_ns = below(f, 3) ? below(f, 2) : 1ULL << 62 };

        for (uint32_t k = 0; k < WEIR_DNS_SLOTS; k++)
            if (below(f, 4) == 0)
                value.slots[k] =
                    (struct weir_dns_slot){ 1 + below(f, NAMES), below(f, 2) ? UINT32_MAX : 1 };
        r = put(f, WEIR_MAP_DNS_BOUND, &key, &value);
    }
    return r;
}

static struct weir_rule_item rule(struct fuzz *f) {
    struct weir_rule_item r = { .set = FIRST_ID + below(f, SETS + 1),
                                .cidr = FIRST_ID + below(f, SETS + 1),
                                .policy = 1 + below(f, 99) };

    r.port_lo = (__u16)(below(f, 3) ? 0 : 80 + below(f, 4));
    r.port_hi = (__u16)(r.port_lo == 0 ? 65535 : r.port_lo + below(f, 3));
    r.proto = (__u8)(below(f, 2) ? 0 : below(f, 2) ? WEIR_IPPROTO_TCP : WEIR_IPPROTO_UDP);
    r.peer = (__u8)(below(f, 12) ? below(f, 16) : below(f, 256));
    r.flags = (__u8)(below(f, 2) ? 0 : below(f, 3) ? below(f, 16) : WEIR_RULE_DENY);
    return r;
}

/* Chains of random length; now and then one that is not whole. */
static int put_blocks(struct fuzz *f) {
    uint32_t n = 1 + below(f, below(f, 6) ? 4 : BLOCKS);
    bool many = below(f, 2);
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        struct weir_rule_block b = { .block = FIRST_ID + i };

        b.next = i + 1 < n ? FIRST_ID + i + 1 : 0;
        if (below(f, 40) == 0)
            b.next = FIRST_ID + below(f, BLOCKS + 2);
        b.count = below(f, many ? WEIR_BLOCK_RULES + 1 : 4);
        if (below(f, 60) == 0)
            b.count = WEIR_BLOCK_RULES + below(f, 1000);
        for (uint32_t k = 0; k < WEIR_BLOCK_RULES; k++)
            b.rules[k] = rule(f);
        if (below(f, 80) == 0)
            b.block++;
        r = put(f, WEIR_MAP_RULE, &(__u32){ FIRST_ID + i }, &b);
    }
    return r;
}

struct forgetting {
    struct weir_kern *k;
    enum weir_map map;
};

static int forget(void *arg, const void *key, const void *value) {
    const struct forgetting *g = arg;

    (void)value;
    return weir_kern_delete(g->k, g->map, key);
}

static void clean(struct fuzz *f) {
    static const enum weir_map maps[] = { WEIR_MAP_RULE, WEIR_MAP_IDSET, WEIR_MAP_CIDR,
                                          WEIR_MAP_DNS_BOUND };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(maps); i++) {
        struct forgetting g = { f->k, maps[i] };

        (void)weir_mapset_each(f->set, maps[i], forget, &g);
    }
}

static int ask(struct fuzz *f, uint32_t verdicts[4]) {
    struct weir_explain kernel = { .what = WEIR_EXPLAIN_VERDICT }, user;
    int r;

    kernel.slot.block = below(f, 12) ? FIRST_ID : below(f, 2) ? 0 : FIRST_ID + below(f, BLOCKS);
    kernel.slot.policy = 100 + below(f, 9);
    kernel.slot.flags = below(f, 4);
    kernel.peer = address(f);
    kernel.peer_identity = below(f, 3) ? below(f, 12) : 0;
    kernel.pod = below(f, 3) ? FIRST_ID + below(f, 2) : 0;
    kernel.port = (__u16)(78 + below(f, 9));
    kernel.proto = below(f, 2) ? WEIR_IPPROTO_TCP : WEIR_IPPROTO_UDP;
    user = kernel;
    weir_mapset_verdict(f->set, &user);
    r = weir_kern_explain(f->k, &kernel);
    if (r)
        return r;
    if (memcmp(&kernel, &user, sizeof(user)) != 0)
        return WEIR_FUZZ_DIFFERENT;
    verdicts[kernel.verdict % 4]++;
    return 0;
}

int weir_fuzz_run(struct weir_kern *k, uint64_t seed, uint32_t rounds, uint32_t ret_verdicts[4]) {
    struct fuzz f = { .k = k, .seed = seed };
    int r = 0;

    for (uint32_t round = 0; r == 0 && round < rounds; round++) {
        r = weir_mapset_new(&f.set);
        if (r)
            return r;
        r = put_sets(&f);
        if (r == 0)
            r = put_names(&f);
        if (r == 0)
            r = put_blocks(&f);
        for (uint32_t i = 0; r == 0 && i < FLOWS; i++)
            r = ask(&f, ret_verdicts);
        clean(&f);
        weir_mapset_free(f.set);
    }
    return r;
}
