/* SPDX-License-Identifier: Apache-2.0 */
/* Where flow records go: the flow log, the followers of the admin socket, and a ring of the last
 * ones for who asks later. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "node/kube.h"
#include "node/state.h"
#include "node/tls.h"
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

/* One record into a buffer; `of` is the kernel's. */
typedef void write_fn(struct weir_textbuf *t, enum weir_flow_format format, const void *of,
                      const struct weir_flow_names *names, uint64_t wall_us);

static void record(struct weir_agent *a, write_fn *write_one, const void *of, uint64_t at_ns) {
    const struct weir_flow_names names = { a->snapshot, a->installed };
    uint64_t now = weir_clock_mono_us(), at = at_ns / 1000;
    uint64_t wall = weir_clock_wall_us() - (now > at ? now - at : 0);
    struct weir_textbuf *kept = &a->flows[a->n_flows % WEIR_AGENT_FLOWS];

    kept->len = 0;
    kept->failed = false;
    write_one(kept, WEIR_FLOW_JSON, of, &names, wall);
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

        write_one(&text, WEIR_FLOW_TEXT, of, &names, wall);
        if (!text.failed)
            log_write(a, &text);
        weir_textbuf_deinit(&text);
    }
}

static void write_event(struct weir_textbuf *t, enum weir_flow_format format, const void *of,
                        const struct weir_flow_names *names, uint64_t wall_us) {
    weir_flow_write(t, format, of, names, wall_us);
}

static void write_http(struct weir_textbuf *t, enum weir_flow_format format, const void *of,
                       const struct weir_flow_names *names, uint64_t wall_us) {
    weir_flow_write_http(t, format, of, names, wall_us);
}

void weir_agent_flow_event(void *arg, const struct weir_event *event, bool from_denials) {
    (void)from_denials;
    weir_agent_kube_flow(arg, event);
    record(arg, write_event, event, event->at_ns);
}

void weir_agent_flow_http(void *arg, const struct weir_http_event *event) {
    struct weir_agent *a = arg;

    weir_l7_count(a->l7, weir_plan_name(a->installed, WEIR_NAME_SERVICE, event->flow.service),
                  event);
    weir_agent_tls_count(a, event);
    record(a, write_http, event, event->exchange.began_ns);
}
