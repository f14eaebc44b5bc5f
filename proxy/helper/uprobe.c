/* SPDX-License-Identifier: Apache-2.0 */
/* A uprobe as a perf event, not enabled, for whichever process runs the file. */
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/helper.h"

/* The kernel's number for events of this kind; -EOPNOTSUPP. */
static int uprobe_type(void) {
    char text[16] = "";
    FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
    int type = f && fgets(text, sizeof(text), f) ? atoi(text) : 0;

    if (f)
        fclose(f);
    return type > 0 ? type : -EOPNOTSUPP;
}

int weir_helper_uprobe(int file, uint32_t offset, bool at_return, int *ret_fd) {
    struct perf_event_attr attr = { .size = sizeof(attr), .config = at_return };
    int type = uprobe_type(), fd;
    char path[32];

    if (type < 0)
        return type;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    attr.type = (uint32_t)type;
    attr.uprobe_path = (uint64_t)(uintptr_t)path;
    attr.probe_offset = offset;
    fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}
