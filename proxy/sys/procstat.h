/* SPDX-License-Identifier: Apache-2.0 */
/* What this process uses, for the process_* metrics. */
#ifndef WEIR_SYS_PROCSTAT_H
#define WEIR_SYS_PROCSTAT_H

#include <stdint.h>

struct weir_procstat {
    uint64_t start_time_s;      /* since the epoch */
    uint64_t open_fds, max_fds; /* max: the soft limit */
    uint64_t resident_bytes;
    uint64_t cpu_us; /* user + system, all threads */
};

/* What cannot be read (no /proc) stays 0. */
void weir_procstat_read(struct weir_procstat *ret_stat);

/* Bytes of memory this process may have: the machine's, or its cgroup's or its own (RLIMIT_DATA) when that is less. 0 = unknown. */
uint64_t weir_memory_available(void);

#endif
