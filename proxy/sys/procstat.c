/* SPDX-License-Identifier: Apache-2.0 */
/* Reads /proc/self and getrusage at scrape time. Nothing is cached and a missing /proc is not an
 * error. */
#include "sys/procstat.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "sys/cgroup.h"
#include "sys/clock.h"
#include "sys/files.h"

static uint64_t count_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    uint64_t n = 0;
    if (!dir)
        return 0;
    for (struct dirent *d; (d = readdir(dir));)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n - 1; /* not the one used for looking */
}

/* n-th blank-separated number behind the command name, counted as in proc(5) where `state` is
 * field 3. */
static uint64_t stat_field(char *text, int field) {
    char *p = strrchr(text, ')'); /* the name may hold anything, brackets too */
    if (!p)
        return 0;
    for (int at = 2; at < field; at++) {
        p = strchr(p + 1, ' ');
        if (!p)
            return 0;
    }
    return strtoull(p + 1, NULL, 10);
}

/* Not from /proc/uptime, which a service with ProcSubset=pid does not see. */
static uint64_t uptime_us(void) {
    struct timespec ts;
    if (clock_gettime(CLOCK_BOOTTIME, &ts) < 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

void weir_procstat_read(struct weir_procstat *ret_stat) {
    struct weir_procstat s = { .open_fds = count_fds() };
    struct rlimit limit;
    struct rusage usage;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        s.max_fds = limit.rlim_cur;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        s.cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                   (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    }
    WEIR_CLEANUP(weir_freep)
    char *text = NULL;
    size_t len;
    if (weir_file_read("/proc/self/stat", 65536, &text, &len) == 0) {
        uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
        s.resident_bytes = stat_field(text, 24) * (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t age_us = uptime_us() - stat_field(text, 22) * 1000000u / hz;
        s.start_time_s = (weir_clock_wall_us() - age_us) / 1000000u;
    }
    *ret_stat = s;
}

/* memory.max of a cgroup directory; UINT64_MAX = none. */
static uint64_t memory_max(const char *dir) {
    WEIR_CLEANUP(weir_freep)
    char *text = NULL;
    char path[PATH_MAX];
    size_t len;
    if (snprintf(path, sizeof(path), "%s/memory.max", dir) >= (int)sizeof(path) ||
        weir_file_read(path, 64, &text, &len) < 0 || text[0] < '0' || text[0] > '9')
        return UINT64_MAX;
    return strtoull(text, NULL, 10);
}

/* The least of what it and its ancestors allow. Within a container its own cgroup is the mount point. */
static uint64_t cgroup_memory(void) {
    char mount[PATH_MAX], relative[PATH_MAX], path[2 * PATH_MAX];
    uint64_t least = UINT64_MAX;
    if (weir_cgroup_mount(mount, sizeof(mount)) < 0 ||
        weir_cgroup_of(0, relative, sizeof(relative)) < 0)
        return least;
    snprintf(path, sizeof(path), "%s%s", mount, relative);
    for (;;) {
        uint64_t max = memory_max(path);
        if (max < least)
            least = max;
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < strlen(mount))
            return least;
        *slash = '\0';
    }
}

uint64_t weir_memory_available(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    uint64_t all = pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
    uint64_t ours = cgroup_memory();
    struct rlimit data;
    if (getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY &&
        data.rlim_cur < ours)
        ours = data.rlim_cur;
    return all == 0 && ours == UINT64_MAX ? 0 : all == 0 || ours < all ? ours : all;
}
