/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chained hash table of nodes that their owners embed. It owns the slot array only. Hashing is
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", with one compression and
 * three finalisation rounds), keyed by the caller: where the seed comes from is not this file's
 * business.
 */
#include "base/htab.h"

#include "base/mem.h"

#define FIRST_SLOTS 16u

static inline uint64_t rotl(uint64_t x, unsigned n) {
    return x << n | x >> (64 - n);
}

static inline uint64_t load_le64(const unsigned char *p, size_t n) {
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++)
        x |= (uint64_t)p[i] << (8 * i);
    return x;
}

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t weir_hash(const uint64_t seed[2], struct weir_slice key) {
    uint64_t v[4] = {
        seed[0] ^ 0x736f6d6570736575u,
        seed[1] ^ 0x646f72616e646f6du,
        seed[0] ^ 0x6c7967656e657261u,
        seed[1] ^ 0x7465646279746573u,
    };
    const unsigned char *p = (const unsigned char *)key.ptr;
    size_t left = key.len;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t m = load_le64(p, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = load_le64(p, left) | (uint64_t)key.len << 56;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void weir_htab_init(struct weir_htab *t, const uint64_t seed[2]) {
    *t = (struct weir_htab){ .seed = { seed[0], seed[1] } };
}

void weir_htab_deinit(struct weir_htab *t) {
    t->slots = weir_free(t->slots);
    t->n_slots = t->count = 0;
}

static struct weir_hnode **slot_of(const struct weir_htab *t, uint64_t hash) {
    return &t->slots[hash & (t->n_slots - 1)];
}

static int grow(struct weir_htab *t) {
    size_t n_slots = t->n_slots ? t->n_slots * 2 : FIRST_SLOTS;
    struct weir_hnode **slots = weir_calloc(n_slots, sizeof(struct weir_hnode *));
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_slots; i++) {
        for (struct weir_hnode *n = t->slots[i], *next; n; n = next) {
            next = n->next;
            struct weir_hnode **slot = &slots[n->hash & (n_slots - 1)];
            n->next = *slot;
            *slot = n;
        }
    }
    weir_free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    return 0;
}

static struct weir_hnode *find_hashed(const struct weir_htab *t, struct weir_slice key,
                                      uint64_t hash) {
    if (t->n_slots == 0)
        return NULL;
    for (struct weir_hnode *n = *slot_of(t, hash); n; n = n->next) {
        if (n->hash == hash && weir_slice_eq(n->key, key))
            return n;
    }
    return NULL;
}

int weir_htab_add(struct weir_htab *t, struct weir_hnode *n) {
    uint64_t hash = weir_hash(t->seed, n->key);
    if (find_hashed(t, n->key, hash))
        return -EEXIST;
    if (t->count >= t->n_slots && grow(t) < 0 && t->n_slots == 0)
        return -ENOMEM; /* a table that could not grow only gets slower */
    struct weir_hnode **slot = slot_of(t, hash);
    n->hash = hash;
    n->next = *slot;
    *slot = n;
    t->count++;
    return 0;
}

struct weir_hnode *weir_htab_find(const struct weir_htab *t, struct weir_slice key) {
    return t->count ? find_hashed(t, key, weir_hash(t->seed, key)) : NULL;
}

void weir_htab_remove(struct weir_htab *t, struct weir_hnode *n) {
    if (t->n_slots == 0)
        return;
    for (struct weir_hnode **at = slot_of(t, n->hash); *at; at = &(*at)->next) {
        if (*at == n) {
            *at = n->next;
            n->next = NULL;
            t->count--;
            return;
        }
    }
}

void weir_htab_foreach(struct weir_htab *t, void (*fn)(struct weir_hnode *n, void *arg),
                       void *arg) {
    for (size_t i = 0; i < t->n_slots; i++) {
        for (struct weir_hnode *n = t->slots[i], *next; n; n = next) {
            next = n->next;
            fn(n, arg);
        }
    }
}
