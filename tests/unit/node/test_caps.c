/* SPDX-License-Identifier: Apache-2.0 */
#include "node/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

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
    const uint64_t masks[] = { weir_caps_agent(), 0 };

    for (size_t i = 0; i < 2; i++) {
        pid_t child = fork();
        int status;

        if (child == 0)
            _exit(keep_and_look(masks[i]));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void the_agent_keeps_five(void **state) {
    assert_int_equal(__builtin_popcountll(weir_caps_agent()), 5);
    assert_true(weir_caps_agent() >> CAP_BPF & 1);
    assert_false(weir_caps_agent() >> CAP_SETUID & 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_named_ones_stay_and_none_can_come_back),
        cmocka_unit_test(the_agent_keeps_five),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
