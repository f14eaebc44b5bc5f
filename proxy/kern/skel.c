/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/skel.h"

struct weir_bpf *weir_skel_open(const struct bpf_object_open_opts *opts) {
    return weir_bpf__open_opts(opts);
}
