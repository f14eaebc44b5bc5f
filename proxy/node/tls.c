/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which libssl the processes of the pods that ask for it run, and probes on each. Looked at anew every few seconds, for a process may load the
 * library late; what no process of theirs runs any more is let go. Everything a pod does here is reading its processes' maps, by the helper.
 */
#include "node/tls.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"
#include "kern/code.h"
#include "kern/tls.h"
#include "node/state.h"
#include "sys/log.h"

#define EVERY_TICKS 3
#define LIBRARIES   128 /* files looked at, at a time; at most half of them programs */
#define PROCESSES   256 /* asked in one round, of all pods */
#define DEPTH_MAX   8
#define SIDECAR     "weir"

static const char *const not_asked = "no Service and no annotation of the Pod asks for it";
static const char *const no_process = "it has no process";
static const char *const no_library =
    "none of its processes runs a libssl: no TLS, or another library than OpenSSL's shared one";
static const char *const no_symbols = "its libssl has no SSL_read and SSL_write by that name";
static const char *const no_probe = "the kernel refused a probe on its libssl";
static const char *const not_read =
    "its libssl lies on a filesystem that a process serves, and is not read";
static const char *const too_many = "more processes or libraries than are looked at";
static const char *const no_helper = "waits for the helper, which is away";

/* A libssl, or a program that runs none. */
struct library {
    uint64_t dev, ino;
    struct weir_tls_probe *probe; /* NULL: refused, with why */
    const char *why;
    const char *linked; /* a program: as weir_code_tls */
    bool is_program;
    bool seen;
};

struct weir_agent_tls {
    struct library libraries[LIBRARIES];
    size_t n;
    unsigned tick;
    unsigned budget; /* of this round */
    bool on;
};

static bool is_asked(const struct weir_agent *a, const struct weir_place_of_pod *p) {
    uint32_t id = a->installed ? weir_plan_id(a->installed, WEIR_NAME_POD, p->name) : 0;
    const struct weir_pod_value *v = id ? weir_mapset_get(a->installed, WEIR_MAP_POD, &id) : NULL;

    return v && !p->pending && (v->flags & WEIR_POD_HTTP);
}

/* A place for the file, found or new (*ret_new). NULL: no room, or no file. */
static struct library *place_of(struct weir_agent_tls *t, int fd, bool program, bool *ret_new) {
    struct stat st;

    *ret_new = false;
    if (fstat(fd, &st) < 0)
        return NULL;
    for (size_t i = 0; i < t->n; i++) {
        if (t->libraries[i].dev != st.st_dev || t->libraries[i].ino != st.st_ino)
            continue;
        t->libraries[i].seen = true;
        return &t->libraries[i];
    }
    if (t->n == LIBRARIES || (program && t->n >= LIBRARIES / 2))
        return NULL;
    *ret_new = true;
    t->libraries[t->n] =
        (struct library){ .dev = st.st_dev, .ino = st.st_ino, .seen = true, .is_program = program };
    return &t->libraries[t->n++];
}

static struct library *library_of(struct weir_agent *a, pid_t pid, int fd) {
    bool is_new;
    struct library *l = place_of(a->tls, fd, false, &is_new);
    int r;

    if (!is_new)
        return l;
    r = weir_kern_tls_sockets(a->kern, true);
    if (r == 0)
        r = weir_kern_tls_attach(a->kern, pid, fd, &l->probe);
    l->why = r == -ENOENT ? no_symbols : r == -EMEDIUMTYPE ? not_read : r ? no_probe : NULL;
    weir_log(r ? WEIR_LOG_WARN : WEIR_LOG_INFO, "tls_probes", "ino=%llu result=\"%s\"",
             (unsigned long long)l->ino, r ? strerror(-r) : "attached");
    return l;
}

/* For people: the process's own name, of which it may say what it likes. */
static void name_of(pid_t pid, char *ret, size_t size) {
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    f = fopen(path, "re");
    if (!f || !fgets(ret, (int)size, f))
        snprintf(ret, size, "%d", (int)pid);
    ret[strcspn(ret, "\n")] = '\0';
    if (f)
        fclose(f);
}

/* It runs no libssl: has it a TLS of its own, which nobody sees? */
static void look_program(struct weir_agent *a, struct weir_place_of_pod *p, pid_t pid) {
    struct weir_code *code;
    struct library *l;
    bool is_new;
    int fd;

    if (p->tls_linked || weir_helper_code(a->helper, pid, "", &fd))
        return;
    l = place_of(a->tls, fd, true, &is_new);
    if (is_new && weir_code_open(fd, &code) == 0) {
        l->linked = weir_code_tls(code);
        weir_code_close(code);
    }
    close(fd);
    if (!l || !l->linked)
        return;
    p->tls_linked = l->linked;
    name_of(pid, p->tls_linked_in, sizeof(p->tls_linked_in));
}

/* What is best known of a pod beats what is worse: a library with probes, one without, none. */
static void look_process(struct weir_agent *a, struct weir_place_of_pod *p, pid_t pid) {
    const struct library *l;
    int fd, r;

    if (a->tls->budget == 0) {
        p->tls_why = p->tls_why ? too_many : NULL;
        return;
    }
    a->tls->budget--;
    if (p->tls_why == no_process)
        p->tls_why = no_library;
    r = weir_helper_code(a->helper, pid, WEIR_TLS_LIBRARY, &fd);
    if (r == -ENOTCONN)
        p->tls_why = no_helper;
    if (r == -ENOENT)
        look_program(a, p, pid);
    if (r)
        return;
    l = library_of(a, pid, fd);
    close(fd);
    if (!l)
        p->tls_why = p->tls_why ? too_many : NULL;
    else if (p->tls_why)
        p->tls_why = l->why;
}

static void look_processes(struct weir_agent *a, struct weir_place_of_pod *p, const char *cgroup) {
    char path[4352], line[32];
    FILE *f;

    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        long pid = strtol(line, NULL, 10);

        if (pid > 1)
            look_process(a, p, (pid_t)pid);
    }
    if (f)
        fclose(f);
}

static void look_cgroup(struct weir_agent *a, struct weir_place_of_pod *p, const char *cgroup,
                        int depth) {
    DIR *dir = opendir(cgroup);
    struct dirent *e;
    char path[4352];

    look_processes(a, p, cgroup);
    while (dir && depth < DEPTH_MAX && (e = readdir(dir))) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.' ||
            (depth == 0 && strcmp(e->d_name, SIDECAR) == 0))
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", cgroup, e->d_name) < (int)sizeof(path))
            look_cgroup(a, p, path, depth + 1);
    }
    if (dir)
        closedir(dir);
}

static void sweep(struct weir_agent *a) {
    struct weir_agent_tls *t = a->tls;
    bool probed = false;

    for (size_t i = 0; i < t->n;) {
        if (t->libraries[i].seen) {
            probed |= !t->libraries[i++].is_program;
            continue;
        }
        weir_tls_probe_free(t->libraries[i].probe);
        t->libraries[i] = t->libraries[--t->n];
    }
    if (!probed)
        (void)weir_kern_tls_sockets(a->kern, false);
}

static void round_of(struct weir_agent *a) {
    const char *impossible = weir_kern_tls_possible();

    a->tls->budget = PROCESSES;
    for (size_t i = 0; i < a->tls->n; i++)
        a->tls->libraries[i].seen = false;
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        p->tls_why = !is_asked(a, p) ? not_asked : impossible ? impossible : no_process;
        p->tls_linked = NULL;
        if (p->tls_why == no_process)
            look_cgroup(a, p, p->cgroup_path, 0);
    }
    sweep(a);
}

void weir_agent_tls_tick(struct weir_agent *a) {
    if (!a->tls)
        a->tls = weir_calloc(1, sizeof(*a->tls));
    if (!a->tls || a->tls->tick++ % EVERY_TICKS != 0 ||
        (a->report.n_http_pods == 0 && a->tls->n == 0))
        return;
    round_of(a);
}

void weir_agent_tls_count(struct weir_agent *a, const struct weir_http_event *event) {
    const char *name = weir_plan_name(a->installed, WEIR_NAME_POD, event->flow.pod);

    if (!(event->exchange.flags & WEIR_HTTP_IS_TLS))
        return;
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        p->tls_exchanges += strcmp(p->name, name) == 0;
    }
}

void weir_agent_tls_status(const struct weir_agent *a, const struct weir_place_of_pod *p,
                           struct weir_textbuf *out) {
    bool asked = is_asked(a, p), linked = asked && p->tls_linked;
    const char *why = !asked             ? not_asked
                      : p->tls_why       ? p->tls_why
                      : p->tls_exchanges ? NULL
                                         : "no exchange yet";
    char text[160];

    if (linked) {
        snprintf(
            text, sizeof(text),
            "its program %s has TLS of its own linked in (%s): what it says by that is not seen",
            p->tls_linked_in, p->tls_linked);
        why = text;
    }
    weir_textbuf_name(out, "tls_telemetry");
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_member(out, "state", linked ? "too_little" : p->tls_exchanges ? "seen" : "none");
    if (why)
        weir_textbuf_member(out, "why", why);
    weir_textbuf_number(out, "exchanges", p->tls_exchanges);
    weir_textbuf_add(out, "}", 1);
}

void weir_agent_tls_close(struct weir_agent *a) {
    for (size_t i = 0; a->tls && i < a->tls->n; i++)
        weir_tls_probe_free(a->tls->libraries[i].probe);
    a->tls = weir_free(a->tls);
}
