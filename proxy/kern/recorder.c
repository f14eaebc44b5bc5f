/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/recorder.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include "kern/priv.h"
#include "kern/skel.h"

static int pin_path(const char *pin_dir, char path[PATH_MAX]) {
    return weir_pin_path(pin_dir, "links", WEIR_RECORDER, path, PATH_MAX);
}

int weir_kern_record_probes(struct weir_kern *k, const char *cgroup) {
    char path[PATH_MAX];
    int r = pin_path(k->pin_dir, path), fd;

    if (r < 0)
        return r;
    if (!cgroup || !cgroup[0])
        return weir_pin_link_remove(path);
    r = weir_cgroup_open(cgroup, &fd);
    if (r == 0) {
        r = weir_link_attach(k, k->bpf->progs.weir_probe_record, fd);
        close(fd);
    }
    if (r < 0)
        (void)weir_pin_link_remove(path);
    return r;
}

uint64_t weir_kern_recorder(const char *pin_dir) {
    struct bpf_link_info info = { 0 };
    uint32_t len = sizeof(info);
    char path[PATH_MAX];
    int fd = pin_path(pin_dir, path) < 0 ? -1 : bpf_obj_get(path);

    if (fd < 0)
        return 0;
    if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0 || info.type != BPF_LINK_TYPE_CGROUP)
        info.cgroup.cgroup_id = 0;
    close(fd);
    return info.cgroup.cgroup_id;
}
