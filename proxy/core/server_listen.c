/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of admin servers and webhooks, of whichever process it is. */
#include "core/server_listen.h"

#include <stdio.h>

#include "base/slice.h"
#include "conf/scalar.h"
#include "sys/log.h"

int weir_listen_say_failure(const char *text, int r) {
    const char *hint = r == -EADDRINUSE ? " (another process listens there)"
                       : r == -EACCES   ? " (ports below 1024 need CAP_NET_BIND_SERVICE)"
                                        : "";

    weir_log(WEIR_LOG_ERROR, "listen", "addr=%s error=\"%s%s\"", text, strerror(-r), hint);
    return r;
}

static int open_one(struct weir_loop *loop, const char *text, const struct weir_listen *like,
                    bool optional) {
    struct weir_listen listen = *like;
    uint16_t port = 0;
    int r;

    if (weir_parse_hostport(text, &listen.ip, &listen.port) < 0) {
        weir_log(WEIR_LOG_ERROR, "listen", "addr=%s error=\"not ADDR:PORT\"", text);
        return -EINVAL;
    }
    r = weir_loop_listen(loop, &listen, &port);
    if (r < 0 && optional && (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT))
        return 0;
    if (r < 0)
        return weir_listen_say_failure(text, r);
    weir_log(WEIR_LOG_INFO, "listen", "direction=admin addr=%s port=%u", text, port);
    return 0;
}

int weir_server_listen(struct weir_loop *loop, const char *text, const void *user,
                       struct weir_handed *handed) {
    const struct weir_listen like = { .user = (void *)user, .handed = handed, .of = 1 };
    char v4[64], v6[64];
    int r;

    if (text[0] != ':')
        return open_one(loop, text, &like, false);
    snprintf(v4, sizeof(v4), "0.0.0.0%s", text);
    snprintf(v6, sizeof(v6), "[::]%s", text);
    r = open_one(loop, v4, &like, false);
    return r == 0 ? open_one(loop, v6, &like, true) : r;
}
