/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/err.h"
#include "weir_test.h"

static uint64_t held(int which) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct d[2] = { { 0 } };

    syscall(SYS_capget, &header, d);
    switch (which) {
    case 0:
        return d[0].effective | (uint64_t)d[1].effective << 32;
    case 1:
        return d[0].permitted | (uint64_t)d[1].permitted << 32;
    default:
        return d[0].inheritable | (uint64_t)d[1].inheritable << 32;
    }
}

/* In the child: 0 = as promised, else which promise was broken. */
static int keep_and_look(uint64_t mask) {
    uint64_t before = held(1);

    if (weir_caps_keep(mask) != 0)
        return 1;
    if (held(0) != (before & mask) || held(1) != (before & mask))
        return 2;
    if (held(2) != 0)
        return 3;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 4;
    if ((before >> CAP_SETPCAP & 1) && prctl(PR_CAPBSET_READ, CAP_SYS_MODULE, 0, 0, 0) != 0)
        return 5;
    if ((before >> CAP_SYS_CHROOT & 1) && chroot("/") == 0)
        return 6;
    return 0;
}

static void only_the_named_ones_stay_and_none_can_come_back(void **state) {
    const uint64_t masks[] = { weir_caps_agent(), weir_caps_helper(false), 0 };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(masks); i++) {
        pid_t child = fork();
        int status;

        if (child == 0)
            _exit(keep_and_look(masks[i]));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static uint64_t bits(size_t n, const int *caps) {
    uint64_t mask = 0;

    for (size_t i = 0; i < n; i++)
        mask |= 1ULL << caps[i];
    return mask;
}

static void agent_and_helper_share_none(void **state) {
    const int agent[] = { CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON };
    const int helper[] = { CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SETUID, CAP_SETGID, CAP_KILL };

    assert_int_equal(weir_caps_agent(), bits(3, agent));
    assert_int_equal(weir_caps_helper(false), bits(5, helper));
    assert_int_equal(weir_caps_helper(true), bits(5, helper) | 1ULL << CAP_NET_ADMIN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_named_ones_stay_and_none_can_come_back),
        cmocka_unit_test(agent_and_helper_share_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
