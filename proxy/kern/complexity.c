/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/complexity.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kern/priv.h"
#include "kern/skel.h"

/* With maps of its own: nothing pinned is touched. */
static int load_apart(struct weir_bpf *bpf) {
    bool can_join = weir_join_possible() == NULL;
    struct bpf_program *prog;
    struct bpf_map *map;
    int r = 0;

    bpf_object__for_each_map(map, bpf->obj) {
        if (r == 0)
            r = bpf_map__set_pin_path(map, NULL);
    }
    bpf_object__for_each_program(prog, bpf->obj) {
        if (r == 0 && !can_join && weir_join_is_program(bpf, prog))
            r = bpf_program__set_autoload(prog, false);
    }
    if (r == 0)
        r = weir_object_optional(bpf);
    return r ? r : weir_bpf__load(bpf);
}

int weir_kern_complexity(weir_complexity_fn *fn, void *arg) {
    struct weir_bpf *bpf = weir_skel_open(NULL);
    struct bpf_program *prog;
    int r = bpf ? load_apart(bpf) : -ENOMEM;

    if (r < 0) {
        weir_bpf__destroy(bpf);
        return r;
    }
    bpf_object__for_each_program(prog, bpf->obj) {
        struct bpf_prog_info info = { 0 };
        uint32_t len = sizeof(info);

        if (bpf_program__autoload(prog) &&
            bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len) == 0)
            fn(arg, bpf_program__name(prog), info.verified_insns);
    }
    weir_bpf__destroy(bpf);
    return 0;
}
