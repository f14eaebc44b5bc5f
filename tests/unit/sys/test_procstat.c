/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/procstat.h"

#include "weir_test.h"

#include <fcntl.h>
#include <time.h>

static void an_opened_descriptor_is_counted(void **state) {
    struct weir_procstat before, after;
    weir_procstat_read(&before);
    int fd = open("/dev/null", O_RDONLY);
    weir_procstat_read(&after);
    close(fd);
    assert_true(before.open_fds >= 3);
    assert_int_equal(after.open_fds, before.open_fds + 1);
    assert_true(after.max_fds >= after.open_fds);
}

static void the_start_is_a_moment_ago(void **state) {
    struct weir_procstat s;
    weir_procstat_read(&s);
    uint64_t now = (uint64_t)time(NULL);
    /* Within the granularity of a clock tick, and however slow this machine is. */
    assert_in_range(s.start_time_s, now - 3600, now + 1);
}

static void memory_and_cpu_are_plausible(void **state) {
    struct weir_procstat s, later;
    weir_procstat_read(&s);
    assert_in_range(s.resident_bytes, 64 * 1024, 1u << 31);
    size_t n = 32u << 20;
    char *p = malloc(n);
    for (size_t i = 0; i < n; i += 512)
        ((volatile char *)p)[i] = 1;
    weir_procstat_read(&later);
    free(p);
    assert_true(later.resident_bytes >= s.resident_bytes + n / 2);
    assert_true(later.cpu_us >= s.cpu_us);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_opened_descriptor_is_counted),
        cmocka_unit_test(the_start_is_a_moment_ago),
        cmocka_unit_test(memory_and_cpu_are_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
