/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The successor is a grandchild, so that the service manager is its parent at once and its end is not ours to collect. It writes
 * two things into a pipe: its process id before it becomes the other program, and one byte when it serves.
 */
#include "core/process_successor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/handed.h"
#include "sys/files.h"
#include "sys/log.h"

#define READY_FD    "WEIR_READY_FD" /* the variable that says where to write the byte */
#define LISTENERS   4096u
#define PATIENCE_US 60000000u /* until it must serve */
#define FIRST_FD    3
#define ARGUMENTS   (128u * 1024u) /* bytes */
#define PID_AT      (sizeof("LISTEN_PID=") - 1)
#define PID_DIGITS  10

/* All that the new process needs, made before there is one: after fork() nothing may be allocated. */
struct birth {
    char *program;
    char *arguments; /* one after the other, each with its NUL */
    char **argv, **envp;
    char listen_pid[PID_AT + PID_DIGITS + 1], listen_fds[32], ready_fd[32];
    int *fds;
    int n, pipe;
};

/* ---- the new process: async-signal-safe calls only ---- */

static void write_digits(char *to, pid_t pid) {
    for (int i = PID_DIGITS; i-- > 0; pid /= 10)
        to[i] = (char)('0' + pid % 10);
}

/* Listeners at 3, 4, ..., then the pipe. First all out of the way, since they may be where others go. */
static bool place(struct birth *b) {
    int beyond = FIRST_FD + b->n + 1;

    for (int i = 0; i < b->n; i++)
        if ((b->fds[i] = fcntl(b->fds[i], F_DUPFD_CLOEXEC, beyond)) < 0)
            return false;
    b->pipe = fcntl(b->pipe, F_DUPFD_CLOEXEC, beyond);
    if (b->pipe < 0)
        return false;
    for (int i = 0; i < b->n; i++)
        if (dup2(b->fds[i], FIRST_FD + i) < 0)
            return false;
    return dup2(b->pipe, FIRST_FD + b->n) >= 0;
}

static void become(struct birth *b) {
    pid_t pid = fork();

    if (pid != 0)
        _exit(pid < 0);
    pid = getpid();
    write_digits(b->listen_pid + PID_AT, pid);
    if (place(b) && write(b->pipe, &pid, sizeof(pid)) == sizeof(pid))
        execve(b->program, b->argv, b->envp);
    _exit(1); /* the pipe ends: that says it */
}

/* ---- preparing it ---- */

static char **split(char *text, size_t len) {
    size_t n = 0;
    char **argv;

    for (size_t i = 0; i < len; i++)
        n += text[i] == '\0';
    argv = weir_calloc(n + 1, sizeof(char *));
    n = 0;
    for (size_t i = 0; argv && i < len; i += strlen(text + i) + 1)
        argv[n++] = text + i;
    return argv;
}

static bool starts(const char *text, const char *name) {
    return strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == '=';
}

static char **environment(struct birth *b) {
    size_t n = 0;
    char **envp;

    while (environ[n])
        n++;
    envp = weir_calloc(n + 4, sizeof(char *));
    if (!envp)
        return NULL;
    n = 0;
    for (char **e = environ; *e; e++)
        if (!starts(*e, "LISTEN_PID") && !starts(*e, "LISTEN_FDS") && !starts(*e, READY_FD))
            envp[n++] = *e;
    envp[n++] = b->listen_pid;
    envp[n++] = b->listen_fds;
    envp[n] = b->ready_fd;
    return envp;
}

static void birth_deinit(struct birth *b) {
    for (int i = 0; i < b->n; i++)
        close(b->fds[i]);
    weir_free(b->fds);
    weir_free(b->argv);
    weir_free(b->envp);
    weir_free(b->arguments);
}

static int birth_init(struct birth *b) {
    size_t len = 0;
    int r = weir_file_read("/proc/self/cmdline", ARGUMENTS, &b->arguments, &len);

    if (r < 0)
        return r;
    b->argv = split(b->arguments, len);
    b->fds = weir_calloc(LISTENERS, sizeof(int));
    if (!b->argv || !b->fds)
        return -ENOMEM;
    r = weir_handed_collect(b->fds, LISTENERS);
    if (r < 0)
        return r;
    b->n = r;
    snprintf(b->listen_pid, sizeof(b->listen_pid), "LISTEN_PID=%0*d", PID_DIGITS, 0);
    snprintf(b->listen_fds, sizeof(b->listen_fds), "LISTEN_FDS=%d", b->n);
    snprintf(b->ready_fd, sizeof(b->ready_fd), READY_FD "=%d", FIRST_FD + b->n);
    b->envp = environment(b);
    return b->envp ? 0 : -ENOMEM;
}

/* The read end of its pipe, or -errno. */
static int bear(struct weir_successor *s) {
    struct birth b = { .program = s->program };
    int ends[2], r = birth_init(&b);
    pid_t child;

    if (r == 0 && pipe2(ends, O_CLOEXEC) < 0)
        r = -errno;
    if (r < 0) {
        birth_deinit(&b);
        return r;
    }
    b.pipe = ends[1];
    child = fork();
    if (child == 0)
        become(&b);
    r = child < 0 ? -errno : ends[0];
    if (child > 0)
        (void)waitpid(child, NULL, 0);
    else
        close(ends[0]);
    close(ends[1]);
    birth_deinit(&b);
    return r;
}

/* ---- waiting for it ---- */

static void forget(struct weir_successor *s) {
    s->on_said = weir_event_free(s->on_said);
    s->on_late = weir_event_free(s->on_late);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void failed(struct weir_successor *s, const char *why) {
    weir_log(WEIR_LOG_ERROR, "successor",
             "pid=%d error=\"%s\" effect=\"this process goes on serving\"", (int)s->pid, why);
    forget(s);
}

static void on_late(void *arg) {
    struct weir_successor *s = arg;

    if (s->pid > 0) /* it lives: its end of the pipe is open */
        (void)kill(s->pid, SIGKILL);
    failed(s, "it does not serve after 60 s: killed");
}

static void on_said(void *arg) {
    struct weir_successor *s = arg;
    ssize_t n;
    char byte;

    if (s->pid == 0) {
        n = read(s->fd, &s->pid, sizeof(s->pid));
        if (n != sizeof(s->pid))
            failed(s, "could not be started");
        return;
    }
    n = read(s->fd, &byte, 1);
    if (n != 1) {
        failed(s, "it ended before it served; its own lines say why");
        return;
    }
    forget(s);
    weir_log(WEIR_LOG_INFO, "successor", "pid=%d result=ready", (int)s->pid);
    s->ready(s->arg, s->pid);
}

int weir_successor_init(struct weir_successor *s, struct weir_loop *loop,
                        void (*ready)(void *arg, pid_t pid), void *arg) {
    ssize_t n = readlink("/proc/self/exe", s->program, sizeof(s->program) - 1);

    s->loop = loop;
    s->ready = ready;
    s->arg = arg;
    s->fd = -1;
    if (n < 0)
        return -errno;
    s->program[n] = '\0';
    return 0;
}

void weir_successor_start(struct weir_successor *s) {
    int r;

    if (s->fd >= 0) {
        weir_log(WEIR_LOG_WARN, "successor", "pid=%d error=\"it is starting already\"",
                 (int)s->pid);
        return;
    }
    s->pid = 0;
    s->fd = r = bear(s);
    if (r >= 0)
        r = weir_event_readable(s->loop, s->fd, on_said, s, &s->on_said);
    if (r >= 0)
        r = weir_event_every(s->loop, PATIENCE_US, on_late, s, &s->on_late);
    if (r < 0)
        failed(s, strerror(-r));
    else
        weir_log(WEIR_LOG_INFO, "successor", "program=%s result=starting", s->program);
}

void weir_successor_deinit(struct weir_successor *s) {
    if (s->loop)
        forget(s);
}

bool weir_successor_report(void) {
    const char *text = getenv(READY_FD);
    int fd = text ? atoi(text) : -1;
    bool told;

    if (fd < FIRST_FD)
        return false;
    told = write(fd, "", 1) == 1;
    close(fd);
    (void)unsetenv(READY_FD);
    return told;
}
