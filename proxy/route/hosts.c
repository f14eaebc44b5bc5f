/* SPDX-License-Identifier: Apache-2.0 */
/* One hash table: exact names as they are, wildcards from their dot on, "any" as the empty key. A lookup asks once per label. */
#include "route/hosts.h"

#define HOST_MAX 255u

struct entry {
    struct weir_hnode node;
    void *value;
};

static const uint64_t seed[2] = { 0x77656972,
                                  0x686f7374 }; /* names come from the operator, not from peers */

void weir_hosts_init(struct weir_hosts *hosts, struct weir_arena *arena) {
    weir_htab_init(&hosts->table, seed);
    hosts->arena = arena;
}

void weir_hosts_deinit(struct weir_hosts *hosts) {
    weir_htab_deinit(&hosts->table);
}

static bool is_wild(const char *host) {
    return host[0] == '*';
}

int weir_hosts_add(struct weir_hosts *hosts, const char *host, void *value, void ***ret_value) {
    struct entry *e = weir_arena_calloc(hosts->arena, 1, sizeof(*e));
    struct weir_hnode *held;
    int r;

    if (!e)
        return -ENOMEM;
    e->value = value;
    e->node.key = weir_slice_from_str(is_wild(host) ? host + 1 : host);
    r = weir_htab_add(&hosts->table, &e->node);
    if (r == -EEXIST && ret_value) {
        held = weir_htab_find(&hosts->table, e->node.key);
        *ret_value = &WEIR_CONTAINER_OF(held, struct entry, node)->value;
    }
    return r;
}

static void *find(const struct weir_hosts *hosts, struct weir_slice key) {
    struct weir_hnode *n = weir_htab_find(&hosts->table, key);

    return n ? WEIR_CONTAINER_OF(n, struct entry, node)->value : NULL;
}

void *weir_hosts_find(const struct weir_hosts *hosts, struct weir_slice host) {
    char lower[HOST_MAX];
    void *value = NULL;

    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len > HOST_MAX || (host.len > 0 && host.ptr[0] == '.'))
        return NULL;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];

        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    if (host.len > 0)
        value = find(hosts, weir_slice_make(lower, host.len));
    for (size_t i = 0; i < host.len && !value; i++)
        if (lower[i] == '.')
            value = find(hosts, weir_slice_make(lower + i, host.len - i));
    return value ? value : find(hosts, WEIR_SLICE(""));
}

/* Does the wildcard cover the name, or the wildcard, b? */
static bool covers(const char *wild, const char *b) {
    struct weir_slice suffix = weir_slice_from_str(wild + 1);
    struct weir_slice name = weir_slice_from_str(is_wild(b) ? b + 1 : b);

    return name.len > suffix.len && weir_slice_ends_with(name, suffix);
}

const char *weir_hosts_common(const char *a, const char *b) {
    if (a[0] == '\0' || strcmp(a, b) == 0 || (is_wild(a) && covers(a, b)))
        return b;
    return b[0] == '\0' || (is_wild(b) && covers(b, a)) ? a : NULL;
}

unsigned weir_hosts_rank(const char *host) {
    unsigned len = (unsigned)strlen(host);

    return len > 0 && !is_wild(host) ? len + HOST_MAX + 2 : len;
}
