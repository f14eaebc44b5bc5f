/* SPDX-License-Identifier: Apache-2.0 */
/* The maps the agent writes, by enum, with their sizes; and waiting until no program reads what was
 * replaced. */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sys/log.h"

static const struct map_kind {
    const char *name;
    size_t key, value;
    bool keyed; /* in the kernel the value has the key before it (weir/abi/maps.h) */
} kinds[WEIR_MAP_COUNT_] = {
    [WEIR_MAP_NAME] = { "weir_name", sizeof(struct weir_name_key), sizeof(struct weir_name_value) },
    [WEIR_MAP_IDSET] = { "weir_idset", sizeof(struct weir_idset_key), sizeof(__u32) },
    [WEIR_MAP_CIDR] = { "weir_cidr", sizeof(struct weir_cidr_key), sizeof(struct weir_cidr_value) },
    [WEIR_MAP_RULE] = { "weir_rule", sizeof(__u32), sizeof(struct weir_rule_block) },
    [WEIR_MAP_EP] = { "weir_ep", sizeof(struct weir_ep_key), sizeof(struct weir_ep_value) },
    [WEIR_MAP_MAGLEV] = { "weir_maglev", sizeof(struct weir_maglev_key),
                          sizeof(struct weir_maglev_value) },
    [WEIR_MAP_IP] = { "weir_ip", sizeof(struct weir_addr), sizeof(struct weir_ip_value), true },
    [WEIR_MAP_PROBE] = { "weir_probe", sizeof(struct weir_probe_key), sizeof(__u8) },
    [WEIR_MAP_HTTP] = { "weir_http", sizeof(struct weir_port_key), sizeof(__u32) },
    [WEIR_MAP_PORT] = { "weir_port", sizeof(struct weir_port_key), sizeof(__u32), true },
    [WEIR_MAP_DNS_PATTERN] = { "weir_dns_pattern", sizeof(struct weir_dns_pattern_key),
                               sizeof(__u32) },
    [WEIR_MAP_DNS_SERVER] = { "weir_dns_server", sizeof(struct weir_dns_server_key), sizeof(__u8) },
    [WEIR_MAP_DNS_SETTING] = { "weir_dns_setting", sizeof(__u32), sizeof(struct weir_dns_setting) },
    [WEIR_MAP_POD] = { "weir_pod", sizeof(__u32), sizeof(struct weir_pod_value) },
    [WEIR_MAP_CGROUP] = { "weir_cgroup", sizeof(__u64), sizeof(struct weir_cgroup_value), true },
    [WEIR_MAP_SVC] = { "weir_svc", sizeof(struct weir_svc_key), sizeof(struct weir_svc_value),
                       true },
    [WEIR_MAP_META] = { "weir_meta", sizeof(__u32), sizeof(struct weir_meta_value) },
    [WEIR_MAP_DNS_BOUND] = { "weir_dns_bound", sizeof(struct weir_dns_bound_key),
                             sizeof(struct weir_dns_bound_value) },
    [WEIR_MAP_DNS_USED] = { "weir_dns_used", sizeof(__u32), sizeof(__u32) },
    [WEIR_MAP_FIRST] = { "weir_first", sizeof(struct weir_first_key),
                         sizeof(struct weir_first_value) },
};

/* The largest key and value of the table above. */
#define KEY_MAX   sizeof(struct weir_dns_pattern_key)
#define VALUE_MAX sizeof(struct weir_maglev_value)
#define ENTRY_MAX sizeof(struct weir_svc_entry) /* of those with their key */
_Static_assert(sizeof(struct weir_tuple) <= KEY_MAX, "key buffer");
_Static_assert(sizeof(struct weir_rule_block) <= VALUE_MAX, "value buffer");
_Static_assert(sizeof(struct weir_svc_entry) <= VALUE_MAX, "value buffer");

const char *weir_map_name(enum weir_map map) {
    return kinds[map].name;
}

uint32_t weir_kern_capacity(const struct weir_kern *k, enum weir_map map) {
    struct bpf_map_info info = { 0 };
    uint32_t len = sizeof(info);

    return bpf_obj_get_info_by_fd(k->map_fds[map], &info, &len) < 0 ? 0 : info.max_entries;
}

size_t weir_map_key_size(enum weir_map map) {
    return kinds[map].key;
}

size_t weir_map_value_size(enum weir_map map) {
    return kinds[map].value;
}

/* Where the value lies in what the kernel holds. */
static size_t value_at(enum weir_map map) {
    return kinds[map].keyed ? kinds[map].key : 0;
}

int weir_kern_put(struct weir_kern *k, enum weir_map map, const void *key, const void *value) {
    unsigned char entry[ENTRY_MAX];
    int r;

    if (kinds[map].keyed) {
        memcpy(entry, key, kinds[map].key);
        memcpy(entry + kinds[map].key, value, kinds[map].value);
        value = entry;
    }
    r = bpf_map_update_elem(k->map_fds[map], key, value, BPF_ANY);
    if (r == -E2BIG)
        weir_log(WEIR_LOG_ERROR, "map_full",
                 "map=%s entries=%u effect=\"the configuration is larger than this node can hold\"",
                 kinds[map].name, weir_kern_capacity(k, map));
    return r;
}

int weir_kern_get(struct weir_kern *k, enum weir_map map, const void *key, void *ret_value) {
    unsigned char entry[ENTRY_MAX];
    int r;

    if (!kinds[map].keyed)
        return bpf_map_lookup_elem(k->map_fds[map], key, ret_value);
    r = bpf_map_lookup_elem(k->map_fds[map], key, entry);
    if (r == 0)
        memcpy(ret_value, entry + value_at(map), kinds[map].value);
    return r;
}

int weir_kern_delete(struct weir_kern *k, enum weir_map map, const void *key) {
    int r = bpf_map_delete_elem(k->map_fds[map], key);

    return r == -ENOENT ? 0 : r;
}

/* The next key is asked for before fn runs, so fn may delete the entry it is told of. */
int weir_kern_each(struct weir_kern *k, enum weir_map map, weir_kern_entry_fn *fn, void *arg) {
    unsigned char key[KEY_MAX], next[KEY_MAX];
    uint64_t value[VALUE_MAX / sizeof(uint64_t)];
    int fd = k->map_fds[map], more, r;

    more = bpf_map_get_next_key(fd, NULL, key);
    while (more == 0) {
        more = bpf_map_get_next_key(fd, key, next);
        r = bpf_map_lookup_elem(fd, key, value);
        if (r == 0)
            r = fn(arg, key, (const unsigned char *)value + value_at(map));
        else if (r == -ENOENT)
            r = 0;
        if (r != 0)
            return r;
        memcpy(key, next, sizeof(key));
    }
    return more == -ENOENT ? 0 : more;
}

int weir_kern_settle(struct weir_kern *k) {
    struct timespec pause = { .tv_nsec = 200 * 1000 * 1000 };

    (void)k;
    /* synchronize_rcu() by another name: every program that ran at the call has returned. */
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
        return 0;
    /* Kernels with nohz_full refuse it; a program runs for microseconds. */
    nanosleep(&pause, NULL);
    return 0;
}

int weir_kern_epoch_next(struct weir_kern *k, uint64_t *ret_epoch) {
    struct weir_meta_value meta;
    uint32_t zero = 0;
    int r = weir_kern_get(k, WEIR_MAP_META, &zero, &meta);

    if (r < 0)
        return r;
    meta.epoch++;
    r = weir_kern_put(k, WEIR_MAP_META, &zero, &meta);
    if (r == 0)
        *ret_epoch = meta.epoch;
    return r;
}

int weir_kern_set_flags(struct weir_kern *k, uint32_t flags, uint32_t sidecar_wait_ms) {
    struct weir_meta_value meta;
    uint32_t zero = 0;
    int r = weir_kern_get(k, WEIR_MAP_META, &zero, &meta);

    if (r < 0)
        return r;
    meta.flags = flags;
    meta.sidecar_wait_ms = sidecar_wait_ms;
    return weir_kern_put(k, WEIR_MAP_META, &zero, &meta);
}
