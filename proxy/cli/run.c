/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir run: one command in a fresh cgroup, meshed, and nothing left behind. The agent and a sidecar run as children; the
 * agent's pins live in a bpffs of its own mount namespace, so that the kernel forgets everything when it ends,
 * however it ends. The command shares this machine's network: what it calls is meshed (policy, balancing, routes, mTLS),
 * what others call here is left alone, because that would touch processes that are not its own.
 */
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/verb.h"
#include "core/process.h"
#include "node/agent.h"
#include "sys/cgroup.h"
#include "sys/files.h"

#define NOBODY       65534
#define READY_TRIES  200 /* 50 ms each */
#define SIDECAR_PORT 15001

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "config", 'c', "PATH", "file or directory with Kubernetes documents; repeatable; watched" },
    { "name", 0, "NS/NAME", "the Pod the command is (default default/run)" },
    { "service-account", 0, "NAME", "its identity (default: default)" },
    { "label", 'l', "KEY=VALUE", "a label of the Pod, for policies; repeatable" },
    { "join", 0, "off|auto|on",
      "join its sockets; on declares that it does not splice (default: auto)" },
    { "identity", 0, "DIR", "tls.crt, tls.key, ca.crt for mTLS to meshed servers" },
    { "log", 0, "FILE", "where agent and sidecar write, flow records included" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_run = {
    .name = "run",
    .words = "-- COMMAND [ARGUMENT...]",
    .summary = "run a command in a fresh cgroup, meshed; nothing is left behind",
    .more =
        "  weir run --config mesh/ --label app=web -- curl http://10.96.0.10/\n\n"
        "As root. What the command calls goes through policy, balancing, routes and mTLS; what "
        "is called on this\n"
        "machine is left alone. The exit code is the command's. In its environment WEIR_AGENT is "
        "the agent's socket.\n",
    .options = options,
    .run = run,
};

struct session {
    struct weir_args *args;
    char dir[64];      /* temporary files */
    char document[96]; /* the Pod */
    char socket[96];   /* the agent's */
    char bpffs[96];
    char relative[64];    /* parent cgroup below the mount */
    char cgroup[3][4096]; /* parent, parent/pod, then its leaves are made below */
    char app[4200], sidecar[4200];
    const char *config[WEIR_ARGS_MAX + 1];
    unsigned n_config;
    char pod[256]; /* NS/NAME */
    pid_t agent, proxy;
};

/* ---- set-up ---- */

static const char *pod_word(const struct session *s) {
    const char *name = weir_args_value(s->args, "name");

    return name ? name : "default/run";
}

static int write_pod(struct session *s) {
    const char *slash = strchr(s->pod, '/'), *account = weir_args_value(s->args, "service-account");
    const char *join = weir_args_value(s->args, "join");
    struct weir_arena arena;
    char *text, *labels;
    int r;

    weir_arena_init(&arena, 4096);
    labels = weir_arena_printf(&arena, "%s", "");
    for (unsigned i = 0; labels && i < s->args->n_given; i++) {
        const char *v = s->args->given[i].value, *equals = strchr(v, '=');

        if (strcmp(s->args->given[i].option->name, "label") != 0 || !equals)
            continue;
        labels = weir_arena_printf(&arena, "%s%s\"%.*s\": \"%s\"", labels, labels[0] ? ", " : "",
                                   (int)(equals - v), v, equals + 1);
    }
    text = labels ? weir_arena_printf(
                        &arena,
                        "apiVersion: v1\nkind: Pod\nmetadata:\n  namespace: %.*s\n  name: %s\n"
                        "  labels: {%s}\n  annotations:\n    weir.dev/mode: sidecar\n"
                        "    weir.dev/cgroup: %s/pod\n    weir.dev/join: \"%s\"\nspec:\n  "
                        "serviceAccountName: %s\n"
                        "  hostNetwork: true\n",
                        (int)(slash - s->pod), s->pod, slash + 1, labels, s->relative,
                        join ? join : "auto", account ? account : "default")
                  : NULL;
    r = text ? weir_file_replace(s->document, 0644, text, strlen(text)) : -ENOMEM;
    weir_arena_deinit(&arena);
    return r;
}

static int make_cgroups(struct session *s) {
    int r = weir_cgroup_path(s->relative, s->cgroup[0], sizeof(s->cgroup[0]));

    if (r < 0)
        return r;
    snprintf(s->cgroup[1], sizeof(s->cgroup[1]), "%.4000s/pod", s->cgroup[0]);
    snprintf(s->app, sizeof(s->app), "%s/app", s->cgroup[1]);
    snprintf(s->sidecar, sizeof(s->sidecar), "%s/weir", s->cgroup[1]);
    for (unsigned i = 0; i < 4 && r == 0; i++)
        r = weir_cgroup_create(i < 2 ? s->cgroup[i] : i == 2 ? s->app : s->sidecar);
    return r;
}

static void remove_all(struct session *s) {
    if (s->app[0]) {
        (void)weir_cgroup_remove(s->app);
        (void)weir_cgroup_remove(s->sidecar);
        (void)weir_cgroup_remove(s->cgroup[1]);
        (void)weir_cgroup_remove(s->cgroup[0]);
    }
    (void)unlink(s->document);
    (void)unlink(s->socket);
    (void)rmdir(s->bpffs);
    (void)rmdir(s->dir);
}

static int set_up(struct session *s) {
    snprintf(s->dir, sizeof(s->dir), "/tmp/weir-run-XXXXXX");
    if (!mkdtemp(s->dir) || chmod(s->dir, 0755) < 0)
        return -errno;
    snprintf(s->document, sizeof(s->document), "%s/pod.yaml", s->dir);
    snprintf(s->socket, sizeof(s->socket), "%s/agent.sock", s->dir);
    snprintf(s->bpffs, sizeof(s->bpffs), "%s/bpf", s->dir);
    snprintf(s->relative, sizeof(s->relative), "/weir-run-%d", (int)getpid());
    if (mkdir(s->bpffs, 0700) < 0)
        return -errno;
    for (unsigned i = 0; i < s->args->n_given; i++)
        if (strcmp(s->args->given[i].option->name, "config") == 0)
            s->config[s->n_config++] = s->args->given[i].value;
    s->config[s->n_config++] = s->document;
    return 0;
}

/* ---- children ---- */

static void write_to_log(const struct session *s) {
    const char *path = weir_args_value(s->args, "log");
    int fd = open(path ? path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0)
        return;
    dup2(fd, STDOUT_FILENO);
    if (path)
        dup2(fd, STDERR_FILENO);
}

/* Dies with its parent, so that even SIGKILL of `weir run` ends the mesh of its command. */
static void tie_to_parent(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static int agent_child(struct session *s) {
    char pins[128];
    struct weir_agent_params params = {
        .configs = s->config,
        .n_configs = s->n_config,
        .cgroup = s->relative,
        .pin_dir = pins,
        .admin = s->socket,
        .flow_log = "-",
    };

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("bpf", s->bpffs, "bpf", 0, NULL) < 0) {
        fprintf(stderr, "weir run: a bpffs of its own: %s\n", strerror(errno));
        return 1;
    }
    snprintf(pins, sizeof(pins), "%s/weir", s->bpffs);
    return weir_agent_run(&params);
}

static void overlay(struct weir_snapshot *snapshot, void *arg) {
    const struct session *s = arg;
    const char *identity = weir_args_value(s->args, "identity");
    struct weir_proxy_spec *spec = &snapshot->proxy;

    spec->pod = s->pod;
    spec->outbound = "127.0.0.1:15001";
    spec->inbound = "127.0.0.1:15006";
    spec->admin = "127.0.0.1:15000";
    spec->workers = 1;
    if (identity)
        spec->identity_dir = identity;
}

static int proxy_child(struct session *s) {
    const struct weir_process_params params = { s->config, s->n_config, overlay, s };
    int r = weir_cgroup_enter(s->sidecar, 0);

    if (r < 0 || setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        fprintf(stderr, "weir run: sidecar's privileges: %s\n", strerror(r < 0 ? -r : errno));
        return 1;
    }
    return weir_process_run(&params);
}

static pid_t start(struct session *s, int (*child)(struct session *s)) {
    pid_t parent = getpid(), pid;

    fflush(NULL);
    pid = fork();
    if (pid != 0)
        return pid;
    tie_to_parent(parent);
    signal(SIGINT, SIG_IGN); /* the terminal's ^C is for the command */
    write_to_log(s);
    _exit(child(s));
}

static bool alive(pid_t pid) {
    return waitpid(pid, NULL, WNOHANG) == 0;
}

static bool enrolled(const struct session *s) {
    WEIR_CLEANUP(weir_freep)
    char *answer = NULL;

    return weir_client_ask(s->socket, "status", &answer) == 0 &&
           strstr(answer, "\"pods_enrolled\":1") && strstr(answer, "\"in_force\"");
}

static bool listening(const struct session *s) {
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(SIDECAR_PORT) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes;

    (void)s;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    yes = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static int await(struct session *s, pid_t pid, bool (*ready)(const struct session *s),
                 const char *who) {
    for (unsigned i = 0; i < READY_TRIES; i++) {
        if (!alive(pid))
            return weir_failed(s->args, "the %s did not start%s", who,
                               weir_args_has(s->args, "log") ? ": see the log" : "");
        if (ready(s))
            return 0;
        (void)poll(NULL, 0, 50);
    }
    return weir_failed(s->args, "the %s is not ready after 10 seconds; --log FILE says more", who);
}

static void stop(pid_t *pid) {
    if (*pid <= 0)
        return;
    kill(*pid, SIGTERM);
    kill(*pid, SIGCONT);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}

/* ---- the command ---- */

static int command(struct session *s) {
    pid_t parent = getpid(), pid;
    int status, r;

    fflush(NULL);
    pid = fork();
    if (pid < 0)
        return weir_failed(s->args, "fork: %s", strerror(errno));
    if (pid == 0) {
        tie_to_parent(parent);
        r = weir_cgroup_enter(s->app, 0);
        setenv("WEIR_AGENT", s->socket, 1);
        if (r == 0)
            execvp(s->args->words[0], s->args->words);
        fprintf(stderr, "weir run: %s: %s\n", s->args->words[0], strerror(r < 0 ? -r : errno));
        _exit(errno == ENOENT ? 127 : 126);
    }
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int meshed(struct session *s) {
    int r;

    s->agent = start(s, agent_child);
    r = await(s, s->agent, enrolled, "agent");
    if (r)
        return r;
    s->proxy = start(s, proxy_child);
    r = await(s, s->proxy, listening, "sidecar");
    return r ? r : command(s);
}

static int check(struct session *s) {
    struct weir_args *args = s->args;
    const char *slash, *join;

    if (args->n_words == 0)
        return weir_usage(args, "which command?");
    if (geteuid() != 0)
        return weir_failed(args, "needs root: it makes a cgroup and loads kernel programs");
    snprintf(s->pod, sizeof(s->pod), "%s", pod_word(s));
    slash = strchr(s->pod, '/');
    if (!slash || slash == s->pod || !slash[1])
        return weir_usage(args, "--name %s: NAMESPACE/NAME", s->pod);
    join = weir_args_value(args, "join");
    if (join && strcmp(join, "off") != 0 && strcmp(join, "auto") != 0 && strcmp(join, "on") != 0)
        return weir_usage(args, "--join %s: off, auto or on", join);
    for (unsigned i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, "label") == 0 && !strchr(args->given[i].value, '='))
            return weir_usage(args, "--label %s: KEY=VALUE", args->given[i].value);
    return 0;
}

static int run(struct weir_args *args) {
    struct session s = { .args = args };
    int code = check(&s), r;

    if (code)
        return code;
    r = set_up(&s);
    if (r == 0)
        r = write_pod(&s);
    if (r == 0)
        r = make_cgroups(&s);
    code = r < 0 ? weir_failed(args, "%s", strerror(-r)) : meshed(&s);
    stop(&s.proxy);
    stop(&s.agent);
    remove_all(&s);
    return code;
}
