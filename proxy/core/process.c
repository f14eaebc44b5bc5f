/* SPDX-License-Identifier: Apache-2.0 */
#include "core/process.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/process_internal.h"
#include "core/routes.h"
#include "sys/entropy.h"
#include "sys/log.h"
#include "sys/notify.h"
#include "sys/procstat.h"
#include "tls/tickets.h"
#include "weir_config.h"

#define OTHER_FDS   64u  /* descriptors that are no connections */
#define FREE_CHUNKS 256u /* kept per thread for reuse: 4 MiB */

/* ---- data threads ---- */

static void access_sink(void *arg, struct weir_bufq *lines) {
    struct weir_process *p = arg;

    weir_outlet_write(&p->outlet, lines);
}

static void worker_idle(void *arg) {
    struct weir_thread *t = arg;

    weir_loop_stop(t->loop);
}

/* A new configuration was put in force on the data thread. */
static void worker_taken(void *arg) {
    struct weir_thread *t = arg;

    if (!t->worker.draining)
        (void)weir_thread_listen(t, t->worker.epoch->rt);
}

static void *thread_main(void *arg) {
    struct weir_thread *t = arg;
    struct weir_process *p = t->process;

    weir_loop_run(t->loop);
    atomic_store(&t->ended, true);
    atomic_fetch_add(&p->n_ended, 1);
    weir_loop_post(p->loop);
    return NULL;
}

int weir_thread_init(struct weir_thread *t, struct weir_process *p, unsigned number) {
    struct weir_runtime *rt = NULL;
    uint64_t seed[2];
    int r;

    t->process = p;
    t->number = number;
    weir_chunk_pool_init(&t->pool, FREE_CHUNKS);
    r = weir_random(seed, sizeof(seed));
    if (r == 0)
        r = weir_loop_new(&t->pool, &t->loop);
    if (r == 0)
        r = weir_worker_init(&t->worker, weir_loop_net(t->loop), &p->quota, seed, number);
    if (r == 0 && t->pod[0])
        r = weir_process_runtime_of(p, t->pod, &rt);
    if (r != 0)
        return r < 0 ? r : -EINVAL;
    if (!rt)
        rt = weir_runtime_ref(p->runtime);
    t->worker.access_sink = access_sink;
    t->worker.access_arg = p;
    t->worker.on_idle = worker_idle;
    t->worker.on_taken = worker_taken;
    t->worker.on_arg = t;
    weir_worker_offer(&t->worker, rt);
    r = weir_worker_take(&t->worker);
    return r == 0 ? weir_thread_listen(t, p->runtime) : r;
}

void weir_thread_join(struct weir_thread *t) {
    if (t->started)
        pthread_join(t->id, NULL);
    t->started = false;
}

void weir_thread_deinit(struct weir_thread *t) {
    if (!t->loop)
        return;
    weir_worker_deinit(&t->worker);
    weir_loop_free(t->loop);
    weir_thread_forget_listening(t);
    weir_chunk_pool_deinit(&t->pool);
}

int weir_thread_start(struct weir_thread *t, size_t stack) {
    pthread_attr_t attr;
    sigset_t all, before;
    int r;

    pthread_attr_init(&attr);
    if (stack)
        (void)pthread_attr_setstacksize(&attr, stack);
    /* Signals belong to the control thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&t->id, &attr, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    t->started = r == 0;
    return r;
}

static uint64_t counted(const struct weir_thread *t, enum weir_counter c) {
    return atomic_load_explicit(&t->worker.metrics.counters[c], memory_order_relaxed);
}

uint64_t weir_thread_connections(const struct weir_thread *t) {
    return counted(t, WEIR_C_DOWN_ACTIVE);
}

uint64_t weir_thread_requests(const struct weir_thread *t) {
    return counted(t, WEIR_C_REQUESTS) + counted(t, WEIR_C_RELAYS);
}

/* ---- admin ---- */

static int64_t earlier(int64_t t, const struct weir_tls_ctx *ctx) {
    int64_t end = ctx ? weir_tls_ctx_not_after(ctx) : 0;

    return end != 0 && (t == 0 || end < t) ? end : t;
}

/* Of all certificates that are shown, the one that ends first; 0 = none. */
static int64_t cert_not_after(const struct weir_process *p) {
    const struct weir_runtime *rt = p->runtime;
    int64_t t = p->identity.svid ? weir_svid_view(p->identity.svid).not_after_s
                                 : earlier(0, rt->tls.mesh_server);

    t = earlier(t, rt->tls.server);

    for (uint32_t i = 0; i < rt->n_gateways; i++)
        t = earlier(t, rt->gateways[i].tls);
    return t;
}

static struct weir_process_metrics process_metrics(struct weir_process *p) {
    struct weir_process_metrics m = { .generation = p->generation,
                                      .reloads = p->reloads,
                                      .reload_failures = p->reload_failures,
                                      .cert_reloads = p->reloads,
                                      .cert_reload_failures = p->cert_failures,
                                      .ticket_rotations = p->ticket_rotations,
                                      .draining = p->draining,
                                      .handshakes = p->quota.handshakes,
                                      .memory_used = weir_mem_used(),
                                      .memory_limit = weir_mem_limit_get(),
                                      .memory_refused = weir_mem_refused() };
    struct weir_names_stats dns = { 0 };
    struct weir_procstat st;

    if (p->names)
        weir_names_stats_get(p->names, &dns);
    if (p->link) {
        m.has_agent = true;
        m.agent_up = p->link->figures.up;
        m.agent_connects = p->link->figures.connects;
        m.agent_failures = p->link->figures.failures;
        m.agent_snapshots = p->link->figures.snapshots;
        m.agent_snapshots_refused = p->link->figures.refused;
        m.agent_bytes = p->link->figures.bytes;
    }
    if (p->identity.svid) {
        const struct weir_svid_view svid = weir_svid_view(p->identity.svid);

        m.has_svid = true;
        m.svid_held = svid.state == WEIR_SVID_HELD;
        m.svid_arrived = svid.arrived;
        m.svid_failed = svid.refused;
    }
    m.dns_ok = dns.answers;
    m.dns_none = dns.negative;
    m.dns_failed = dns.failures;
    m.dns_names = dns.known;
    m.dns_stale = dns.stale;
    weir_procstat_read(&st);
    m.start_time_s = st.start_time_s;
    m.open_fds = st.open_fds;
    m.max_fds = st.max_fds;
    m.resident_bytes = st.resident_bytes;
    m.cpu_us = st.cpu_us;
    m.cert_not_after_s = cert_not_after(p);
    for (unsigned i = 0; i < p->n_threads; i++) {
        m.unknown_original += weir_loop_unknown_original(p->threads[i]->loop);
        m.no_descriptor += weir_loop_refused_no_fd(p->threads[i]->loop);
    }
    return m;
}

static int admin_metrics(void *arg, struct weir_bufq *out) {
    struct weir_process *p = arg;
    struct weir_process_metrics m = process_metrics(p);
    struct weir_metrics **workers = weir_calloc(p->n_threads, sizeof(struct weir_metrics *));
    int r;

    if (!workers)
        return -ENOMEM;
    for (unsigned i = 0; i < p->n_threads; i++)
        workers[i] = &p->threads[i]->worker.metrics;
    r = weir_metrics_expose(workers, p->n_threads, &m, out);
    weir_free(workers);
    return r;
}

static uint64_t sum(const struct weir_process *p, enum weir_counter c) {
    uint64_t n = 0;

    for (unsigned i = 0; i < p->n_threads; i++)
        n += counted(p->threads[i], c);
    return n;
}

static int admin_status(void *arg, struct weir_bufq *out) {
    struct weir_process *p = arg;
    const struct weir_snapshot *s = p->runtime->snapshot;
    const struct weir_tls_ctx *own = p->runtime->tls.mesh_server;
    char agent[256] = "", svid[512], text[2816];

    if (p->link)
        snprintf(agent, sizeof(agent),
                 "\"agent\":{\"state\":\"%s\",\"documents\":%u,\"snapshots\":%llu,"
                 "\"failures\":%llu},",
                 p->link->figures.up ? "connected" : "away", p->link->held ? p->link->held->n : 0,
                 (unsigned long long)p->link->figures.snapshots,
                 (unsigned long long)p->link->figures.failures);
    weir_process_svid_status(p, svid, sizeof(svid));
    snprintf(
        text, sizeof(text),
        "{\"version\":\"%s\",\"pid\":%d,\"workers\":%u,\"draining\":%s,\"generation\":%llu,"
        "\"reloads\":%llu,"
        "\"reloadFailures\":%llu,%s\"pod\":\"%s\",\"identity\":\"%s\",%s\"services\":%u,\"routes\":"
        "%"
        "u,"
        "\"connections\":{\"downstream\":%llu,\"upstream\":%llu},\"requests\":%llu,\"relays\":%llu}"
        "\n",
        WEIR_VERSION, (int)getpid(), p->n_threads, p->draining ? "true" : "false",
        (unsigned long long)p->generation, (unsigned long long)p->reloads,
        (unsigned long long)p->reload_failures, agent, s->proxy.pod,
        own ? weir_tls_ctx_identity(own)->uri : "", svid, s->n_services, s->n_routes,
        (unsigned long long)sum(p, WEIR_C_DOWN_ACTIVE),
        (unsigned long long)sum(p, WEIR_C_UP_ACTIVE), (unsigned long long)sum(p, WEIR_C_REQUESTS),
        (unsigned long long)sum(p, WEIR_C_RELAYS));
    return weir_bufq_append(out, weir_slice_from_str(text));
}

static int admin_routes(void *arg, struct weir_slice query, struct weir_bufq *out) {
    struct weir_process *p = arg;

    return weir_routes_query(p->runtime->snapshot, query, out);
}

static bool admin_ready(void *arg, const char **ret_why) {
    struct weir_process *p = arg;

    *ret_why = "draining";
    return !p->draining;
}

/* A data thread has ended. */
static void admin_posted(void *arg) {
    struct weir_process *p = arg;

    if (p->tenancy && weir_tenancy_posted(p))
        return;
    if (atomic_load(&p->n_ended) < p->n_threads)
        return;
    if (p->tenancy)
        weir_tenancy_close(p);
    if (p->link)
        weir_link_close(p->link);
    weir_workload_close(p->workload);
    weir_admin_close(&p->admin);
    p->on_term = weir_event_free(p->on_term);
    p->on_int = weir_event_free(p->on_int);
    p->on_hup = weir_event_free(p->on_hup);
    p->on_usr2 = weir_event_free(p->on_usr2);
    weir_successor_deinit(&p->successor);
    p->on_watch = weir_event_free(p->on_watch);
    p->on_ticket = weir_event_free(p->on_ticket);
    weir_process_svid_close(p);
    p->names = weir_names_free(p->names);
    weir_loop_stop(p->loop);
}

static const struct weir_admin_ops admin_ops = {
    .metrics = admin_metrics,
    .status = admin_status,
    .routes = admin_routes,
    .ready = admin_ready,
    .posted = admin_posted,
};

/* ---- session tickets ---- */

static void on_ticket(void *arg) {
    struct weir_process *p = arg;

    if (weir_tickets_rotate(p->tickets) == 0)
        p->ticket_rotations++;
    else
        weir_log(WEIR_LOG_ERROR, "tickets", "error=\"no randomness for a new key\"");
}

int weir_process_tickets(struct weir_process *p, uint64_t period_us) {
    if (p->ticket_us == period_us)
        return 0;
    p->on_ticket = weir_event_free(p->on_ticket);
    p->ticket_us = period_us;
    return period_us ? weir_event_every(p->loop, period_us, on_ticket, p, &p->on_ticket) : 0;
}

/* ---- signals ---- */

static void drain(struct weir_process *p, enum weir_drain how) {
    if (p->draining)
        return;
    p->draining = true;
    if (!p->runtime) /* it waits for its agent: there is nothing to drain */
        return;
    weir_log(WEIR_LOG_INFO, "drain", "deadline_ms=%llu",
             (unsigned long long)(p->runtime->snapshot->proxy.limits.drain_us / 1000));
    for (unsigned i = 0; i < p->n_threads; i++) {
        atomic_store(&p->threads[i]->worker.drain_wanted, how);
        weir_loop_post(p->threads[i]->loop);
    }
    if (p->n_threads == 0)
        weir_loop_post(p->loop);
}

void weir_process_drain(struct weir_process *p) {
    drain(p, p->tenancy ? WEIR_DRAIN_GENTLY : WEIR_DRAIN_NOW);
}

static void on_term(void *arg) {
    struct weir_process *p = arg;

    if (p->draining) {
        weir_log(WEIR_LOG_WARN, "drain", "result=cut");
        _exit(1); /* asked twice: at once, and said so by the exit code */
    }
    weir_notify("STOPPING=1");
    weir_process_drain(p);
}

/* From now on the service is that process. Its sockets are ours as well, so that none stops listening; nobody is hurried. */
static void on_successor(void *arg, pid_t pid) {
    struct weir_process *p = arg;
    struct weir_net *net = weir_loop_net(p->loop);

    weir_notify("MAINPID=%d", (int)pid);
    net->ops->stop_listening(net);
    drain(p, WEIR_DRAIN_GENTLY);
}

static void on_usr2(void *arg) {
    struct weir_process *p = arg;

    if (p->draining)
        return;
    if (p->standard_input.n > 0)
        weir_log(
            WEIR_LOG_ERROR, "successor",
            "error=\"the configuration was read from standard input and cannot be read again\"");
    else
        weir_successor_start(&p->successor);
}

static void on_hup(void *arg) {
    struct weir_process *p = arg;

    if (!p->draining && p->runtime)
        weir_process_reload(p);
}

/* ---- the whole ---- */

/*
 * As many descriptors as we are allowed: connections are what this process is for. Returns how many downstream connections
 * fit, each with one upstream beside it; 0 = no bound is known.
 */
static uint64_t raise_fd_limit(void) {
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
        return 0;
    if (rl.rlim_cur < rl.rlim_max) {
        rl.rlim_cur = rl.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
    }
    if (rl.rlim_cur == RLIM_INFINITY)
        return 0;
    return rl.rlim_cur > 2 * OTHER_FDS ? (rl.rlim_cur - OTHER_FDS) / 2 : OTHER_FDS / 2;
}

static unsigned thread_count(const struct weir_proxy_spec *spec) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (spec->workers > 0)
        return spec->workers > 128 ? 128 : spec->workers;
    return cores < 1 ? 1 : cores > 128 ? 128 : (unsigned)cores;
}

/* A quarter is left to what is not counted: the program, stacks, the kernel's side, what malloc loses between blocks. */
void weir_process_settle(struct weir_process *p) {
    const char *name = p->runtime->snapshot->proxy.log_level;
    enum weir_log_level level = WEIR_LOG_INFO;
    uint64_t bytes = p->runtime->snapshot->proxy.limits.memory_bytes;

    (void)weir_log_level_parse(weir_slice_from_str(name), &level);
    weir_log_level_set(level);
    if (bytes == 0)
        bytes = weir_memory_available() / 4 * 3;
    weir_mem_limit((size_t)bytes);
    if (weir_mem_high())
        weir_log(
            WEIR_LOG_ERROR, "memory",
            "limit=%llu used=%zu error=\"the configuration alone takes more than limits.memory "
            "leaves: nothing is served\"",
            (unsigned long long)bytes, weir_mem_used());
}

static int start_threads(struct weir_process *p) {
    unsigned n = thread_count(&p->runtime->snapshot->proxy);
    int r = 0;

    p->threads = weir_calloc(n, sizeof(struct weir_thread *));
    if (!p->threads)
        return -ENOMEM;
    p->n_wanted = n;
    for (; r == 0 && p->n_threads < n; p->n_threads++) {
        struct weir_thread *t = weir_calloc(1, sizeof(*t));

        if (!t)
            return -ENOMEM;
        p->threads[p->n_threads] = t;
        r = weir_thread_init(t, p, p->n_threads);
    }
    if (r == 0)
        r = weir_process_listen_admin(p);
    p->handed = weir_handed_free(p->handed);
    for (unsigned i = 0; r == 0 && i < n; i++)
        r = weir_thread_start(p->threads[i], 0);
    return r;
}

static int open_signals(struct weir_process *p) {
    int r = weir_event_signal(p->loop, SIGTERM, on_term, p, &p->on_term);

    if (r == 0)
        r = weir_event_signal(p->loop, SIGINT, on_term, p, &p->on_int);
    if (r == 0)
        r = weir_event_signal(p->loop, SIGHUP, on_hup, p, &p->on_hup);
    if (r == 0 && !p->tenancy && weir_successor_init(&p->successor, p->loop, on_successor, p) == 0)
        r = weir_event_signal(p->loop, SIGUSR2, on_usr2, p, &p->on_usr2);
    return r;
}

static int start(struct weir_process *p) {
    int r = weir_loop_new(&p->pool, &p->loop);

    if (r < 0)
        return r;
    weir_admin_init(&p->admin, weir_loop_net(p->loop), &admin_ops, p);
    r = weir_names_new(p->loop, weir_process_names_changed, p, &p->names);
    if (r == 0 && p->tenancy)
        r = weir_tenancy_begin(p);
    if (r == 0 && p->params->workload_api)
        r = weir_workload_new(p, p->params->workload_api, &p->workload);
    if (r == 0 && p->link) { /* which may take long */
        r = open_signals(p);
        if (r == 0)
            r = weir_link_begin(p);
    } else if (r == 0) {
        r = weir_process_load(p, &p->runtime);
        if (r == 0 && p->workload)
            weir_process_svid_await(p);
    }
    if (r != 0)
        return r;
    weir_process_settle(p);
    r = p->link ? 0 : open_signals(p);
    if (r == 0 && !p->tenancy)
        r = weir_process_watch(p);
    if (r == 0)
        r = weir_process_tickets(p, p->runtime->snapshot->proxy.ticket_us);
    if (r == 0)
        r = weir_process_svid_open(p);
    if (r == 0)
        r = p->tenancy ? weir_tenancy_open(p) : start_threads(p);
    if (r == 0 && p->link)
        weir_link_open(p);
    return r;
}

static void stop(struct weir_process *p) {
    for (unsigned i = 0; i < p->n_threads && p->threads; i++) {
        weir_thread_join(p->threads[i]);
        weir_thread_deinit(p->threads[i]);
        weir_free(p->threads[i]);
    }
    weir_free(p->threads);
    weir_runtime_unref(p->runtime);
    weir_snapshot_unref(p->next);
    if (p->loop)
        weir_loop_free(p->loop);
    weir_watch_free(p->watch);
    weir_tickets_unref(p->tickets);
    weir_svid_free(p->identity.svid);
    weir_texts_deinit(&p->standard_input);
    weir_quota_deinit(&p->quota);
    weir_outlet_close(&p->outlet);
    if (p->link)
        weir_link_deinit(p->link);
    weir_workload_free(p->workload);
    weir_chunk_pool_deinit(&p->pool);
}

int weir_process_run(const struct weir_process_params *params) {
    struct weir_tenancy tenancy = { params->tenant, params->control_fd, -1 };
    struct weir_link link = { .at = params->agent };
    struct weir_process p = { .params = params,
                              .tenancy = params->tenant ? &tenancy : NULL,
                              .link = params->agent ? &link : NULL };
    uint64_t seed[2] = { 0 };
    int r;

    weir_tls_count_memory();
    weir_mem_exempt(true); /* this thread: whoever looks or mends must get through */
    signal(SIGPIPE, SIG_IGN);
    (void)weir_random(seed, sizeof(seed)); /* a thread that has none does not start */
    weir_quota_init(&p.quota, seed, raise_fd_limit());
    weir_chunk_pool_init(&p.pool, 16);
    weir_texts_init(&p.standard_input, WEIR_CONFIG_MAX);
    r = p.tenancy ? 0 : weir_handed_take(&p.handed);
    if (r == 0)
        r = weir_outlet_open(&p.outlet, STDOUT_FILENO);
    if (r == 0)
        r = start(&p);
    if (r == -ECANCELED && p.link) {
        weir_log(WEIR_LOG_INFO, "stopped", "requests=0 why=\"ended before the agent answered\"");
        return 0;
    }
    if (r != 0) {
        if (r < 0)
            weir_log(WEIR_LOG_ERROR, "start", "error=\"%s\"", strerror(-r));
        return 1; /* the process ends here: nothing to unwind that the kernel does not */
    }
    weir_log(WEIR_LOG_INFO, "ready", "workers=%u generation=%llu", p.n_threads,
             (unsigned long long)p.generation);
    if (!p.tenancy && !weir_successor_report())
        weir_notify("READY=1");
    weir_loop_run(p.loop);
    weir_log(WEIR_LOG_INFO, "stopped", "requests=%llu",
             (unsigned long long)sum(&p, WEIR_C_REQUESTS));
    stop(&p);
    return 0;
}
