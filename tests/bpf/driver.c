/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy/kern on a leash: the tests of tests/bpf drive the product's own loader, maps and events
 * through it, one command a line on standard input, one answer a line ("ok ..." or "err OUTCOME").
 * It decides nothing and knows no layout.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "helper/helper.h"
#include "kern/complexity.h"
#include "kern/http.h"
#include "kern/join.h"
#include "kern/kern.h"
#include "kern/proof.h"
#include "kern/recorder.h"
#include "kern/revoke.h"
#include "sys/cgroup.h"

#define WORDS         6
#define BYTES         4096
#define CHURN_ENTRIES 64
#define CHURN_BYTES   256

struct driver {
    struct weir_kern *k;
    struct weir_helper *helper;
    int events_fd;
    bool http; /* its records are read too */
};

static int unhex(const char *text, unsigned char *ret, size_t want) {
    if (strlen(text) != want * 2 || want > BYTES)
        return -EINVAL;
    for (size_t i = 0; i < want; i++) {
        unsigned v;

        if (sscanf(text + 2 * i, "%2x", &v) != 1)
            return -EINVAL;
        ret[i] = (unsigned char)v;
    }
    return 0;
}

static void print_hex(const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        printf("%02x", ((const unsigned char *)bytes)[i]);
}

static int find_map(const char *name) {
    for (int m = 0; m < WEIR_MAP_COUNT_; m++)
        if (strcmp(weir_map_name((enum weir_map)m), name) == 0)
            return m;
    return -EINVAL;
}

static int do_open(struct driver *d, char **w) {
    struct weir_kern_options o = { .pin_dir = w[1], .cgroup = w[2] };
    int r = d->helper ? 0 : weir_helper_spawn(w[2], &d->helper);

    o.helper = d->helper;
    if (r == 0)
        r = weir_kern_open(&o, &d->k);
    if (r == 0)
        printf("ok %d\n", weir_kern_adopted(d->k));
    return r;
}

static int do_map(struct driver *d, char **w) {
    unsigned char key[BYTES], value[BYTES];
    int m = find_map(w[1]), r;

    if (m < 0 || !d->k)
        return -EINVAL;
    r = unhex(w[2], key, weir_map_key_size((enum weir_map)m));
    if (r == 0 && strcmp(w[0], "put") == 0) {
        r = unhex(w[3], value, weir_map_value_size((enum weir_map)m));
        if (r == 0)
            r = weir_kern_put(d->k, (enum weir_map)m, key, value);
    } else if (r == 0 && strcmp(w[0], "get") == 0) {
        r = weir_kern_get(d->k, (enum weir_map)m, key, value);
        if (r == 0) {
            printf("ok ");
            print_hex(value, weir_map_value_size((enum weir_map)m));
            printf("\n");
            return 0;
        }
    } else if (r == 0) {
        r = weir_kern_delete(d->k, (enum weir_map)m, key);
    }
    if (r == 0)
        printf("ok\n");
    return r;
}

static int count_entry(void *arg, const void *key, const void *value) {
    ++*(unsigned *)arg;
    return 0;
}

static int do_each(struct driver *d, char **w) {
    int m = find_map(w[1]), r;
    unsigned n = 0;

    if (m < 0)
        return -EINVAL;
    r = weir_kern_each(d->k, (enum weir_map)m, count_entry, &n);
    if (r == 0)
        printf("ok %u\n", n);
    return r;
}

struct keys {
    enum weir_map map;
};

static int print_key(void *arg, const void *key, const void *value) {
    print_hex(key, weir_map_key_size(((const struct keys *)arg)->map));
    printf("\n");
    return 0;
}

static int do_keys(struct driver *d, char **w) {
    int m = find_map(w[1]), r;
    struct keys keys = { (enum weir_map)m };

    if (m < 0)
        return -EINVAL;
    r = weir_kern_each(d->k, keys.map, print_key, &keys);
    if (r == 0)
        printf("ok\n");
    return r;
}

/* Every entry of a map again, with the value it has, so many times. */
struct churn {
    enum weir_map map;
    unsigned n;
    unsigned char (*entries)[2 * CHURN_BYTES];
};

static int keep_entry(void *arg, const void *key, const void *value) {
    struct churn *c = arg;

    if (c->n == CHURN_ENTRIES)
        return -E2BIG;
    memcpy(c->entries[c->n], key, weir_map_key_size(c->map));
    memcpy(c->entries[c->n++] + CHURN_BYTES, value, weir_map_value_size(c->map));
    return 0;
}

static int do_churn(struct driver *d, char **w) {
    static unsigned char entries[CHURN_ENTRIES][2 * CHURN_BYTES];
    struct churn c = { .entries = entries };
    int m = find_map(w[1]), r;

    if (m < 0 || !d->k || weir_map_value_size((enum weir_map)m) > CHURN_BYTES)
        return -EINVAL;
    c.map = (enum weir_map)m;
    r = weir_kern_each(d->k, c.map, keep_entry, &c);
    for (int round = atoi(w[2]); r == 0 && round > 0; round--)
        for (unsigned i = 0; r == 0 && i < c.n; i++)
            r = weir_kern_put(d->k, c.map, entries[i], entries[i] + CHURN_BYTES);
    if (r == 0)
        printf("ok %u\n", c.n);
    return r;
}

static int do_pod(struct driver *d, char **w) {
    uint32_t pod = (uint32_t)strtoul(w[1], NULL, 10);
    uint64_t cookie;
    int fd, r;

    if (strcmp(w[0], "pod_detach") == 0) {
        r = weir_kern_pod_detach(d->k, pod);
    } else {
        r = weir_helper_netns(d->helper, w[2], &fd, &cookie);
        if (r)
            return r;
        r = weir_kern_pod_attach(d->k, pod, fd, cookie);
        close(fd);
    }
    if (r == 0)
        printf("ok\n");
    return r;
}

static int print_pod(void *arg, uint32_t pod) {
    printf(" %u", pod);
    return 0;
}

static int do_cookie(struct driver *d, char **w) {
    uint64_t cookie;
    int fd, r = weir_helper_netns(d->helper, w[1], &fd, &cookie);

    if (r)
        return r;
    close(fd);
    printf("ok %llu\n", (unsigned long long)cookie);
    return 0;
}

static int do_counts(struct driver *d) {
    uint64_t counts[WEIR_REASON_SLOTS];
    int r = weir_kern_counts(d->k, counts);

    if (r != 0)
        return r;
    printf("ok");
    for (unsigned i = 0; i < WEIR_REASON_COUNT_; i++)
        printf(" %s=%llu", weir_reason_name(i), (unsigned long long)counts[i]);
    printf("\n");
    return 0;
}

static int do_dns_counts(struct driver *d) {
    uint64_t counts[WEIR_DNS_COUNT_SLOTS];
    int r = weir_kern_dns_counts(d->k, counts);

    if (r != 0)
        return r;
    printf("ok");
    for (unsigned i = 0; i < WEIR_DNS_COUNTS_; i++)
        printf(" %s=%llu", weir_dns_count_name(i), (unsigned long long)counts[i]);
    printf("\n");
    return 0;
}

static void print_event(void *arg, const struct weir_event *e, bool denial) {
    printf(" %d:", denial);
    print_hex(e, sizeof(*e));
}

static int do_events(struct driver *d) {
    int r = 0;

    if (d->events_fd < 0)
        r = weir_kern_events_open(d->k, print_event, d, &d->events_fd);
    if (r != 0)
        return r;
    printf("ok");
    r = weir_kern_events_read(d->k, NULL);
    printf("\n");
    return 0;
}

static void print_http(void *arg, const struct weir_http_event *e) {
    (void)arg;
    printf(" h:");
    print_hex(e, sizeof(*e));
}

/* Beside the events, from the first time on. */
static int do_http(struct driver *d, char **w) {
    int r = weir_kern_http(d->k, w[1][0] == '1');

    if (r == 0 && d->events_fd < 0) {
        r = weir_kern_events_open(d->k, print_event, d, &d->events_fd);
        d->http = false;
    }
    if (r == 0 && !d->http)
        r = weir_kern_http_open(d->k, print_http, d);
    d->http = r == 0;
    return r;
}

static int do_http_counts(struct driver *d) {
    uint64_t counts[WEIR_HTTP_REASON_SLOTS];
    int r = weir_kern_http_counts(d->k, counts);

    if (r != 0)
        return r;
    printf("ok");
    for (unsigned i = 0; i < WEIR_HTTP_REASON_COUNT_; i++)
        printf(" %s=%llu", weir_http_reason_name(i), (unsigned long long)counts[i]);
    printf("\n");
    return 0;
}

static int do_look(struct driver *d) {
    struct weir_join_look l;
    int r = weir_kern_join_look(d->k, &l);

    if (r == 0)
        printf("ok %llu %llu %llu %llu\n", (unsigned long long)l.sockets,
               (unsigned long long)l.joined, (unsigned long long)l.queued,
               (unsigned long long)l.queued_max);
    return r;
}

static int do_join_test(char **w) {
    struct weir_join_report report;
    int r = weir_kern_join_test(w[1], &report);

    if (r == 0)
        printf("%s\n%s\nok %d %d\n", report.why_readers, report.why_writers, report.readers,
               report.writers);
    return r;
}

static void print_left(void *arg, const char *what) {
    fprintf(stderr, "left: %s\n", what);
}

static int do_uninstall(char **w) {
    struct weir_kern_options o = { .pin_dir = w[1] };
    int r = weir_kern_uninstall(&o, print_left, NULL);

    if (r == 0)
        printf("ok\n");
    return r;
}

static void print_complexity(void *arg, const char *program, uint32_t instructions) {
    printf("%s %u\n", program, instructions);
}

static int do_complexity(void) {
    int r = weir_kern_complexity(print_complexity, NULL);

    if (r == 0)
        printf("ok\n");
    return r;
}

static void print_check(void *arg, const struct weir_check_line *line) {
    printf("%d\t%s\t%s\t%s\n", (int)line->state, line->what, line->found, line->fix);
}

static int do_check(char **w) {
    struct weir_kern_options o = { .pin_dir = w[1], .cgroup = w[2] };
    int r = weir_kern_check(&o, print_check, NULL);

    printf("ok\n");
    return r;
}

static int do_prove(struct driver *d, char **w) {
    int fd = open(w[3], O_RDONLY | O_CLOEXEC), r;

    if (fd < 0)
        return -errno;
    r = weir_kern_prove(d->k, (uint32_t)strtoul(w[1], NULL, 10), w[2], fd, w[4][0] == '1');
    close(fd);
    if (r == 0)
        printf("ok\n");
    return r;
}

struct revoking {
    unsigned gone_port; /* endpoints at this port are gone; 0 = none */
};

static bool is_gone(void *arg, const struct weir_event *e) {
    return e->remote_port == ((const struct revoking *)arg)->gone_port;
}

static void print_reset(void *arg, const struct weir_event *e) {
    (void)arg;
    print_event(NULL, e, true);
}

static int do_revoke(struct driver *d, char **w) {
    struct revoking revoking = { (unsigned)strtoul(w[3], NULL, 10) };
    struct weir_revoke_params params = { .by_diag = strcmp(w[2], "diag") == 0,
                                         .gone = revoking.gone_port ? is_gone : NULL,
                                         .reset = print_reset,
                                         .arg = &revoking };
    struct weir_revoked sum = { 0 };
    int r;

    params.netns_fd = open(w[1], O_RDONLY | O_CLOEXEC);
    if (params.netns_fd < 0)
        return -errno;
    printf("ok");
    r = weir_kern_revoke(d->k, &params, &sum);
    close(params.netns_fd);
    printf(" %llu/%llu/%llu/%llu/%d\n", (unsigned long long)sum.checked,
           (unsigned long long)sum.killed, (unsigned long long)sum.kept,
           (unsigned long long)sum.failed, r);
    return 0;
}

static int do_fuzz(struct driver *d, char **w) {
    uint32_t verdicts[4] = { 0 };
    int r =
        weir_fuzz_run(d->k, strtoull(w[1], NULL, 0), (uint32_t)strtoul(w[2], NULL, 0), verdicts);

    if (r == 0)
        printf("ok %u %u %u %u\n", verdicts[0], verdicts[1], verdicts[2], verdicts[3]);
    return r;
}

static int plain(int r) {
    if (r == 0)
        printf("ok\n");
    return r;
}

static int run(struct driver *d, char **w) {
    uint64_t u;
    int r;

    if (strcmp(w[0], "open") == 0)
        return do_open(d, w);
    if (strcmp(w[0], "uninstall") == 0)
        return do_uninstall(w);
    if (strcmp(w[0], "check") == 0)
        return do_check(w);
    if (strcmp(w[0], "complexity") == 0)
        return do_complexity();
    if (strcmp(w[0], "cookie") == 0)
        return do_cookie(d, w);
    if (strcmp(w[0], "cgroup_id") == 0) {
        r = weir_cgroup_id(w[1], &u);
        if (r == 0)
            printf("ok %llu\n", (unsigned long long)u);
        return r;
    }
    if (!d->k)
        return -EBADF;
    if (strcmp(w[0], "attach") == 0)
        return plain(weir_kern_attach(d->k));
    if (strcmp(w[0], "flags") == 0)
        return plain(weir_kern_set_flags(d->k, (uint32_t)strtoul(w[1], NULL, 0),
                                         (uint32_t)strtoul(w[2], NULL, 0)));
    if (strcmp(w[0], "epoch") == 0) {
        r = weir_kern_epoch_next(d->k, &u);
        return plain(r);
    }
    if (strcmp(w[0], "join_test") == 0)
        return do_join_test(w);
    if (strcmp(w[0], "record") == 0)
        return plain(weir_kern_record_probes(d->k, w[1]));
    if (strcmp(w[0], "settle") == 0)
        return plain(weir_kern_settle(d->k));
    if (strcmp(w[0], "put") == 0 || strcmp(w[0], "get") == 0 || strcmp(w[0], "delete") == 0)
        return do_map(d, w);
    if (strcmp(w[0], "each") == 0)
        return do_each(d, w);
    if (strcmp(w[0], "churn") == 0)
        return do_churn(d, w);
    if (strcmp(w[0], "keys") == 0)
        return do_keys(d, w);
    if (strcmp(w[0], "pod_attach") == 0 || strcmp(w[0], "pod_detach") == 0)
        return do_pod(d, w);
    if (strcmp(w[0], "pods") == 0) {
        printf("ok");
        r = weir_kern_pod_each(d->k, print_pod, NULL);
        printf("\n");
        return r;
    }
    if (strcmp(w[0], "counts") == 0)
        return do_counts(d);
    if (strcmp(w[0], "dns_counts") == 0)
        return do_dns_counts(d);
    if (strcmp(w[0], "http") == 0)
        return plain(do_http(d, w));
    if (strcmp(w[0], "http_counts") == 0)
        return do_http_counts(d);
    if (strcmp(w[0], "look") == 0)
        return do_look(d);
    if (strcmp(w[0], "events") == 0)
        return do_events(d);
    if (strcmp(w[0], "prove") == 0)
        return do_prove(d, w);
    if (strcmp(w[0], "revoke") == 0)
        return do_revoke(d, w);
    if (strcmp(w[0], "fuzz") == 0)
        return do_fuzz(d, w);
    if (strcmp(w[0], "close") == 0) {
        d->k = weir_kern_close(d->k);
        d->events_fd = -1;
        return plain(0);
    }
    return -ENOSYS;
}

/* As weir_helper_spawn runs its own program: "helper --fd N --cgroup PATH". inet_diag is tried here on
 * every kernel. */
static int be_helper(char **argv) {
    const struct weir_helper_options o = { .fd = atoi(argv[3]), .cgroup = argv[5], .diag = true };

    return weir_helper_serve(&o);
}

int main(int argc, char **argv) {
    struct driver d = { .events_fd = -1 };
    static char line[4 * BYTES];

    if (argc == 6 && strcmp(argv[1], "helper") == 0)
        return be_helper(argv);
    while (fgets(line, sizeof(line), stdin)) {
        char *w[WORDS] = { "", "", "", "", "", "" }, *save = NULL, *word;
        int n = 0, r;

        for (word = strtok_r(line, " \n", &save); word && n < WORDS;
             word = strtok_r(NULL, " \n", &save))
            w[n++] = word;
        r = n ? run(&d, w) : 0;
        if (r != 0)
            printf("err %d\n", r);
        fflush(stdout);
    }
    weir_kern_close(d.k);
    weir_helper_free(d.helper);
    return 0;
}
