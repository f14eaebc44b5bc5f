/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include "h2peer.h"

static struct h2_msg *msg_new(struct h2_peer *p, int32_t id) {
    struct h2_msg *m = calloc(1, sizeof(*m));

    m->peer = p;
    m->id = id;
    m->body = calloc(1, 1);
    *p->last = m;
    p->last = &m->next;
    return m;
}

static struct h2_msg *msg_of(struct h2_peer *p, int32_t id) {
    for (struct h2_msg *m = p->msgs; m; m = m->next)
        if (m->id == id)
            return m;
    return NULL;
}

/* ---- received ---- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        msg_new(arg, frame->hd.stream_id);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t namelen, const uint8_t *value, size_t valuelen, uint8_t flags,
                     void *arg) {
    struct h2_msg *m = msg_of(arg, frame->hd.stream_id);
    char *to = m->has_head ? m->trailers : m->head;
    size_t size = m->has_head ? sizeof(m->trailers) : sizeof(m->head), at = strlen(to);

    (void)session;
    (void)flags;
    snprintf(to + at, size - at, "%.*s: %.*s\n", (int)namelen, (const char *)name, (int)valuelen,
             (const char *)value);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    struct h2_peer *p = arg;
    struct h2_msg *m = msg_of(p, frame->hd.stream_id);

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (m && (p->server || !strstr(m->head, ":status: 1")))
            m->has_head = true;
        else if (m && strlen(m->head) > 12) { /* the last status counts */
            const char *last = m->head;

            for (const char *s = m->head; (s = strstr(s, ":status: ")); s++)
                last = s;
            m->has_head = last[9] != '1';
        }
        /* fallthrough */
    case NGHTTP2_DATA:
        if (m && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            m->end = true;
        break;
    case NGHTTP2_RST_STREAM:
        p->n_rst++;
        break;
    case NGHTTP2_GOAWAY:
        p->goaway = true;
        p->goaway_last = frame->goaway.last_stream_id;
        p->goaway_code = frame->goaway.error_code;
        break;
    default:
        break;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *arg) {
    struct h2_msg *m = msg_of(arg, id);

    (void)session;
    (void)flags;
    m->body = realloc(m->body, m->len + len + 1);
    memcpy(m->body + m->len, data, len);
    m->len += len;
    m->body[m->len] = '\0';
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg) {
    struct h2_msg *m = msg_of(arg, id);

    (void)session;
    if (m) {
        m->closed = true;
        m->code = code;
    }
    return 0;
}

/* ---- sent ---- */

static size_t fill(nghttp2_nv *nv, size_t n, const char *const *fields) {
    for (; fields && fields[0]; fields += 2)
        nv[n++] = (nghttp2_nv){ (uint8_t *)(uintptr_t)fields[0], (uint8_t *)(uintptr_t)fields[1],
                                strlen(fields[0]), strlen(fields[1]), NGHTTP2_NV_FLAG_NO_INDEX };
    return n;
}

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                        uint32_t *flags, nghttp2_data_source *source, void *arg) {
    struct h2_msg *m = source->ptr;
    size_t n = m->out_len < length ? m->out_len : length;

    (void)arg;
    if (n == 0 && !m->out_end) {
        m->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0) { /* trailers may come behind no content at all */
        memcpy(buf, m->out, n);
        m->out_len -= n;
        memmove(m->out, m->out + n, m->out_len);
    }
    if (m->out_len == 0 && m->out_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (m->out_trailers) {
            nghttp2_nv nv[16];

            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            assert_int_equal(nghttp2_submit_trailer(session, id, nv, fill(nv, 0, m->out_trailers)),
                             0);
        }
    }
    return (ssize_t)n;
}

static void resume(struct h2_msg *m) {
    if (m->deferred) {
        m->deferred = false;
        nghttp2_session_resume_data(m->peer->session, m->id);
    }
}

static bool push(struct h2_peer *p) {
    const uint8_t *bytes;
    bool moved = false;

    for (;;) {
        ssize_t r = nghttp2_session_mem_send(p->session, &bytes);

        if (r <= 0)
            return moved;
        if (mem_is_closed(p->conn))
            continue;
        mem_send_bytes(p->conn, bytes, (size_t)r);
        moved = true;
    }
}

void h2_push(struct h2_peer *p) {
    push(p);
}

static bool pump(struct h2_peer *p) {
    size_t n = mem_received_len(p->conn);

    if (p->gone)
        return false;
    if (n > 0) {
        ssize_t r = nghttp2_session_mem_recv(p->session, (const uint8_t *)mem_received(p->conn), n);

        if (r < 0 && p->error == 0)
            p->error = (int)r;
        mem_received_clear(p->conn);
    }
    return push(p) || n > 0;
}

bool h2_pump_all(struct flow *f) {
    bool moved = false;

    for (struct h2_peer *p = f->peers; p; p = p->next)
        moved |= pump(p);
    return moved;
}

void h2_free_all(struct flow *f) {
    while (f->peers) {
        struct h2_peer *p = f->peers;

        f->peers = p->next;
        nghttp2_session_del(p->session);
        while (p->msgs) {
            struct h2_msg *m = p->msgs;

            p->msgs = m->next;
            free(m->body);
            free(m->out);
            free(m);
        }
        free(p);
    }
}

/* ---- set-up ---- */

static void session_new(struct h2_peer *p, const struct h2_config *config) {
    nghttp2_session_callbacks *cbs;
    nghttp2_option *option;

    nghttp2_session_callbacks_new(&cbs);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_close);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, config->manual_window);
    if (p->server)
        assert_int_equal(nghttp2_session_server_new2(&p->session, cbs, p, option), 0);
    else
        assert_int_equal(nghttp2_session_client_new2(&p->session, cbs, p, option), 0);
    nghttp2_session_callbacks_del(cbs);
    nghttp2_option_del(option);
}

struct h2_peer *h2_over(struct flow *f, struct mem_conn *c, bool server,
                        const struct h2_config *config) {
    static const struct h2_config none = { 0 };
    struct h2_peer *p = calloc(1, sizeof(*p));
    nghttp2_settings_entry settings[3];
    size_t n = 0;

    if (!config)
        config = &none;
    p->conn = c;
    p->server = server;
    p->last = &p->msgs;
    p->next = f->peers;
    f->peers = p;
    session_new(p, config);
    if (config->max_streams)
        settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                                  config->max_streams };
    if (config->window)
        settings[n++] =
            (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, config->window };
    if (config->extended)
        settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 };
    assert_int_equal(nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, settings, n), 0);
    flow_run(f);
    return p;
}

struct h2_peer *h2_client(struct flow *f, const struct h2_config *config) {
    return h2_over(f, flow_client(f), false, config);
}

struct h2_peer *h2_server(struct flow *f, const struct h2_config *config) {
    return h2_over(f, flow_server(f), true, config);
}

/* ---- messages ---- */

struct h2_msg *h2_ask(struct h2_peer *p, const char *method, const char *path,
                      const char *const *fields, bool end) {
    static const char *const pseudo[] = { ":scheme", "http", ":authority", "example.com", NULL };
    const char *const first[] = { ":method", method, ":path", path, NULL };
    struct h2_msg *m = msg_new(p, 0);
    nghttp2_data_provider content = { .source.ptr = m, .read_callback = read_out };
    nghttp2_nv nv[64];
    size_t n = fill(nv, fill(nv, 0, first), pseudo);

    n = fill(nv, n, fields);
    m->id = nghttp2_submit_request(p->session, NULL, nv, n, end ? NULL : &content, NULL);
    assert_true(m->id > 0);
    return m;
}

struct h2_msg *h2_take(struct h2_peer *p) {
    for (struct h2_msg *m = p->msgs; m; m = m->next)
        if (m->has_head && !m->handed_out) {
            m->handed_out = true;
            return m;
        }
    return NULL;
}

void h2_head(struct h2_msg *m, const char *status, const char *const *fields, bool end) {
    const char *const first[] = { ":status", status, NULL };
    nghttp2_data_provider content = { .source.ptr = m, .read_callback = read_out };
    nghttp2_nv nv[64];
    size_t n = fill(nv, fill(nv, 0, first), fields);

    if (status[0] == '1')
        assert_int_equal(
            nghttp2_submit_headers(m->peer->session, NGHTTP2_FLAG_NONE, m->id, NULL, nv, n, NULL),
            0);
    else
        assert_int_equal(
            nghttp2_submit_response(m->peer->session, m->id, nv, n, end ? NULL : &content), 0);
}

void h2_data(struct h2_msg *m, const void *bytes, size_t n, bool end) {
    m->out = realloc(m->out, m->out_len + n + 1);
    memcpy(m->out + m->out_len, bytes, n);
    m->out_len += n;
    m->out_end |= end;
    resume(m);
}

void h2_trailers(struct h2_msg *m, const char *const *fields) {
    m->out_trailers = fields;
    m->out_end = true;
    resume(m);
}

void h2_answer(struct h2_msg *m, const char *status, const char *text) {
    char length[24];
    const char *const fields[] = { "content-length", length, NULL };

    snprintf(length, sizeof(length), "%zu", strlen(text));
    h2_head(m, status, fields, false);
    h2_data(m, text, strlen(text), true);
}

void h2_rst(struct h2_msg *m, uint32_t code) {
    nghttp2_submit_rst_stream(m->peer->session, NGHTTP2_FLAG_NONE, m->id, code);
}

void h2_goaway(struct h2_peer *p, int32_t last, uint32_t code) {
    nghttp2_submit_goaway(p->session, NGHTTP2_FLAG_NONE, last, code, NULL, 0);
}

void h2_credit(struct h2_msg *m, size_t n) {
    nghttp2_session_consume(m->peer->session, m->id, n);
}

void h2_raw(struct h2_peer *p, const void *bytes, size_t n) {
    push(p);
    mem_send_bytes(p->conn, bytes, n);
}

const char *h2_field(const struct h2_msg *m, const char *name) {
    static char value[8192];
    size_t n = strlen(name);

    for (const char *line = m->head; *line; line = strchr(line, '\n') + 1)
        if (strncmp(line, name, n) == 0 && line[n] == ':') {
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + n + 2, "\n"), line + n + 2);
            return value;
        }
    return NULL;
}

const char *h2_text(const struct h2_msg *m) {
    return m->body;
}
