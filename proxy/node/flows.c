/* SPDX-License-Identifier: Apache-2.0 */
/* Where flow records go: the flow log, the followers of the admin socket, and a ring of the last
 * ones for who asks later. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "node/kube.h"
#include "node/state.h"
#include "sys/clock.h"
#include "sys/log.h"

int weir_agent_flows_open(struct weir_agent *a) {
    int fd;

    if (a->flow_log[0] == '\0')
        return 0;
    if (strcmp(a->flow_log, "-") == 0)
        fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        fd = open(a->flow_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    if (a->flow_fd >= 0)
        close(a->flow_fd);
    a->flow_fd = fd;
    return 0;
}

void weir_agent_flows_close(struct weir_agent *a) {
    if (a->flow_fd >= 0)
        close(a->flow_fd);
    a->flow_fd = -1;
    for (size_t i = 0; i < WEIR_AGENT_FLOWS; i++)
        weir_textbuf_deinit(&a->flows[i]);
}

static void log_write(struct weir_agent *a, const struct weir_textbuf *record) {
    if (a->flow_fd >= 0 && write(a->flow_fd, record->ptr, record->len) != (ssize_t)record->len)
        a->n_flows_lost++;
}

void weir_agent_flow_event(void *arg, const struct weir_event *event, bool from_denials) {
    struct weir_agent *a = arg;
    const struct weir_flow_names names = { a->snapshot, a->installed };
    uint64_t now = weir_clock_mono_us(), at = event->at_ns / 1000;
    uint64_t wall = weir_clock_wall_us() - (now > at ? now - at : 0);
    struct weir_textbuf *kept = &a->flows[a->n_flows % WEIR_AGENT_FLOWS];

    weir_agent_kube_flow(a, event);
    kept->len = 0;
    kept->failed = false;
    weir_flow_write(kept, WEIR_FLOW_JSON, event, &names, wall);
    if (kept->failed) {
        kept->len = 0;
        a->n_flows_lost++;
        return;
    }
    a->n_flows++;
    weir_agent_admin_flow(a, kept);
    if (a->params->flow_format == WEIR_FLOW_JSON) {
        log_write(a, kept);
    } else if (a->flow_fd >= 0) {
        struct weir_textbuf text = { 0 };

        weir_flow_write(&text, WEIR_FLOW_TEXT, event, &names, wall);
        if (!text.failed)
            log_write(a, &text);
        weir_textbuf_deinit(&text);
    }
}
