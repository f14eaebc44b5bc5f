/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/proof.h"

#include <bpf/bpf.h>

#include "helper/helper.h"
#include "kern/priv.h"

const char *weir_proof_text(int outcome) {
    switch (outcome) {
    case WEIR_PROOF_NOT_REFUSED:
        return "a call from inside was not refused: the connect programs do not see this pod";
    case WEIR_PROOF_NOT_SEEN:
        return "a call from inside was refused, but not counted for this pod";
    case WEIR_PROOF_NO_LOOKUP:
        return "no sk_lookup program of ours is in its network namespace";
    default:
        return "";
    }
}

static int seen(const struct weir_kern *k, uint32_t pod, struct weir_canary_value *ret) {
    int fd = weir_kern_map_fd(k, "weir_canary"), r;

    if (fd < 0)
        return fd;
    *ret = (struct weir_canary_value){ 0 };
    r = bpf_map_lookup_elem(fd, &pod, ret);
    return r == -ENOENT ? 0 : r;
}

int weir_kern_prove(struct weir_kern *k, uint32_t pod, const char *cgroup, int netns_fd,
                    bool has_lookup) {
    const struct weir_helper_place place = { cgroup, netns_fd };
    struct weir_canary_value before, after;
    struct weir_canary said;
    int r = seen(k, pod, &before);

    if (r == 0)
        r = weir_helper_canary(k->helper, &place, &said);
    if (r == 0)
        r = seen(k, pod, &after);
    if (r)
        return r;
    if (said.v4 == 0 || said.v6 == 0)
        return WEIR_PROOF_NOT_REFUSED;
    /* A namespace may be without one of the families, not without both. */
    if ((said.v4 < 0 && said.v6 < 0) || (said.v4 > 0 && after.seen[0] == before.seen[0]) ||
        (said.v6 > 0 && after.seen[1] == before.seen[1]))
        return WEIR_PROOF_NOT_SEEN;
    return has_lookup && !weir_pod_link_lives(k, pod, netns_fd) ? WEIR_PROOF_NO_LOOKUP : 0;
}

int weir_kern_by_sidecar(const struct weir_kern *k, const struct weir_tuple *tuple) {
    int fd = weir_kern_map_fd(k, "weir_app_tuple");
    uint8_t one;

    return fd < 0 ? fd : bpf_map_lookup_elem(fd, tuple, &one);
}
