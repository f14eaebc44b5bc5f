/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * recvfrom() and recvmsg(), UDP: an answer of the endpoint is shown as the service's. Cannot refuse
 * (the verifier asks for 1); without a note of the socket the real source is shown, which is the
 * safe side.
 */
#include "lib/origin.bpf.h"

SEC("cgroup/recvmsg4")
int weir_recvmsg4(struct bpf_sock_addr *ctx) {
    weir_origin_show4(ctx);
    return 1;
}

SEC("cgroup/recvmsg6")
int weir_recvmsg6(struct bpf_sock_addr *ctx) {
    weir_origin_show6(ctx);
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
