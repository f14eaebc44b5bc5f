/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/snapshot.h"
#include "http/codec.h"

#define TIMEOUT_S      5
#define ANSWER_MAX     (64u * 1024u * 1024u)
#define LINE_MAX_BYTES (1024u * 1024u)

static void fd_close(int *fd) {
    if (*fd >= 0)
        close(*fd);
}

static int open_socket(int family, const struct sockaddr *addr, socklen_t len) {
    struct timeval tv = { .tv_sec = TIMEOUT_S };
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    if (connect(fd, addr, len) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    return fd;
}

static int send_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        p += r;
        n -= (size_t)r;
    }
    return 0;
}

/* Text that grows; always NUL-terminated once something was added. */
struct answer {
    char *text;
    size_t len;
};

static int answer_add(struct answer *a, const char *p, size_t n) {
    char *grown;

    if (a->len + n > ANSWER_MAX)
        return -EFBIG;
    grown = weir_reallocarray(a->text, a->len + n + 1, 1);
    if (!grown)
        return -ENOMEM;
    a->text = grown;
    memcpy(a->text + a->len, p, n);
    a->len += n;
    a->text[a->len] = '\0';
    return 0;
}

static int open_unix(const char *path, int *ret_fd) {
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    *ret_fd = open_socket(AF_UNIX, (struct sockaddr *)&addr, sizeof(addr));
    return *ret_fd < 0 ? *ret_fd : 0;
}

int weir_client_ask(const char *socket_path, const char *line, char **ret_answer) {
    WEIR_CLEANUP(fd_close)
    int fd = -1;
    struct answer a = { 0 };
    char buf[16384];
    ssize_t n;
    int r = open_unix(socket_path, &fd);

    if (r == 0)
        r = send_all(fd, line, strlen(line));
    if (r == 0)
        r = send_all(fd, "\n", 1);
    if (r == 0)
        shutdown(fd, SHUT_WR);
    if (r == 0)
        r = answer_add(&a, "", 0);
    while (r == 0 && (n = recv(fd, buf, sizeof(buf), 0)) != 0)
        r = n < 0 ? -errno : answer_add(&a, buf, (size_t)n);
    if (r < 0) {
        weir_free(a.text);
        return r;
    }
    *ret_answer = a.text;
    return 0;
}

/* The whole lines in a->text to fn; what is behind the last one stays. */
static int take_lines(struct answer *a, int (*fn)(void *arg, char *text), void *arg) {
    size_t at = 0;
    int r = 0;

    while (r == 0) {
        char *end = memchr(a->text + at, '\n', a->len - at);

        if (!end)
            break;
        *end = '\0';
        r = fn(arg, a->text + at);
        at = (size_t)(end - a->text) + 1;
    }
    memmove(a->text, a->text + at, a->len - at);
    a->len -= at;
    return r == 0 && a->len > LINE_MAX_BYTES ? -EFBIG : r;
}

int weir_client_follow(const char *socket_path, const char *line, int (*fn)(void *arg, char *text),
                       void *arg) {
    const struct timeval for_ever = { 0 };
    WEIR_CLEANUP(fd_close)
    int fd = -1;
    struct answer a = { 0 };
    char buf[16384];
    ssize_t n = 1;
    int r = open_unix(socket_path, &fd);

    if (r == 0)
        r = send_all(fd, line, strlen(line));
    if (r == 0)
        r = send_all(fd, "\n", 1);
    if (r == 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever)) < 0)
        r = -errno;
    while (r == 0 && (n = recv(fd, buf, sizeof(buf), 0)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        r = n < 0 ? -errno : answer_add(&a, buf, (size_t)n);
        if (r == 0)
            r = take_lines(&a, fn, arg);
    }
    weir_free(a.text);
    return r;
}

/* ---- HTTP, through the codec ---- */

struct get {
    struct answer body;
    int status;
    int error;
    bool done;
};

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct get *g = arg;

    (void)chunk;
    g->status = cs->head->status;
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct get *g = arg;

    (void)cs;
    (void)chunk;
    if (g->error == 0)
        g->error = answer_add(&g->body, bytes.ptr, bytes.len);
}

static void on_end(void *arg, struct weir_cstream *cs) {
    struct get *g = arg;

    (void)cs;
    g->done = true;
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    struct get *g = arg;

    (void)cs;
    (void)fault;
    g->error = -EPROTO;
}

static void on_closed(void *arg, struct weir_cstream *cs) {
    (void)arg;
    (void)cs;
}

static void on_draining(void *arg) {
    (void)arg;
}

static const struct weir_codec_events events = { .head = on_head,
                                                 .data = on_data,
                                                 .end = on_end,
                                                 .reset = on_reset,
                                                 .closed = on_closed,
                                                 .draining = on_draining };

static int request(struct weir_codec *codec, struct weir_head *head, struct weir_head *response,
                   int fd) {
    struct weir_cstream *cs;
    struct weir_bufq out;
    struct iovec iov;
    int r;

    weir_bufq_init(&out, codec->pool, 0);
    r = codec->ops->open(codec, NULL, response, &cs);
    if (r == 0)
        r = codec->ops->send_head(codec, cs, head, true);
    if (r == 0)
        r = codec->ops->pull(codec, &out);
    while (r == 0 && weir_bufq_peek(&out, &iov, 1) == 1) {
        r = send_all(fd, iov.iov_base, iov.iov_len);
        weir_bufq_consume(&out, iov.iov_len);
    }
    weir_bufq_deinit(&out);
    return r;
}

static int receive(struct weir_codec *codec, struct get *g, int fd) {
    while (!g->done && g->error == 0) {
        struct weir_chunk *chunk = weir_chunk_get(codec->pool);
        size_t used;
        ssize_t n;

        if (!chunk)
            return -ENOMEM;
        n = recv(fd, chunk->data, chunk->size, 0);
        if (n < 0)
            g->error = -errno;
        else if (n == 0)
            g->error = codec->ops->eof(codec) != 0 || !g->done ? -EPROTO : 0;
        else if (codec->ops->feed(codec, chunk, weir_slice_make(chunk->data, (size_t)n), &used) !=
                 0)
            g->error = -EPROTO;
        weir_chunk_unref(chunk);
    }
    return g->error;
}

static int connect_to(const char *hostport) {
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct weir_ip ip;
    uint16_t port;

    if (weir_parse_hostport(hostport, &ip, &port) < 0)
        return -EINVAL;
    v4.sin_port = v6.sin6_port = htons(port);
    if (hostport[0] == ':') {
        v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return open_socket(AF_INET, (struct sockaddr *)&v4, sizeof(v4));
    }
    if (weir_ip_is_v4(&ip)) {
        memcpy(&v4.sin_addr, ip.b + 12, 4);
        return open_socket(AF_INET, (struct sockaddr *)&v4, sizeof(v4));
    }
    memcpy(&v6.sin6_addr, ip.b, 16);
    return open_socket(AF_INET6, (struct sockaddr *)&v6, sizeof(v6));
}

int weir_client_get(const char *hostport, const char *path, int *ret_status, char **ret_body) {
    struct get g = { 0 };
    struct weir_chunk_pool pool;
    struct weir_arena arena;
    struct weir_head head, response;
    struct weir_codec *codec = NULL;
    struct weir_codec_params params = { .role = WEIR_ROLE_CLIENT,
                                        .events = &events,
                                        .arg = &g,
                                        .pool = &pool,
                                        .limits = &weir_codec_limits_default };
    WEIR_CLEANUP(fd_close)
    int fd = connect_to(hostport);
    int r = fd < 0 ? fd : 0;

    weir_chunk_pool_init(&pool, 2);
    weir_arena_init(&arena, 4096);
    if (r == 0)
        r = weir_h1_new(&params, &codec);
    weir_head_init(&response, &arena);
    weir_head_init(&head, &arena);
    head.version = WEIR_HTTP_11;
    head.method = WEIR_METHOD_GET;
    head.method_name = WEIR_SLICE("GET");
    head.target = weir_slice_from_str(path);
    head.authority = weir_slice_from_str(hostport[0] == ':' ? "localhost" : hostport);
    if (r == 0)
        r = request(codec, &head, &response, fd);
    if (r == 0)
        r = receive(codec, &g, fd);
    if (r == 0)
        r = answer_add(&g.body, "", 0);
    if (codec)
        codec->ops->free(codec);
    weir_arena_deinit(&arena);
    weir_chunk_pool_deinit(&pool);
    if (r < 0) {
        weir_free(g.body.text);
        return r;
    }
    *ret_status = g.status;
    *ret_body = g.body.text;
    return 0;
}
