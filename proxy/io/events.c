/* SPDX-License-Identifier: Apache-2.0 */
#include "io/events.h"

#include <uv.h>

#include "base/mem.h"

struct weir_event {
    union {
        uv_handle_t handle;
        uv_signal_t signal;
        uv_poll_t poll;
        uv_timer_t timer;
    } uv;
    void (*fn)(void *arg);
    void *arg;
};

static void closed(uv_handle_t *h) {
    weir_free(WEIR_CONTAINER_OF(h, struct weir_event, uv.handle));
}

static void on_signal(uv_signal_t *h, int signum) {
    struct weir_event *e = WEIR_CONTAINER_OF(h, struct weir_event, uv.signal);

    (void)signum;
    e->fn(e->arg);
}

static void on_readable(uv_poll_t *h, int status, int events) {
    struct weir_event *e = WEIR_CONTAINER_OF(h, struct weir_event, uv.poll);

    (void)status;
    (void)events;
    e->fn(e->arg);
}

static void on_timer(uv_timer_t *h) {
    struct weir_event *e = WEIR_CONTAINER_OF(h, struct weir_event, uv.timer);

    e->fn(e->arg);
}

static struct weir_event *event_new(void (*fn)(void *arg), void *arg) {
    struct weir_event *e = weir_calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->fn = fn;
    e->arg = arg;
    return e;
}

/* started: 0 or libuv's error after the handle was initialised. */
static int done(struct weir_event *e, int started, struct weir_event **ret_event) {
    if (started < 0) {
        uv_close(&e->uv.handle, closed);
        return started;
    }
    *ret_event = e;
    return 0;
}

int weir_event_signal(struct weir_loop *loop, int signum, void (*fn)(void *arg), void *arg,
                      struct weir_event **ret_event) {
    struct weir_event *e = event_new(fn, arg);
    int r = e ? uv_signal_init(weir_loop_uv(loop), &e->uv.signal) : -ENOMEM;

    if (r < 0) {
        weir_free(e);
        return r;
    }
    return done(e, uv_signal_start(&e->uv.signal, on_signal, signum), ret_event);
}

int weir_event_readable(struct weir_loop *loop, int fd, void (*fn)(void *arg), void *arg,
                        struct weir_event **ret_event) {
    struct weir_event *e = event_new(fn, arg);
    int r = e ? uv_poll_init(weir_loop_uv(loop), &e->uv.poll, fd) : -ENOMEM;

    if (r < 0) {
        weir_free(e);
        return r;
    }
    return done(e, uv_poll_start(&e->uv.poll, UV_READABLE, on_readable), ret_event);
}

int weir_event_every(struct weir_loop *loop, uint64_t period_us, void (*fn)(void *arg), void *arg,
                     struct weir_event **ret_event) {
    struct weir_event *e = event_new(fn, arg);
    int r = e ? uv_timer_init(weir_loop_uv(loop), &e->uv.timer) : -ENOMEM;

    if (r < 0) {
        weir_free(e);
        return r;
    }
    return done(e, uv_timer_start(&e->uv.timer, on_timer, period_us / 1000, period_us / 1000),
                ret_event);
}

struct weir_event *weir_event_free(struct weir_event *e) {
    if (e && !uv_is_closing(&e->uv.handle))
        uv_close(&e->uv.handle, closed);
    return NULL;
}
