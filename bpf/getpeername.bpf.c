/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * getpeername(): an application sees the address it asked for. Cannot refuse; without a note of the
 * socket the real peer is shown. Also runs inside accept(), where no accepted socket has such a
 * note.
 */
#include "lib/origin.bpf.h"

SEC("cgroup/getpeername4")
int weir_getpeername4(struct bpf_sock_addr *ctx) {
    weir_origin_show4(ctx);
    return 1;
}

SEC("cgroup/getpeername6")
int weir_getpeername6(struct bpf_sock_addr *ctx) {
    weir_origin_show6(ctx);
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
