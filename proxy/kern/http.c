/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/http.h"

#include <bpf/libbpf.h>
#include <string.h>

#include "kern/priv.h"
#include "kern/skel.h"

static const char *const programs[] = { "weir_http_egress", "weir_http_ingress" };

bool weir_http_is_program(const struct bpf_program *prog) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(programs); i++)
        if (strcmp(bpf_program__name(prog), programs[i]) == 0)
            return true;
    return false;
}

int weir_kern_http(struct weir_kern *k, bool on) {
    char path[PATH_MAX];
    int r = 0;

    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(programs); i++) {
        if (on) {
            r = weir_link_attach(k, bpf_object__find_program_by_name(k->bpf->obj, programs[i]),
                                 k->cgroup_fd);
            continue;
        }
        r = weir_pin_path(k->pin_dir, "links", programs[i], path, sizeof(path));
        if (r == 0)
            r = weir_pin_link_remove(path);
    }
    return r;
}

static int on_record(void *ctx, void *data, size_t size) {
    struct weir_kern *k = ctx;
    struct weir_http_event e;

    if (size < sizeof(e))
        return 0;
    memcpy(&e, data, sizeof(e));
    k->http_fn(k->http_arg, &e);
    return 0;
}

int weir_kern_http_open(struct weir_kern *k, weir_kern_http_fn *fn, void *arg) {
    if (!k->rings)
        return -EINVAL;
    k->http_fn = fn;
    k->http_arg = arg;
    return ring_buffer__add(k->rings, weir_kern_map_fd(k, "weir_http_events"), on_record, k);
}

int weir_kern_http_counts(const struct weir_kern *k, uint64_t ret_counts[WEIR_HTTP_REASON_SLOTS]) {
    return weir_kern_sums(k, "weir_http_count", WEIR_HTTP_REASON_SLOTS, ret_counts);
}

static const char *const names[] = {
    [WEIR_HTTP_SEEN] = "seen",
    [WEIR_HTTP_LATE] = "late",
    [WEIR_HTTP_GAP] = "gap",
    [WEIR_HTTP_NO_HEAD] = "no_head",
    [WEIR_HTTP_NO_STATUS] = "no_status",
    [WEIR_HTTP_PIPELINED] = "pipelined",
    [WEIR_HTTP_NOT_HTTP1] = "not_http1",
    [WEIR_HTTP_ENCRYPTED] = "encrypted",
    [WEIR_HTTP_RING_FULL] = "ring_full",
    [WEIR_HTTP_NO_ROOM] = "no_room",
    [WEIR_HTTP_NO_ADDRESS] = "no_address",
    [WEIR_HTTP_UNREADABLE] = "unreadable",
};
_Static_assert(WEIR_ARRAY_LEN(names) == WEIR_HTTP_REASON_COUNT_, "every reason has a name");
_Static_assert(WEIR_HTTP_REASON_COUNT_ <= WEIR_HTTP_REASON_SLOTS,
               "weir_http_count has a slot for each");

const char *weir_http_reason_name(unsigned reason) {
    return reason < WEIR_ARRAY_LEN(names) ? names[reason] : "";
}
