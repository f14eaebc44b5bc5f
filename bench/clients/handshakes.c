/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load of new TLS 1.3 connections: each of N threads connects, shakes hands, has one GET answered
 * and closes, over and over. wrk and h2load connect once.
 *
 *     handshakes PORT PATH BODY CA_FILE THREADS MILLISECONDS full|resumed
 *
 * The certificate is verified, the answer's status and body are compared, and with `resumed` every
 * connection must be resumed from the last ticket of its thread (with `full` none may be); anything
 * else ends the program with 1. One line of JSON says what was done; a duration is from connect() to
 * the end of the handshake as the client sees it.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS   256
#define MAX_DURATIONS (1 << 16) /* per thread */

struct thread {
    pthread_t id;
    SSL_CTX *ctx;
    SSL_SESSION *session; /* the last one received */
    unsigned n, n_durations;
    unsigned *durations; /* us */
};

static struct {
    struct sockaddr_in server;
    char request[512];
    const char *body;
    bool resumed;
    uint64_t end; /* ns, monotonic */
    atomic_bool failed;
} run;

static uint64_t now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fail(const char *what) {
    if (!atomic_exchange(&run.failed, true)) {
        fprintf(stderr, "handshakes: %s\n", what);
        ERR_print_errors_fp(stderr);
    }
}

static int on_session(SSL *ssl, SSL_SESSION *session) {
    struct thread *t = SSL_get_app_data(ssl);

    SSL_SESSION_free(t->session);
    t->session = session;
    return 1; /* kept */
}

/* Sends the request and compares what comes; the session tickets arrive with it. */
static bool ask(SSL *ssl) {
    char answer[4096];
    size_t got = 0, n = strlen(run.body);

    if (SSL_write(ssl, run.request, (int)strlen(run.request)) <= 0)
        return false;
    while (got < sizeof(answer) - 1) {
        int r = SSL_read(ssl, answer + got, (int)(sizeof(answer) - 1 - got));

        if (r <= 0)
            break;
        got += (size_t)r;
    }
    answer[got] = '\0';
    return got > n && strncmp(answer, "HTTP/1.1 200", 12) == 0 &&
           strcmp(answer + got - n, run.body) == 0;
}

static void note(struct thread *t, uint64_t took) {
    t->n++;
    if (t->n_durations < MAX_DURATIONS)
        t->durations[t->n_durations++] = (unsigned)(took / 1000);
}

/* One connection. The first of a thread has nothing to resume and is not counted. */
static void once(struct thread *t) {
    uint64_t began = now();
    bool first = run.resumed && t->session == NULL;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    SSL *ssl = SSL_new(t->ctx);

    if (fd < 0 || !ssl || connect(fd, (struct sockaddr *)&run.server, sizeof(run.server)) < 0) {
        fail("cannot connect");
        goto out;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    SSL_set_fd(ssl, fd);
    SSL_set_app_data(ssl, t);
    SSL_set1_host(ssl, "server.bench");
    SSL_set_tlsext_host_name(ssl, "server.bench");
    if (run.resumed && t->session) {
        /* A copy: OpenSSL takes a ticket but once, and not every server gives a new one each time. */
        SSL_SESSION *copy = SSL_SESSION_dup(t->session);

        SSL_set_session(ssl, copy);
        SSL_SESSION_free(copy);
    }
    if (SSL_connect(ssl) != 1) {
        fail("handshake failed");
        goto out;
    }
    uint64_t took = now() - began;

    if (!first && SSL_session_reused(ssl) != run.resumed)
        fail(run.resumed ? "a session was not resumed" : "a session was resumed");
    else if (!ask(ssl))
        fail("wrong answer");
    else if (!first)
        note(t, took);
    SSL_shutdown(ssl);
out:
    SSL_free(ssl);
    if (fd >= 0)
        close(fd);
}

static void *work(void *arg) {
    struct thread *t = arg;

    while (now() < run.end && !atomic_load(&run.failed))
        once(t);
    return NULL;
}

static bool thread_init(struct thread *t, const char *ca) {
    t->durations = calloc(MAX_DURATIONS, sizeof(*t->durations));
    t->ctx = SSL_CTX_new(TLS_client_method());
    if (!t->durations || !t->ctx || SSL_CTX_load_verify_locations(t->ctx, ca, NULL) != 1 ||
        SSL_CTX_set_min_proto_version(t->ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(t->ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(t->ctx, "X25519") != 1)
        return false;
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(t->ctx, on_session);
    return true;
}

static int by_size(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return (x > y) - (x < y);
}

static void report(struct thread *threads, int n_threads, uint64_t began) {
    unsigned *all = calloc((size_t)n_threads * MAX_DURATIONS, sizeof(*all)), n = 0;
    unsigned long total = 0;

    if (!all)
        return;
    for (int i = 0; i < n_threads; i++) {
        memcpy(all + n, threads[i].durations, threads[i].n_durations * sizeof(*all));
        n += threads[i].n_durations;
        total += threads[i].n;
    }
    qsort(all, n, sizeof(*all), by_size);
    if (n)
        printf(
            "RESULT {\"requests\":%lu,\"us\":%llu,\"p50\":%u,\"p90\":%u,\"p99\":%u,\"max\":%u}\n",
            total, (unsigned long long)(now() - began) / 1000, all[n / 2], all[n - 1 - n / 10],
            all[n - 1 - n / 100], all[n - 1]);
    free(all);
}

int main(int argc, char **argv) {
    static struct thread threads[MAX_THREADS];
    int n_threads = argc == 8 ? atoi(argv[5]) : 0;

    if (n_threads < 1 || n_threads > MAX_THREADS || atoi(argv[6]) < 1) {
        fprintf(stderr,
                "usage: handshakes PORT PATH BODY CA_FILE THREADS MILLISECONDS full|resumed\n");
        return 2;
    }
    run.server = (struct sockaddr_in){ .sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)atoi(argv[1])),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    snprintf(run.request, sizeof(run.request),
             "GET %s HTTP/1.1\r\nHost: server.bench\r\nConnection: close\r\n\r\n", argv[2]);
    run.body = argv[3];
    run.resumed = strcmp(argv[7], "resumed") == 0;
    for (int i = 0; i < n_threads; i++)
        if (!thread_init(&threads[i], argv[4])) {
            fail("cannot set TLS up");
            return 1;
        }
    uint64_t began = now();

    run.end = began + (uint64_t)atoi(argv[6]) * 1000000;
    for (int i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i].id, NULL, work, &threads[i]) != 0)
            return 1;
    for (int i = 0; i < n_threads; i++)
        pthread_join(threads[i].id, NULL);
    report(threads, n_threads, began);
    return atomic_load(&run.failed) ? 1 : 0;
}
