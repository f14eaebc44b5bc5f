/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread's loop: turns, ticks, posts, clock and the way down.
 *
 * A turn of the loop is: timers, one epoll_wait, its I/O events, then on_check, which tells late
 * errors and `turn`, then `closed` events. libuv would block in the next epoll_wait although
 * something asked for `turn` after on_check (from a closed event, or from `turn` itself) or before
 * the wait (a timer): an active idle handle makes that wait return at once. It is active only while
 * something is owed, so that a quiet loop sleeps.
 *
 * The clock is read on the first question after each wait, through the vDSO: no system call, and
 * one reading per turn.
 */
#include "io/loop.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/state.h"
#include "io/tcp.h"
#include "sys/clock.h"

static struct weir_loop *of_net(struct weir_net *net) {
    return (struct weir_loop *)net;
}

static void clock_refresh(struct weir_loop *loop) {
    if (loop->clock_read)
        return;
    loop->now = weir_clock_mono_us();
    loop->wall = weir_clock_wall_us();
    loop->clock_read = true;
}

static uint64_t net_now(struct weir_net *net) {
    clock_refresh(of_net(net));
    return of_net(net)->now;
}

static uint64_t net_wall(struct weir_net *net) {
    clock_refresh(of_net(net));
    return of_net(net)->wall;
}

static void on_idle(uv_idle_t *idle) {
    /* Being active is its whole job. */
}

void weir_loop_kick(struct weir_loop *loop) {
    if (!loop->own_closed)
        uv_idle_start(&loop->idle, on_idle);
}

static void net_wake(struct weir_net *net) {
    struct weir_loop *loop = of_net(net);

    if (!loop->wake) {
        loop->wake = true;
        weir_loop_kick(loop);
    }
}

static void on_tick(uv_timer_t *timer) {
    struct weir_loop *loop = timer->data;

    loop->net.events->tick(loop->net.arg);
}

static void net_tick(struct weir_net *net, bool on) {
    struct weir_loop *loop = of_net(net);

    if (loop->own_closed)
        return;
    if (!on)
        uv_timer_stop(&loop->tick);
    else if (!uv_is_active((uv_handle_t *)&loop->tick))
        uv_timer_start(&loop->tick, on_tick, WEIR_TICK_US / 1000, WEIR_TICK_US / 1000);
}

static int net_dial(struct weir_net *net, const struct weir_dial *dial,
                    struct weir_stream **ret_stream) {
    return weir_loop_dial(of_net(net), dial, ret_stream);
}

static void net_stop_listening(struct weir_net *net) {
    weir_listeners_close(of_net(net));
}

static void net_pause_accept(struct weir_net *net, bool pause) {
    of_net(net)->paused = pause;
    weir_listeners_update(of_net(net));
}

static const struct weir_net_ops net_ops = {
    .now = net_now,
    .wall = net_wall,
    .dial = net_dial,
    .wake = net_wake,
    .tick = net_tick,
    .stop_listening = net_stop_listening,
    .pause_accept = net_pause_accept,
};

static void on_prepare(uv_prepare_t *prepare) {
    struct weir_loop *loop = prepare->data;

    loop->clock_read = false;
}

static void run_deferred(struct weir_loop *loop) {
    while (!weir_list_empty(&loop->deferred)) {
        struct weir_tcp *t = WEIR_CONTAINER_OF(loop->deferred.next, struct weir_tcp, deferred);

        weir_list_unlink(&t->deferred);
        weir_tcp_fail(t, (struct weir_fault){ t->side, WEIR_FAULT_RESET });
    }
}

static void close_own(struct weir_loop *loop) {
    uv_handle_t *own[] = {
        (uv_handle_t *)&loop->prepare, (uv_handle_t *)&loop->check,
        (uv_handle_t *)&loop->idle,    (uv_handle_t *)&loop->post,
        (uv_handle_t *)&loop->tick,    (uv_handle_t *)&loop->accept_retry,
    };

    loop->own_closed = true;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(own); i++)
        uv_close(own[i], NULL);
}

static void on_check(uv_check_t *check) {
    struct weir_loop *loop = check->data;

    run_deferred(loop);
    uv_idle_stop(&loop->idle);
    if (loop->wake) {
        loop->wake = false;
        loop->net.events->turn(loop->net.arg);
    }
    if (loop->stopping && loop->n_streams == 0 && !loop->wake)
        close_own(loop);
}

static void on_post(uv_async_t *async) {
    struct weir_loop *loop = async->data;

    if (loop->stopping)
        return;
    weir_dials_resume(loop);
    loop->net.events->posted(loop->net.arg);
}

static int init_own(struct weir_loop *loop) {
    int r = uv_async_init(&loop->uv, &loop->post, on_post);

    if (r < 0)
        return r;
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->tick);
    uv_timer_init(&loop->uv, &loop->accept_retry);
    loop->post.data = loop->prepare.data = loop->check.data = loop->idle.data = loop;
    loop->tick.data = loop->accept_retry.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    return 0;
}

int weir_loop_new(struct weir_chunk_pool *pool, struct weir_loop **ret_loop) {
    struct weir_loop *loop = weir_calloc(1, sizeof(*loop));
    int r;

    if (!loop)
        return -ENOMEM;
    loop->net.ops = &net_ops;
    loop->net.pool = pool;
    weir_list_init(&loop->listeners);
    weir_list_init(&loop->deferred);
    weir_list_init(&loop->parked);
    loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (loop->spare_fd < 0) {
        r = -errno;
        goto fail;
    }
    r = uv_loop_init(&loop->uv);
    if (r < 0)
        goto fail_fd;
    r = init_own(loop);
    if (r < 0)
        goto fail_uv;
    *ret_loop = loop;
    return 0;

fail_uv:
    uv_loop_close(&loop->uv);
fail_fd:
    close(loop->spare_fd);
fail:
    weir_free(loop);
    return r;
}

struct weir_loop *weir_loop_free(struct weir_loop *loop) {
    int r;

    if (!loop)
        return NULL;
    if (!loop->ran) {
        /* Never run: the owner's setup failed half-way. libuv gives memory back only from within a
         * run. */
        weir_loop_stop(loop);
        weir_loop_run(loop);
    }
    r = uv_loop_close(&loop->uv);
    assert(r == 0); /* otherwise somebody's handle outlives its loop */
    (void)r;
    weir_tcp_outs_free(loop);
    weir_chunk_unref(loop->read_chunk);
    weir_sockets_free(loop->sockets);
    if (loop->spare_fd >= 0)
        close(loop->spare_fd);
    return weir_free(loop);
}

struct weir_net *weir_loop_net(struct weir_loop *loop) {
    return &loop->net;
}

void weir_loop_run(struct weir_loop *loop) {
    sigset_t pipe, before;

    /*
     * libuv writes with write(2) and writev(2), so a peer that went away raises SIGPIPE. Whatever
     * the process does about that signal, this thread is spared.
     */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop->ran = true;
    if (!sigismember(&before, SIGPIPE)) {
        const struct timespec zero = { 0, 0 };

        while (sigtimedwait(&pipe, NULL, &zero) == SIGPIPE)
            ;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
}

int weir_loop_fd(const struct weir_loop *loop) {
    return uv_backend_fd(&loop->uv);
}

/* What one wait finds may wait for something that only the next wait makes known to the kernel. */
#define TURNS 4

void weir_loop_turn(struct weir_loop *loop) {
    for (int i = 0; i < TURNS; i++)
        uv_run(&loop->uv, UV_RUN_NOWAIT);
}

void weir_loop_run_until(struct weir_loop *loop, bool (*done)(void *arg), void *arg) {
    while (!done(arg))
        uv_run(&loop->uv, UV_RUN_ONCE);
}

/* Of the loop's handles those of kind TCP are streams. */
static void close_stream(uv_handle_t *handle, void *arg) {
    if (handle->type == UV_TCP)
        weir_stream_close(&((struct weir_tcp *)handle->data)->base, false);
}

void weir_loop_stop(struct weir_loop *loop) {
    if (loop->stopping)
        return;
    loop->stopping = true;
    weir_listeners_close(loop);
    uv_walk(&loop->uv, close_stream, NULL);
    weir_loop_kick(loop);
}

void weir_loop_post(struct weir_loop *loop) {
    uv_async_send(&loop->post);
}

uint64_t weir_loop_unknown_original(const struct weir_loop *loop) {
    return loop->unknown_original;
}

uint64_t weir_loop_refused_no_fd(const struct weir_loop *loop) {
    return loop->refused_no_fd;
}

void *weir_loop_uv(struct weir_loop *loop) {
    return &loop->uv;
}
