/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup that hands controllers on takes no process itself; then a leaf is made for the canary and
 * taken away again. */
#include "kern/proof.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kern/netns.h"
#include "kern/priv.h"

#define LEAF "weir-canary"

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

static int open_directory(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int try_in(const char *cgroup, int netns_fd, struct weir_canary *ret) {
    int fd = open_directory(cgroup), r;

    if (fd < 0)
        return fd;
    r = weir_netns_canary(fd, netns_fd, ret);
    close(fd);
    return r;
}

static int try_in_leaf(const char *cgroup, int netns_fd, struct weir_canary *ret) {
    char leaf[PATH_MAX];
    int n = snprintf(leaf, sizeof(leaf), "%s/" LEAF, cgroup), r;

    if (n < 0 || (size_t)n >= sizeof(leaf))
        return -ENAMETOOLONG;
    /* One may be left over from an agent that was killed in between. */
    if (mkdir(leaf, 0755) < 0 && errno != EEXIST)
        return -errno;
    r = try_in(leaf, netns_fd, ret);
    (void)rmdir(leaf);
    return r;
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
    struct weir_canary_value before, after;
    struct weir_canary said;
    int r = seen(k, pod, &before);

    if (r == 0)
        r = try_in(cgroup, netns_fd, &said);
    if (r == -EBUSY)
        r = try_in_leaf(cgroup, netns_fd, &said);
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
