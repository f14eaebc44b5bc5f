/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel TLS, asked of this kernel with a connection over loopback of its own: the ULP, then a key for each cipher that weir's TLS may
 * agree on. The key is of no use to anybody: nothing is sent.
 */
#include "kern/check_priv.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* A connected socket of the loopback, its other end in *ret_peer. -errno or the descriptor. */
static int connected(int *ret_peer) {
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(sa);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer = -1;
    int r = listener < 0 || fd < 0 || bind(listener, (struct sockaddr *)&sa, len) < 0 ||
                    listen(listener, 1) < 0 ||
                    getsockname(listener, (struct sockaddr *)&sa, &len) < 0 ||
                    connect(fd, (struct sockaddr *)&sa, len) < 0 ||
                    (peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0
                ? -errno
                : fd;

    if (listener >= 0)
        close(listener);
    if (r < 0 && fd >= 0)
        close(fd);
    *ret_peer = peer;
    return r;
}

/* With `info` NULL only the ULP. 0 or -errno. */
static int try(const void *info, size_t size) {
    int peer, fd = connected(&peer), r = 0;

    if (fd < 0)
        return fd;
    if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) < 0 ||
        (info && setsockopt(fd, SOL_TLS, TLS_TX, info, (socklen_t)size) < 0))
        r = -errno;
    close(fd);
    close(peer);
    return r;
}

void weir_check_tls(const struct weir_check_report *r) {
    static const struct tls12_crypto_info_aes_gcm_128 aes128 = {
        .info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 }
    };
    static const struct tls12_crypto_info_aes_gcm_256 aes256 = {
        .info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256 }
    };
    static const struct tls12_crypto_info_chacha20_poly1305 chacha = {
        .info = { TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305 }
    };
    const struct {
        const char *name;
        const void *info;
        size_t size;
    } ciphers[] = {
        { "AES-128-GCM", &aes128, sizeof(aes128) },
        { "AES-256-GCM", &aes256, sizeof(aes256) },
        { "CHACHA20-POLY1305", &chacha, sizeof(chacha) },
    };
    char found[192];
    int ulp = try(NULL, 0), n;

    if (ulp < 0) {
        snprintf(found, sizeof(found), "not offered (%s); TLS is done in the proxy",
                 strerror(-ulp));
        weir_check_say(r, WEIR_CHECK_OK, "kernel TLS", found, "");
        return;
    }
    n = snprintf(found, sizeof(found), "offered, TLS 1.3 with");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ciphers); i++)
        if (try(ciphers[i].info, ciphers[i].size) == 0)
            n += snprintf(found + n, sizeof(found) - (size_t)n, " %s", ciphers[i].name);
    snprintf(found + n, sizeof(found) - (size_t)n,
             "; this version does TLS in the proxy all the same");
    weir_check_say(r, WEIR_CHECK_OK, "kernel TLS", found, "");
}
