/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load at a fixed rate: requests are due at instants drawn beforehand (a Poisson process of a fixed seed, the same for everybody), whatever
 * the answers do. A latency is from the instant a request was due, not from when it could be sent: what had to wait behind a slow answer
 * counts as slow (no coordinated omission).
 *
 *     rate PORT PATH BODY_BYTES RATE CONNECTIONS MILLISECONDS WARM_MILLISECONDS
 *
 * A RATE of 0 keeps every connection busy instead: the next request goes out when an answer is in. `WARM` on a line of its own says that
 * all are connected and the time that counts has begun.
 *
 * What was due in the first WARM_MILLISECONDS is not counted. Any answer but a 200 of BODY_BYTES, a connection that ends, or a request
 * without an answer a second after the last was due ends the program with 1. One line of JSON says what was seen, in us; `wakeup`: how late
 * the program itself was told that a request was due (99th percentile).
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 8192
#define GRACE_NS        1000000000u

/* Latencies in ns: 64 buckets for each power of two, so 1.6% apart at most. */
#define SUB_BITS  6
#define N_BUCKETS ((64 - SUB_BITS + 1) << SUB_BITS)

struct histogram {
    uint64_t counts[N_BUCKETS], n, sum, max;
};

struct connection {
    int fd;
    bool busy;
    uint64_t due;
    size_t got;
    char answer[6144]; /* head and content */
};

static struct {
    char request[512];
    size_t request_len, body;
    uint64_t begin, end, warm; /* ns, monotonic */
    uint64_t *due;             /* of all requests */
    size_t n_due, next, n_done;
    bool busy, told; /* RATE 0; WARM was said */
    struct connection *connections;
    struct connection *idle[MAX_CONNECTIONS]; /* last used first */
    size_t n_idle, n_counted;
    struct histogram latency, wakeup;
} run;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "rate: %s\n", what);
    exit(1);
}

static uint64_t now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t bucket(uint64_t ns) {
    int shift = ns < (1u << SUB_BITS) ? 0 : 63 - __builtin_clzll(ns) - SUB_BITS;

    return ((size_t)shift << SUB_BITS) + (size_t)(ns >> shift);
}

/* The largest value of a bucket. */
static double bucket_us(size_t b) {
    size_t shift = b >> SUB_BITS, low = b & ((1u << SUB_BITS) - 1);

    if (shift > 0) { /* the first shift's buckets begin where the second's would */
        shift--;
        low += 1u << SUB_BITS;
    }
    return ((double)(low + 1) * (double)(1ull << shift) - 1) / 1e3;
}

static void add(struct histogram *h, uint64_t ns) {
    h->counts[bucket(ns)]++;
    h->n++;
    h->sum += ns;
    if (ns > h->max)
        h->max = ns;
}

static double percentile(const struct histogram *h, double share) {
    uint64_t wanted = (uint64_t)ceil((double)h->n * share), seen = 0;

    for (size_t b = 0; b < N_BUCKETS; b++) {
        seen += h->counts[b];
        if (seen >= wanted && seen > 0)
            return fmin(bucket_us(b), (double)h->max / 1e3);
    }
    return 0;
}

/* Exponential gaps of a fixed seed (splitmix64). */
static void draw(double rate, uint64_t total_ns) {
    size_t most = (size_t)(rate * (double)total_ns / 1e9 * 1.5) + 1000;
    uint64_t state = 42;
    double at = 0;

    run.due = calloc(most, sizeof(*run.due));
    if (!run.due)
        fail("no memory");
    while (run.n_due < most) {
        uint64_t z = (state += 0x9e3779b97f4a7c15u);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        at += -log(((double)(z >> 11) + 1) / 9007199254740993.0) / rate * 1e9;
        if (at >= (double)total_ns)
            return;
        run.due[run.n_due++] = (uint64_t)at;
    }
}

static void send_next(struct connection *c) {
    c->busy = true;
    c->got = 0;
    c->due = run.busy ? now() : run.begin + run.due[run.next++];
    if (send(c->fd, run.request, run.request_len, MSG_NOSIGNAL) != (ssize_t)run.request_len)
        fail("a request could not be written");
}

/* Requests that are due go to whoever is idle; the others wait, and their time runs. */
static void send_due(bool woken) {
    uint64_t t = now();

    if (woken && run.next < run.n_due && run.begin + run.due[run.next] <= t)
        add(&run.wakeup, t - run.begin - run.due[run.next]);
    while (run.next < run.n_due && run.begin + run.due[run.next] <= t && run.n_idle > 0)
        send_next(run.idle[--run.n_idle]);
}

static void done(struct connection *c) {
    uint64_t t = now();

    if (c->due >= run.warm)
        add(&run.latency, t - c->due);
    run.n_done++;
    if (run.busy && t < run.end) {
        send_next(c);
    } else {
        c->busy = false;
        run.idle[run.n_idle++] = c;
    }
    if (run.busy && t >= run.warm && t < run.end && !run.told) {
        run.told = true;
        puts("WARM");
        fflush(stdout);
    }
}

/* Bytes of the whole answer, 0 = its head is incomplete. */
static size_t answer_size(const struct connection *c) {
    const char *end = memmem(c->answer, c->got, "\r\n\r\n", 4);
    const char *line = c->answer;

    if (!end)
        return 0;
    if (strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0)
        fail("an answer is not 200");
    while ((line = memmem(line, (size_t)(end - line) + 2, "\r\n", 2)) && line < end) {
        line += 2;
        if (strncasecmp(line, "content-length:", 15) != 0)
            continue;
        if (strtoul(line + 15, NULL, 10) != run.body)
            fail("an answer has another length");
        return (size_t)(end - c->answer) + 4 + run.body;
    }
    fail("an answer has no length");
}

static void readable(struct connection *c) {
    size_t size;
    ssize_t n = recv(c->fd, c->answer + c->got, sizeof(c->answer) - c->got, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || !c->busy)
        fail("a connection ended");
    c->got += (size_t)n;
    size = answer_size(c);
    if (size == 0 || c->got < size)
        return;
    if (c->got > size)
        fail("more came than an answer");
    done(c);
    if (!run.busy)
        send_due(false);
}

static void open_connection(struct connection *c, unsigned port, int epoll) {
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    int one = 1;

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
        fail(strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
    run.idle[run.n_idle++] = c;
}

static void set_timer(int timer) {
    uint64_t at = run.next < run.n_due ? run.begin + run.due[run.next] : run.end + GRACE_NS;
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)(at / 1000000000u),
                                             .tv_nsec = (long)(at % 1000000000u) } };

    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void loop(int epoll, int timer) {
    struct epoll_event events[64];

    while (run.n_done < run.n_due) {
        int n;

        if (run.next == run.n_due || run.n_idle > 0)
            set_timer(timer);
        n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            uint64_t times;

            if (events[i].data.ptr) {
                readable(events[i].data.ptr);
            } else if (read(timer, &times, sizeof(times)) > 0) {
                if (run.next == run.n_due && now() >= run.end + GRACE_NS)
                    fail("requests are left without an answer");
                send_due(true);
            }
        }
        if (now() > run.end + 5u * (uint64_t)GRACE_NS)
            fail("requests are answered too slowly for that rate");
    }
}

/* A request on each connection, and more until the end; then the answers under way. */
static void round_of_all(int epoll, size_t n, uint64_t last) {
    struct epoll_event events[64];

    while (run.n_idle > 0)
        send_next(run.idle[--run.n_idle]);
    while (run.n_idle < n) {
        int found = epoll_wait(epoll, events, 64, 1000);

        for (int i = 0; i < found; i++)
            readable(events[i].data.ptr);
        if (now() > last)
            fail("requests are left without an answer");
    }
}

static void set_clocks(unsigned long ms, unsigned long warm_ms) {
    run.begin = now();
    run.warm = run.begin + warm_ms * 1000000u;
    run.end = run.warm + ms * 1000000u;
}

/* First one request on each: a proxy may have to connect for it. */
static void run_busy(int epoll, size_t n, unsigned long ms, unsigned long warm_ms) {
    run.busy = true;
    run.warm = UINT64_MAX;
    round_of_all(epoll, n, now() + 20u * (uint64_t)GRACE_NS);
    set_clocks(ms, warm_ms);
    round_of_all(epoll, n, run.end + 5u * (uint64_t)GRACE_NS);
    if (!run.told)
        fail("nothing was answered in time");
}

static void run_rate(double rate, int epoll, int timer, unsigned long ms, unsigned long warm_ms) {
    struct epoll_event e = { .events = EPOLLIN };

    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e);
    draw(rate, (ms + warm_ms) * 1000000u);
    set_clocks(ms, warm_ms);
    loop(epoll, timer);
}

/* At a rate all requests, those of the beginning too, are what the proxy's CPU time went to. */
static void report(void) {
    const struct histogram *h = &run.latency;
    size_t n = run.busy ? (size_t)h->n : run.n_done;
    uint64_t ns = run.end - (run.busy ? run.warm : run.begin);

    printf("RESULT {\"requests\":%zu,\"us\":%.0f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,", n,
           (double)ns / 1e3, percentile(h, .5), percentile(h, .9), percentile(h, .99));
    printf("\"p999\":%.1f,\"max\":%.1f,\"wakeup\":%.1f}\n", percentile(h, .999),
           (double)h->max / 1e3, percentile(&run.wakeup, .99));
}

int main(int argc, char **argv) {
    unsigned long n, ms, warm_ms;
    int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    double rate;

    if (argc != 8)
        fail("usage: rate PORT PATH BODY_BYTES RATE CONNECTIONS MILLISECONDS WARM_MILLISECONDS");
    run.body = strtoul(argv[3], NULL, 10);
    rate = strtod(argv[4], NULL);
    n = strtoul(argv[5], NULL, 10);
    ms = strtoul(argv[6], NULL, 10);
    warm_ms = strtoul(argv[7], NULL, 10);
    if (!(rate >= 0) || n == 0 || n > MAX_CONNECTIONS || ms == 0 || run.body > 4096)
        fail("a number is out of range");
    prctl(PR_SET_TIMERSLACK, 1); /* ns: the default may wake us 50 us late */
    run.request_len =
        (size_t)snprintf(run.request, sizeof(run.request),
                         "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[2], argv[1]);
    run.connections = calloc(n, sizeof(*run.connections));
    if (!run.connections || epoll < 0 || timer < 0 || run.request_len >= sizeof(run.request))
        fail("no memory");
    for (unsigned long i = 0; i < n; i++)
        open_connection(&run.connections[i], (unsigned)strtoul(argv[1], NULL, 10), epoll);
    if (rate == 0)
        run_busy(epoll, n, ms, warm_ms);
    else
        run_rate(rate, epoll, timer, ms, warm_ms);
    report();
    return 0;
}
