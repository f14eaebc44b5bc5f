/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP stream over libuv: reading into shared chunks, writing from segments, closing in two steps.
 *
 * Reading. All streams of a loop read into the tail of one chunk, so that many small heads share 16
 * KiB. When nobody kept a reference the tail is used again; when less than READ_MIN is left, or the
 * stream's last read filled its buffer (a long body), a fresh chunk is taken. Only after a full
 * buffer there is a second read: one recv(2) per small message.
 *
 * Writing. What the kernel takes at once costs one send(2) or sendmsg(2) and nothing else. The rest
 * goes to a weir_tcp_out, which exists only as long as there is a rest, with one uv_write under way
 * that covers its first segments.
 *
 * A failed write does not end the stream while the owner still reads: a server that answers early
 * and closes resets us, and its answer may lie in the receive buffer. Output is dropped, reading
 * goes on to its end, then comes `error`.
 *
 * Knows nothing of HTTP, TLS or who owns the stream.
 */
#include "io/tcp.h"

#include <assert.h>

#include "base/asan.h"
#include "base/mem.h"
#include "io/addr.h"
#include "io/facts.h"

#define READ_MIN      4096u /* a smaller tail is not worth a read */
#define READS_MAX     32    /* of full buffers, before the others have their turn */
#define WRITE_IOV     64    /* entries per writev */
#define SUBMIT_IOV    4 /* entries per uv_write: what fits into uv_write_t without an allocation */
#define FREE_OUTS_MAX 64u

_Static_assert(sizeof(uv_buf_t) == sizeof(struct iovec), "peeked entries are handed to libuv");
_Static_assert(offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base), "same order");

static struct weir_tcp *of(struct weir_stream *s) {
    return (struct weir_tcp *)s;
}

static uv_stream_t *uvs(struct weir_tcp *t) {
    return (uv_stream_t *)&t->uv;
}

static bool dead(const struct weir_tcp *t) {
    return t->closing || t->failed;
}

/* output records */

static struct weir_tcp_out *out_get(struct weir_loop *loop) {
    struct weir_tcp_out *out = loop->free_outs;

    if (out) {
        loop->free_outs = out->next_free;
        loop->n_free_outs--;
    } else {
        out = weir_malloc(sizeof(*out));
        if (!out)
            return NULL;
    }
    out->submitted = 0;
    weir_bufq_init(&out->q, loop->net.pool, 0);
    return out;
}

static void out_put(struct weir_tcp *t) {
    struct weir_loop *loop = t->loop;
    struct weir_tcp_out *out = t->out;

    if (!out)
        return;
    t->out = NULL;
    weir_bufq_deinit(&out->q);
    if (loop->n_free_outs >= FREE_OUTS_MAX) {
        weir_free(out);
        return;
    }
    out->next_free = loop->free_outs;
    loop->free_outs = out;
    loop->n_free_outs++;
}

void weir_tcp_outs_free(struct weir_loop *loop) {
    while (loop->free_outs) {
        struct weir_tcp_out *out = loop->free_outs;

        loop->free_outs = out->next_free;
        weir_free(out);
    }
    loop->n_free_outs = 0;
}

/* failing */

static void stop_polling(struct weir_tcp *t) {
    if (t->uv_reading) {
        uv_read_stop(uvs(t));
        t->uv_reading = false;
    }
}

void weir_tcp_fail(struct weir_tcp *t, struct weir_fault fault) {
    if (dead(t))
        return;
    t->failed = true;
    weir_list_unlink(&t->deferred);
    stop_polling(t);
    t->base.events->error(t->base.arg, fault);
}

static void fail_reset(struct weir_tcp *t) {
    weir_tcp_fail(t, (struct weir_fault){ t->side, WEIR_FAULT_RESET });
}

/* `error` at the end of the turn, since the owner is in the middle of a call to us. */
static void fail_later(struct weir_tcp *t) {
    if (dead(t) || !weir_list_empty(&t->deferred))
        return;
    weir_list_push_back(&t->loop->deferred, &t->deferred);
    weir_loop_kick(t->loop);
}

/* Writing failed and no uv_write is under way. */
static void cut(struct weir_tcp *t) {
    t->cut = true;
    t->above = false;
    out_put(t);
    if (!t->reading || t->eof)
        fail_later(t);
}

/* reading */

/* Where the next bytes go: the tail of the loop's chunk, at least READ_MIN. NULL = no memory. */
static struct weir_chunk *chunk_with_room(struct weir_tcp *t) {
    struct weir_loop *loop = t->loop;

    if (loop->read_chunk &&
        (WEIR_CHUNK_SIZE - loop->read_used < READ_MIN || (t->filled && loop->read_used > 0)))
        loop->read_chunk = weir_chunk_unref(loop->read_chunk);
    if (!loop->read_chunk) {
        loop->read_chunk = weir_chunk_get(loop->net.pool);
        loop->read_used = 0;
    }
    return loop->read_chunk;
}

static void on_bytes(struct weir_tcp *t, struct weir_chunk *chunk, size_t n) {
    struct weir_loop *loop = t->loop;
    struct weir_slice bytes = weir_slice_make(chunk->data + loop->read_used, n);

    t->base.bytes_in += n;
    loop->read_used += (uint32_t)n;
    t->base.events->read(t->base.arg, chunk, bytes);
    if (chunk->refs == 1) {
        loop->read_used = 0;
        WEIR_POISON(chunk->data,
                    WEIR_CHUNK_SIZE); /* whoever keeps a slice without a reference is caught */
    }
}

static void on_eof(struct weir_tcp *t) {
    stop_polling(t);
    t->eof = true;
    if (t->cut)
        fail_reset(t);
    else
        t->base.events->eof(t->base.arg);
}

static ssize_t receive(int fd, char *to, size_t room) {
    ssize_t n;

    do
        n = recv(fd, to, room, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* One recv(2), or more while each fills its buffer. False: not again before the socket is readable anew. */
static bool read_once(struct weir_tcp *t, int fd) {
    struct weir_chunk *chunk = chunk_with_room(t);
    size_t room = WEIR_CHUNK_SIZE - t->loop->read_used;
    ssize_t n;

    if (!chunk) {
        stop_polling(t);
        weir_tcp_fail(t, WEIR_FAULT(LOCAL, INTERNAL));
        return false;
    }
    WEIR_UNPOISON(chunk->data + t->loop->read_used, room);
    n = receive(fd, chunk->data + t->loop->read_used, room);
    if (n > 0) {
        t->filled = (size_t)n == room;
        on_bytes(t, chunk, (size_t)n);
        return t->filled;
    }
    if (n == 0) {
        on_eof(t);
    } else if (n != -EAGAIN) {
        stop_polling(t);
        fail_reset(t);
    }
    return false;
}

static void on_readable(struct weir_tcp *t) {
    uv_os_fd_t fd;

    if (!t->reading) {
        stop_polling(t);
        return;
    }
    if (uv_fileno((const uv_handle_t *)&t->uv, &fd) < 0)
        return;
    for (unsigned i = 0; i < READS_MAX && t->reading && !dead(t); i++)
        if (!read_once(t, fd))
            return;
}

/* libuv reads by read(2), which is the longer way into the kernel: it gets no buffer, tells so, and leaves what has come to us. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    *buf = uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    on_readable(stream->data);
}

static void start_polling(struct weir_tcp *t) {
    if (!t->connected || t->eof || t->uv_reading || dead(t))
        return;
    if (uv_read_start(uvs(t), on_alloc, on_read) == 0)
        t->uv_reading = true;
    else
        fail_later(t);
}

static void tcp_read_start(struct weir_stream *s) {
    of(s)->reading = true;
    start_polling(of(s));
}

/*
 * Polling goes on until something arrives: a codec that pauses its peer during each request would
 * otherwise pay two epoll_ctl(2) for it. The first bytes that come stay in the
 * kernel, and only then polling stops.
 */
static void tcp_read_stop(struct weir_stream *s) {
    struct weir_tcp *t = of(s);

    t->reading = false;
    if (t->cut)
        fail_later(t);
}

/* writing */

static void on_written(uv_write_t *req, int status);

/*
 * uv_try_write without what it asks first (nothing of ours is queued in libuv here) and by send(2), which is the shorter way into the
 * kernel than write(2). Bytes taken or -errno.
 */
static ssize_t send_now(int fd, const struct iovec *iov, int n) {
    struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
    ssize_t r;

    do
        r = n == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                   : sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

/* Writes q's head as long as the kernel takes it. False: the connection is broken. */
static bool write_now(struct weir_tcp *t, struct weir_bufq *q) {
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)&t->uv, &fd) < 0)
        return false;
    while (q->len > 0) {
        struct iovec iov[WRITE_IOV];
        int n = weir_bufq_peek(q, iov, WRITE_IOV);
        size_t offered = 0;

        for (int i = 0; i < n; i++)
            offered += iov[i].iov_len;
        ssize_t r = send_now(fd, iov, n);
        if (r == -EAGAIN || r == -ENOBUFS)
            return true;
        if (r < 0)
            return false;
        weir_bufq_consume(q, (size_t)r);
        t->base.bytes_out += (size_t)r;
        if ((size_t)r < offered)
            return true;
    }
    return true;
}

/* Lets libuv write the head of what is queued once the kernel has room. */
static bool submit(struct weir_tcp *t) {
    struct weir_tcp_out *out = t->out;
    struct iovec iov[SUBMIT_IOV];
    int n = weir_bufq_peek(&out->q, iov, SUBMIT_IOV);

    if (uv_write(&out->req, uvs(t), (const uv_buf_t *)iov, (unsigned)n, on_written) < 0)
        return false;
    out->req.data = t;
    out->submitted = 0;
    for (int i = 0; i < n; i++)
        out->submitted += iov[i].iov_len;
    return true;
}

static void send_fin(struct weir_tcp *t) {
    uv_os_fd_t fd;

    /*
     * Nothing is queued, so the plain call says the same as uv_shutdown, which would poll for
     * writability first. A failure means that the connection is gone, which reading tells.
     */
    t->fin_sent = true;
    if (uv_fileno((const uv_handle_t *)&t->uv, &fd) == 0)
        shutdown(fd, SHUT_WR);
}

/* Sends as much of what is queued as goes. Afterwards there is no `out`, or its req is under way,
 * or the stream is cut. */
static void flush(struct weir_tcp *t) {
    if (!t->out)
        return;
    if (!write_now(t, &t->out->q)) {
        cut(t);
        return;
    }
    if (t->out->q.len == 0)
        out_put(t);
    else if (!submit(t))
        cut(t);
}

static size_t tcp_pending(const struct weir_stream *s) {
    const struct weir_tcp *t = (const struct weir_tcp *)s;
    const struct weir_tcp_out *out = t->out;

    if (!out)
        return 0;
    if (out->submitted == 0)
        return out->q.len;
    return out->q.len - out->submitted +
           uv_stream_get_write_queue_size((const uv_stream_t *)&t->uv);
}

static void tell_drain(struct weir_tcp *t) {
    if (dead(t) || !t->above || tcp_pending(&t->base) > WEIR_STREAM_LOW_MARK)
        return;
    t->above = false;
    t->base.events->drain(t->base.arg);
}

static void on_written(uv_write_t *req, int status) {
    struct weir_tcp *t = req->data;
    struct weir_tcp_out *out = t->out;

    if (t->closing)
        return;
    if (status < 0) {
        cut(t);
        return;
    }
    weir_bufq_consume(&out->q, out->submitted);
    t->base.bytes_out += out->submitted;
    out->submitted = 0;
    flush(t);
    if (t->fin_wanted && !t->out && !t->cut)
        send_fin(t);
    tell_drain(t);
}

static int enqueue(struct weir_tcp *t, struct weir_bufq *q) {
    bool fresh = !t->out;
    int r;

    if (fresh) {
        t->out = out_get(t->loop);
        if (!t->out)
            return -ENOMEM;
    }
    r = weir_bufq_move(&t->out->q, q, q->len);
    if (r < 0) {
        if (fresh)
            out_put(t);
        return r;
    }
    if (fresh && t->connected && !submit(t))
        cut(t);
    else if (tcp_pending(&t->base) > WEIR_STREAM_LOW_MARK)
        t->above = true;
    return 0;
}

static int tcp_write(struct weir_stream *s, struct weir_bufq *q) {
    struct weir_tcp *t = of(s);

    assert(!t->fin_wanted || q->len == 0);
    if (t->connected && !t->out && !t->cut && !dead(t) && !write_now(t, q))
        cut(t);
    if (t->cut || t->fin_wanted || dead(t))
        weir_bufq_clear(q);
    return q->len == 0 ? 0 : enqueue(t, q);
}

static void tcp_shutdown(struct weir_stream *s) {
    struct weir_tcp *t = of(s);

    if (t->fin_wanted || t->cut || dead(t))
        return;
    t->fin_wanted = true;
    if (t->connected && !t->out)
        send_fin(t);
}

void weir_tcp_connected(struct weir_tcp *t) {
    t->connected = true;
    flush(t);
    if (t->fin_wanted && !t->out && !t->cut)
        send_fin(t);
    if (t->reading)
        start_polling(t);
    t->base.events->open(t->base.arg);
    tell_drain(t);
}

/* closing */

static void on_close(uv_handle_t *handle) {
    struct weir_tcp *t = handle->data;
    struct weir_loop *loop = t->loop;

    out_put(t);
    if (t->base.events && t->base.events->closed)
        t->base.events->closed(t->base.arg);
    loop->n_streams--;
    weir_free(t);
    if (loop->stopping)
        weir_loop_kick(loop);
}

static void tcp_close(struct weir_stream *s, bool reset) {
    struct weir_tcp *t = of(s);

    if (t->closing)
        return;
    t->closing = true;
    weir_list_unlink(&t->deferred);
    if (t->dial && !t->has_original)
        weir_tcp_dial_cancel(t->dial);
    if (t->race && !t->has_original)
        weir_tcp_race_cancel(t->race);
    /* Fails when there is no socket yet: then there is nothing to reset. */
    if (!reset || uv_tcp_close_reset(&t->uv, on_close) < 0)
        uv_close((uv_handle_t *)&t->uv, on_close);
}

static void tcp_info(struct weir_stream *s, struct weir_stream_info *ret_info) {
    struct weir_tcp *t = of(s);
    struct sockaddr_storage sa;
    int len = sizeof(sa);

    *ret_info = (struct weir_stream_info){
        .remote = t->remote,
        .remote_port = t->remote_port,
        .has_original = t->has_original,
        .original_port = t->original_port,
        .sni = "",
        .peer_hash = "",
        .fault_reason = "",
    };
    if (t->has_original)
        ret_info->original = t->original;
    if (t->connected && !t->closing &&
        uv_tcp_getsockname(&t->uv, (struct sockaddr *)&sa, &len) == 0)
        weir_addr_from_sockaddr(&sa, &ret_info->local, &ret_info->local_port);
}

static uint8_t tcp_first(struct weir_stream *s, uint8_t spoke) {
    struct weir_tcp *t = of(s);
    int fd;

    return t->closing || uv_fileno((const uv_handle_t *)&t->uv, &fd) < 0
               ? 0
               : weir_facts_first(fd, spoke);
}

static const struct weir_stream_ops tcp_ops = {
    .name = "tcp",
    .read_start = tcp_read_start,
    .read_stop = tcp_read_stop,
    .write = tcp_write,
    .shutdown = tcp_shutdown,
    .close = tcp_close,
    .pending = tcp_pending,
    .info = tcp_info,
    .first = tcp_first,
};

struct weir_tcp *weir_tcp_new(struct weir_loop *loop, enum weir_side side) {
    struct weir_tcp *t = weir_calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->base.ops = &tcp_ops;
    t->loop = loop;
    t->side = (uint8_t)side;
    /* Without a family this only fills the handle: no socket, no failure. */
    uv_tcp_init(&loop->uv, &t->uv);
    t->uv.data = t;
    weir_list_init(&t->deferred);
    loop->n_streams++;
    return t;
}
