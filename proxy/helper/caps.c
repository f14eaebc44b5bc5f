/* SPDX-License-Identifier: Apache-2.0 */
/* capset(2) directly: libcap is not worth a dependency. Threads started later inherit what is left;
 * call it before any. */
#include "helper/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

#define BIT(cap) (1ULL << (cap))

uint64_t weir_caps_agent(void) {
    return BIT(CAP_BPF) | BIT(CAP_NET_ADMIN) | BIT(CAP_PERFMON);
}

uint64_t weir_caps_helper(bool diag) {
    return BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_PTRACE) | BIT(CAP_SETUID) | BIT(CAP_SETGID) |
           BIT(CAP_KILL) | (diag ? BIT(CAP_NET_ADMIN) : 0);
}

int weir_caps_keep(uint64_t mask) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    /* Needs SETPCAP, so before it is given up; who does not have it has nothing to drop there
     * either. */
    if (data[0].effective & BIT(CAP_SETPCAP))
        for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
            if (!(mask & BIT(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
                return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(mask >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}
