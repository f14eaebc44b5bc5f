/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's life: configuration, kernel, privileges, loop, end. The order of the start matters: a
 * bad configuration touches nothing; the kernel half is taken over before anything is changed;
 * privileges go before the first change is made, so that what works at the start works always. The
 * end takes nothing away.
 */
#include "node/agent.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/caps.h"
#include "helper/helper.h"
#include "helper/seccomp.h"
#include "kern/http.h"
#include "node/door.h"
#include "node/kube.h"
#include "node/sign.h"
#include "node/succession.h"
#include "node/tenants.h"
#include "node/tls.h"
#include "sys/cgroup.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/notify.h"

#define TICK_SECONDS   1
#define EVENTS_WAIT_US 20000u
#define LOCK_TRIES     20
#define LOCK_WAIT_MS   50

static const char *text_of(int r) {
    return r > 0 ? weir_kern_outcome_text(r) : strerror(-r);
}

static int failed(const char *what, const char *why) {
    weir_log(WEIR_LOG_ERROR, "agent_failed", "what=\"%s\" why=%s", what,
             weir_log_quote(weir_slice_from_str(why)).s);
    return 1;
}

int weir_agent_poll(struct weir_agent *a, struct weir_agent_source *source, uint32_t events) {
    struct epoll_event event = { .events = events, .data.ptr = source };

    if (epoll_ctl(a->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) == 0)
        return 0;
    if (errno == ENOENT && epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) == 0)
        return 0;
    return -errno;
}

void weir_agent_unpoll(struct weir_agent *a, struct weir_agent_source *source) {
    if (source->fd < 0)
        return;
    (void)epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    close(source->fd);
    source->fd = -1;
}

void weir_agent_reload(struct weir_agent *a, const char *why) {
    int r;

    for (size_t i = 0; i < a->params->n_configs; i++) {
        if (strcmp(a->params->configs[i], "-") == 0) {
            weir_log(WEIR_LOG_WARN, "config_kept", "why=\"standard input cannot be read again\"");
            return;
        }
    }
    r = weir_agent_load(a);
    if (r < 0)
        weir_log(WEIR_LOG_ERROR, "config_kept", "error=%s", strerror(-r));
    if (r)
        return;
    weir_log(a->kube ? WEIR_LOG_DEBUG : WEIR_LOG_INFO, "config_loaded", "generation=%llu why=%s",
             (unsigned long long)a->generation, why);
    if (!a->kern)
        return; /* another agent has it still */
    r = weir_agent_join_apply(a);
    if (r)
        weir_log(WEIR_LOG_ERROR, "join_unchanged", "error=\"%s\"", strerror(-r));
    weir_agent_record_probes(a);
    weir_agent_sync(a, true);
    weir_doors_publish(a);
}

static void signal_ready(void *arg, uint32_t events) {
    struct weir_agent *a = arg;
    struct signalfd_siginfo info;
    int r;

    if (read(a->signals.fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo != SIGHUP) {
        a->stop = true;
        return;
    }
    r = weir_agent_flows_open(a); /* it may have been rotated */
    if (r)
        weir_log(WEIR_LOG_ERROR, "flow_log_kept", "error=%s", strerror(-r));
    weir_agent_reload(a, "signal");
}

static void timer_ready(void *arg, uint32_t events) {
    struct weir_agent *a = arg;
    uint64_t expirations;

    if (read(a->timer.fd, &expirations, sizeof(expirations)) != sizeof(expirations))
        return;
    weir_agent_http_tick(a);
    weir_agent_kube_tick(a);
    if (!a->kern) {
        a->failed = weir_agent_standby(a);
        a->stop = a->stop || a->failed;
        return;
    }
    weir_sign_tick(a);
    (void)weir_helper_look(a->helper);
    weir_tenants_tick(a);
    weir_doors_tick(a);
    if (a->revoke_again)
        weir_agent_revoke(a, false);
    weir_agent_sync(a, false);
    weir_agent_names_tick(a);
    weir_agent_tls_tick(a);
    if (!a->stale)
        weir_agent_prove(a, false);
}

static void config_ready(void *arg, uint32_t events) {
    struct weir_agent *a = arg;

    if (weir_watch_drain(a->config_watch))
        weir_agent_reload(a, "files");
}

static void place_ready(void *arg, uint32_t events) {
    struct weir_agent *a = arg;

    if (weir_watch_drain(a->place_watch))
        weir_agent_sync(a, false);
}

/*
 * The kernel wakes us only for an event behind which nothing waits to be read. Reading at once would have it do so for each: twice a connection,
 * on the core and in the middle of whoever connects. So they are left to gather, not longer than anybody waits for a line of the log.
 */
static void event_ready(void *arg, uint32_t events) {
    struct weir_agent *a = arg;

    a->events_due = weir_clock_mono_us() + EVENTS_WAIT_US;
    (void)weir_agent_poll(a, &a->events, 0);
}

/* How long the loop may sleep, in ms; -1 = until something happens. */
static int patience(const struct weir_agent *a) {
    uint64_t now = weir_clock_mono_us();

    if (a->events_due == 0)
        return -1;
    return now >= a->events_due ? 0 : (int)((a->events_due - now) / 1000 + 1);
}

static void read_events_due(struct weir_agent *a) {
    if (a->events_due == 0 || weir_clock_mono_us() < a->events_due)
        return;
    a->events_due = 0;
    (void)weir_kern_events_read(a->kern, NULL);
    (void)weir_agent_poll(a, &a->events, EPOLLIN);
}

static int open_signals(struct weir_agent *a) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    a->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return a->signals.fd < 0 ? -errno : weir_agent_poll(a, &a->signals, EPOLLIN);
}

static int open_timer(struct weir_agent *a) {
    const struct itimerspec tick = { { TICK_SECONDS, 0 }, { TICK_SECONDS, 0 } };

    a->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (a->timer.fd < 0 || timerfd_settime(a->timer.fd, 0, &tick, NULL) < 0)
        return -errno;
    return weir_agent_poll(a, &a->timer, EPOLLIN);
}

static int open_watches(struct weir_agent *a) {
    int r = weir_watch_new(&a->config_watch);

    for (size_t i = 0; r == 0 && i < a->params->n_configs; i++)
        if (strcmp(a->params->configs[i], "-") != 0)
            r = weir_watch_add(a->config_watch, a->params->configs[i]);
    if (r)
        return r;
    a->config_news.fd = weir_watch_fd(a->config_watch);
    return weir_agent_poll(a, &a->config_news, EPOLLIN);
}

/* A flag beats the document; both outlive a reload as copies. */
static const char *settle(struct weir_agent *a, int slot, const char *flag, const char *document) {
    const char *text = flag ? flag : document;

    a->owned[slot] = weir_strndup(text, strlen(text));
    return a->owned[slot] ? a->owned[slot] : "";
}

/* In a cluster the agent has to know which Pods are its own. */
static const char *name_node(struct weir_agent *a) {
    const char *given = getenv("NODE_NAME");

    if (given && *given)
        return given;
    if (gethostname(a->host_name, sizeof(a->host_name) - 1) < 0)
        return "localhost";
    for (char *c = a->host_name; *c; c++)
        *c = (char)tolower((unsigned char)*c); /* as the kubelet does */
    return a->host_name;
}

static int settle_all(struct weir_agent *a, const struct weir_agent_spec *spec) {
    a->pin_dir = settle(a, 0, a->params->pin_dir, spec->pin_dir);
    a->node = settle(a, 1, a->params->node, spec->node);
    a->admin_path = settle(a, 2, a->params->admin, spec->admin);
    a->flow_log = settle(a, 3, a->params->flow_log, spec->flow_log);
    a->helper_path = settle(a, 4, a->params->helper, spec->helper);
    a->metrics_at = settle(a, 5, a->params->metrics, spec->metrics);
    a->mesh_ca = settle(a, 6, a->params->mesh_ca, spec->mesh_ca);
    a->signer = settle(a, 7, a->params->signer, spec->signer);
    a->trust_bundle = settle(a, 8, a->params->trust_bundle, spec->trust_bundle);
    if (a->params->kubernetes && a->node[0] == '\0')
        a->node = name_node(a);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(a->owned); i++)
        if (!a->owned[i])
            return failed("start", strerror(ENOMEM));
    return 0;
}

static int open_places(struct weir_agent *a) {
    const struct weir_agent_spec *spec = &a->snapshot->agent;
    const char *cgroup = a->params->cgroup ? a->params->cgroup : spec->cgroup;
    int r;

    if (cgroup[0] == '\0' && a->params->kubernetes)
        cgroup = weir_cgroup_pods();
    if (cgroup[0] == '\0')
        return failed("cgroup", "not given: --cgroup, or spec.cgroup of the Agent document");
    r = weir_enrol_init(&a->enrol, cgroup, spec->hold_us);
    if (r == -EINVAL)
        return failed("cgroup", "the root is never used: name the pods' parent below it");
    a->enrol.opt_in = a->params->kubernetes;
    return r ? failed("pods' parent cgroup", strerror(-r)) : 0;
}

/* While there are privileges to give it, and nothing else that it would inherit. */
static int open_helper(struct weir_agent *a) {
    int r = a->helper_path[0] ? weir_helper_connect(a->helper_path, a->enrol.parent, &a->helper)
                              : weir_helper_spawn(a->enrol.parent, &a->helper);

    a->enrol.helper = a->helper;
    return r ? failed("helper", strerror(-r)) : 0;
}

static int open_kernel(struct weir_agent *a) {
    const struct weir_kern_options options = { .cgroup = a->enrol.parent,
                                               .pin_dir = a->pin_dir,
                                               .helper = a->helper };
    int r = weir_kern_open(&options, &a->kern);

    /* One that stands by looks whether the lock is free. */
    for (unsigned i = 0; r == WEIR_KERN_OWNED && a->params->take_over && i < LOCK_TRIES; i++) {
        (void)poll(NULL, 0, LOCK_WAIT_MS);
        r = weir_kern_open(&options, &a->kern);
    }
    if (r)
        return failed("kernel half", text_of(r));
    a->adopted = weir_kern_adopted(a->kern);
    weir_agent_kube_admit_self(a);
    weir_agent_record_probes(a);
    r = weir_plan_read(a->kern, &a->installed);
    if (r == 0)
        r = weir_agent_join_apply(a);
    if (r == 0)
        r = weir_kern_events_open(a->kern, weir_agent_flow_event, a, &a->events.fd);
    if (r == 0)
        r = weir_kern_http_open(a->kern, weir_agent_flow_http, a);
    if (r == 0)
        r = weir_agent_poll(a, &a->events, EPOLLIN);
    return r ? failed("kernel half", text_of(r)) : 0;
}

static int start(struct weir_agent *a) {
    struct rlimit files;
    int r = weir_agent_load(a);

    if (r)
        return r < 0 ? failed("configuration", strerror(-r)) : 1;
    r = settle_all(a, &a->snapshot->agent);
    if (r == 0)
        r = open_places(a);
    if (r == 0)
        r = open_helper(a);
    if (r)
        return r;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r = a->epoll_fd < 0 ? -errno : open_signals(a);
    if (r == 0)
        r = open_timer(a);
    if (r == 0)
        r = open_watches(a);
    if (r)
        return failed("start", strerror(-r));
    if (a->params->take_over) {
        r = weir_agent_succeed(a);
        if (r)
            return r > 0 ? r : failed("succession", strerror(-r));
    }
    r = open_kernel(a);
    if (r)
        return r;
    r = weir_agent_admin_open(a);
    if (r)
        return failed(a->admin_path, strerror(-r));
    r = weir_agent_http_open(a);
    if (r)
        return failed(a->metrics_at, strerror(-r));
    r = weir_agent_flows_open(a);
    if (r)
        return failed(a->flow_log, strerror(-r));
    r = weir_agent_kube_open(a);
    if (r)
        return r > 0 ? r : failed("kubernetes", strerror(-r));
    r = weir_sign_open(a);
    if (r)
        return failed("signer", strerror(-r));
    r = weir_caps_keep(weir_caps_agent());
    if (r == 0)
        r = weir_seccomp_agent();
    return r ? failed("privileges", strerror(-r)) : 0;
}

static void tell_pin(void *arg, const char *what, const char *why) {
    (void)arg;
    weir_log(WEIR_LOG_WARN, "pin_doubtful", "pin=%s problem=%s",
             weir_log_quote(weir_slice_from_str(what)).s,
             weir_log_quote(weir_slice_from_str(why)).s);
}

static int run(struct weir_agent *a) {
    uint32_t n_doubtful;

    weir_agent_sync(a, true);
    /* Adopted programs stay in force whatever happens here; where there are none, nothing would
     * protect anything. */
    if (!a->attached && !a->adopted && weir_agent_kube_synced(a))
        return failed("start", "nothing could be put in force: see above");
    (void)weir_kern_pins(a->kern, tell_pin, NULL, &n_doubtful);
    weir_log(WEIR_LOG_INFO, "agent_ready", "generation=%llu adopted=%s pods=%u enrolled=%u",
             (unsigned long long)a->generation, a->adopted ? "yes" : "no", a->enrol.n_places,
             a->enrol.n_enrolled);
    weir_notify("READY=1");
    while (!a->stop) {
        struct epoll_event event;
        /* One at a time: what a source does may close another one. */
        int n = epoll_wait(a->epoll_fd, &event, 1, patience(a));

        if (n == 1) {
            const struct weir_agent_source *source = event.data.ptr;

            source->ready(source->arg, event.events);
        } else if (n < 0 && errno != EINTR) {
            weir_log(WEIR_LOG_ERROR, "agent_failed", "what=epoll_wait why=\"%s\"", strerror(errno));
            break;
        }
        read_events_due(a);
    }
    if (a->failed)
        return 1;
    weir_notify("STOPPING=1");
    weir_log(WEIR_LOG_INFO, "agent_stopped",
             "pinned=%s effect=\"policy and redirection stay in force\"", a->pin_dir);
    return 0;
}

static void deinit(struct weir_agent *a) {
    weir_agent_admin_close(a);
    weir_agent_http_close(a);
    weir_agent_flows_close(a);
    weir_doors_close(a);
    weir_tenants_close(a);
    weir_sign_close(a);
    weir_agent_kube_close(a);
    weir_agent_tls_close(a);
    weir_kern_close(a->kern);
    weir_helper_free(a->helper);
    weir_mapset_free(a->installed);
    weir_l7_free(a->l7);
    weir_enrol_deinit(&a->enrol);
    weir_watch_free(a->config_watch);
    weir_watch_free(a->place_watch);
    weir_snapshot_unref(a->snapshot);
    weir_documents_unref(a->documents);
    weir_documents_unref(a->documents_next);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(a->owned); i++)
        weir_free(a->owned[i]);
    if (a->signals.fd >= 0)
        close(a->signals.fd);
    if (a->timer.fd >= 0)
        close(a->timer.fd);
    if (a->epoll_fd >= 0)
        close(a->epoll_fd);
    weir_free(a);
}

static struct weir_agent *agent_new(const struct weir_agent_params *params) {
    struct weir_agent *a = weir_calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->params = params;
    a->l7 = weir_l7_new();
    if (!a->l7) {
        weir_free(a);
        return NULL;
    }
    a->pin_dir = a->node = a->admin_path = a->flow_log = a->helper_path = a->metrics_at =
        a->mesh_ca = a->signer = a->trust_bundle = "";
    a->documents_fd = -1;
    weir_list_init(&a->tenants);
    a->epoll_fd = a->flow_fd = -1;
    a->signals = (struct weir_agent_source){ signal_ready, a, -1 };
    a->timer = (struct weir_agent_source){ timer_ready, a, -1 };
    a->config_news = (struct weir_agent_source){ config_ready, a, -1 };
    a->place_news = (struct weir_agent_source){ place_ready, a, -1 };
    a->events = (struct weir_agent_source){ event_ready, a, -1 };
    a->listener.fd = -1;
    for (size_t i = 0; i < WEIR_AGENT_CLIENTS; i++)
        a->clients[i].source.fd = -1;
    return a;
}

int weir_agent_run(const struct weir_agent_params *params) {
    struct weir_agent *a = agent_new(params);
    int code;

    if (!a)
        return failed("start", strerror(ENOMEM));
    code = start(a);
    if (code == 0)
        code = run(a);
    deinit(a);
    return code;
}

static void tell_left(void *arg, const char *what) {
    weir_log(WEIR_LOG_ERROR, "left_behind", "what=%s", weir_log_quote(weir_slice_from_str(what)).s);
}

int weir_agent_uninstall(const struct weir_agent_params *params) {
    struct weir_agent *a = agent_new(params);
    struct weir_agent_spec spec = { 0 };
    struct weir_kern_options options = { 0 };
    char cgroup[4096];
    int r;

    if (!a)
        return failed("uninstall", strerror(ENOMEM));
    weir_agent_spec_default(&spec);
    r = params->n_configs ? weir_agent_load(a) : 0;
    if (r == 0)
        r = settle_all(a, a->snapshot ? &a->snapshot->agent : &spec);
    if (r == 0) {
        const char *parent = params->cgroup ? params->cgroup
                             : a->snapshot  ? a->snapshot->agent.cgroup
                                            : "";

        if (parent[0] && weir_cgroup_path(parent, cgroup, sizeof(cgroup)) == 0)
            options.cgroup = cgroup;
        options.pin_dir = a->pin_dir;
        r = weir_kern_uninstall(&options, tell_left, NULL);
        if (r)
            (void)failed("uninstall", text_of(r));
        if (options.cgroup)
            weir_tenants_sweep(options.cgroup);
    }
    if (r == 0) {
        if (a->admin_path[0])
            (void)unlink(a->admin_path); /* left by an agent that was killed */
        weir_log(WEIR_LOG_INFO, "uninstalled", "pin_dir=%s left=nothing", a->pin_dir);
    }
    deinit(a);
    return r ? 1 : 0;
}
