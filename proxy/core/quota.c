/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources and how many connections each has. A source exists in the table as long as it has one, so the table is never larger than the number
 * of connections; keys are hashed under a secret seed (base/htab), so nobody can choose addresses that share a chain.
 */
#include "core/quota.h"

#include <assert.h>

#include "base/mem.h"

static const uint8_t v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

void weir_quota_init(struct weir_quota *q, const uint64_t seed[2], uint64_t connections_default) {
    atomic_init(&q->connections, 0);
    atomic_init(&q->handshakes, 0);
    q->connections_default = connections_default;
    q->seed[0] = seed[0];
    q->seed[1] = seed[1];
    for (unsigned i = 0; i < WEIR_QUOTA_SHARDS; i++) {
        pthread_mutex_init(&q->shards[i].lock, NULL);
        weir_htab_init(&q->shards[i].table, seed);
    }
}

void weir_quota_deinit(struct weir_quota *q) {
    for (unsigned i = 0; i < WEIR_QUOTA_SHARDS; i++) {
        assert(q->shards[i].table.count == 0);
        weir_htab_deinit(&q->shards[i].table);
        pthread_mutex_destroy(&q->shards[i].lock);
    }
}

bool weir_quota_exempt(const struct weir_ip *ip) {
    static const uint8_t loopback6[16] = { [15] = 1 };

    if (memcmp(ip->b, v4_prefix, sizeof(v4_prefix)) == 0)
        return ip->b[12] == 127;
    return memcmp(ip->b, loopback6, sizeof(loopback6)) == 0;
}

/* Who has one IPv6 address has 2^64 of them. The lengths differ, so the two families never meet. */
static struct weir_slice prefix_of(const struct weir_ip *ip) {
    if (memcmp(ip->b, v4_prefix, sizeof(v4_prefix)) == 0)
        return weir_slice_make((const char *)ip->b + 12, 4);
    return weir_slice_make((const char *)ip->b, 8);
}

static unsigned shard_of(const struct weir_quota *q, struct weir_slice key) {
    return (unsigned)(weir_hash(q->seed, key) >> 40) % WEIR_QUOTA_SHARDS;
}

static int add(struct weir_htab *table, struct weir_slice key, struct weir_quota_source **ret) {
    struct weir_quota_source *s = weir_calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    memcpy(s->key, key.ptr, key.len);
    s->node.key = weir_slice_make((const char *)s->key, key.len);
    r = weir_htab_add(table, &s->node);
    if (r < 0) {
        weir_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static int take(struct weir_htab *table, struct weir_slice key, uint64_t max,
                struct weir_quota_source **ret) {
    struct weir_hnode *n = weir_htab_find(table, key);
    struct weir_quota_source *s = n ? WEIR_CONTAINER_OF(n, struct weir_quota_source, node) : NULL;
    int r;

    if (s && max != 0 && s->connections >= max)
        return 1;
    r = s ? 0 : add(table, key, &s);
    if (r < 0)
        return r;
    s->connections++;
    *ret = s;
    return 0;
}

int weir_quota_source_take(struct weir_quota *q, const struct weir_ip *ip, uint64_t max,
                           struct weir_quota_source **ret_source) {
    struct weir_slice key = prefix_of(ip);
    unsigned i = shard_of(q, key);
    int r;

    pthread_mutex_lock(&q->shards[i].lock);
    r = take(&q->shards[i].table, key, max, ret_source);
    pthread_mutex_unlock(&q->shards[i].lock);
    return r;
}

void weir_quota_source_give(struct weir_quota *q, struct weir_quota_source *s) {
    unsigned i;

    if (!s)
        return;
    i = shard_of(q, s->node.key);
    pthread_mutex_lock(&q->shards[i].lock);
    if (--s->connections == 0) {
        weir_htab_remove(&q->shards[i].table, &s->node);
        weir_free(s);
    }
    pthread_mutex_unlock(&q->shards[i].lock);
}
