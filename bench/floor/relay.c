/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of the benchmarks: a byte relay on bare libuv, one thread, no HTTP, none of weir's
 * rooms. Whatever weir costs above this is weir's own doing. Each message is one read(2) and one
 * write(2) in each direction plus a share of epoll_wait: all connections read into one buffer, and
 * only what the other side does not take at once is kept.
 *
 *     relay LISTEN_PORT TARGET_HOST:PORT
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct pair;

struct side {
    uv_tcp_t tcp; /* first */
    struct pair *pair;
    struct side *other;
    bool eof;
    uv_write_t write;
    uv_shutdown_t shutdown;
    char *rest; /* being written by `write` */
};

struct pair {
    struct side client, server;
    uv_connect_t connect;
    int n_open;
};

static char buffer[64 * 1024];
static struct sockaddr_storage target;

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static struct side *of(void *handle) {
    return handle;
}

static void on_close(uv_handle_t *handle) {
    struct pair *pair = of(handle)->pair;

    if (--pair->n_open > 0)
        return;
    free(pair->client.rest);
    free(pair->server.rest);
    free(pair);
}

static void pair_close(struct pair *pair) {
    if (uv_is_closing((uv_handle_t *)&pair->client.tcp))
        return;
    uv_close((uv_handle_t *)&pair->client.tcp, on_close);
    uv_close((uv_handle_t *)&pair->server.tcp, on_close);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    *buf = uv_buf_init(buffer, sizeof(buffer));
}

static void side_read(struct side *s) {
    uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
}

static void on_written(uv_write_t *req, int status) {
    struct side *to = req->data;

    if (uv_is_closing((uv_handle_t *)&to->tcp))
        return;
    free(to->rest);
    to->rest = NULL;
    if (status < 0)
        pair_close(to->pair);
    else
        side_read(to->other);
}

static void keep_rest(struct side *to, const char *ptr, size_t n) {
    uv_buf_t buf;

    to->rest = malloc(n);
    if (!to->rest) {
        pair_close(to->pair);
        return;
    }
    memcpy(to->rest, ptr, n);
    buf = uv_buf_init(to->rest, (unsigned)n);
    uv_read_stop((uv_stream_t *)&to->other->tcp);
    to->write.data = to;
    if (uv_write(&to->write, (uv_stream_t *)&to->tcp, &buf, 1, on_written) < 0)
        pair_close(to->pair);
}

static void on_shutdown(uv_shutdown_t *req, int status) {
    struct pair *pair = req->data;

    if (status < 0 || (pair->client.eof && pair->server.eof))
        pair_close(pair);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct side *from = of(stream), *to = from->other;
    int r;

    if (n == 0)
        return;
    if (n == UV_EOF) {
        from->eof = true;
        to->shutdown.data = from->pair;
        if (uv_shutdown(&to->shutdown, (uv_stream_t *)&to->tcp, on_shutdown) < 0)
            pair_close(from->pair);
        return;
    }
    if (n < 0) {
        pair_close(from->pair);
        return;
    }
    r = uv_try_write((uv_stream_t *)&to->tcp, &(uv_buf_t){ .base = buf->base, .len = (size_t)n },
                     1);
    if (r < 0 && r != UV_EAGAIN)
        pair_close(from->pair);
    else if (r < n)
        keep_rest(to, buf->base + (r > 0 ? r : 0), (size_t)(n - (r > 0 ? r : 0)));
}

static void on_connect(uv_connect_t *req, int status) {
    struct pair *pair = req->data;

    if (status < 0) {
        pair_close(pair);
        return;
    }
    side_read(&pair->client);
    side_read(&pair->server);
}

static void on_connection(uv_stream_t *listener, int status) {
    struct pair *pair = calloc(1, sizeof(*pair));

    if (status < 0 || !pair)
        abort();
    pair->client.pair = pair->server.pair = pair;
    pair->client.other = &pair->server;
    pair->server.other = &pair->client;
    pair->n_open = 2;
    uv_tcp_init(listener->loop, &pair->client.tcp);
    uv_tcp_init(listener->loop, &pair->server.tcp);
    uv_tcp_nodelay(&pair->server.tcp, 1);
    pair->connect.data = pair;
    if (uv_accept(listener, (uv_stream_t *)&pair->client.tcp) < 0 ||
        uv_tcp_nodelay(&pair->client.tcp, 1) < 0 ||
        uv_tcp_connect(&pair->connect, &pair->server.tcp, (struct sockaddr *)&target, on_connect) <
            0)
        pair_close(pair);
}

static int parse_target(char *text) {
    char *colon = strrchr(text, ':');

    if (!colon)
        return UV_EINVAL;
    *colon = 0;
    return uv_ip4_addr(text, atoi(colon + 1), (struct sockaddr_in *)&target);
}

int main(int argc, char **argv) {
    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in any;
    uv_tcp_t listener;
    int r;

    if (argc != 3 || parse_target(argv[2]) < 0) {
        fprintf(stderr, "usage: relay LISTEN_PORT TARGET_HOST:PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    uv_ip4_addr("127.0.0.1", atoi(argv[1]), &any);
    uv_tcp_init(loop, &listener);
    r = uv_tcp_bind(&listener, (struct sockaddr *)&any, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&listener, 4096, on_connection);
    if (r < 0) {
        fprintf(stderr, "relay: %s\n", uv_strerror(r));
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
