/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telemetry of applications that do their own TLS, asked of this machine: its own libssl stands for those of the pods, and a probe is made on it
 * as the helper makes one, not enabled, and let go.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "helper/helper.h"
#include "kern/check_priv.h"
#include "kern/code.h"
#include "kern/tls.h"

/* The first libssl where distributions put it. 0 or -ENOENT. */
static int find_library(char *ret, size_t size) {
    static const char *const places[] = { "/usr/lib/*-linux-gnu*/", "/usr/lib64/", "/usr/lib/",
                                          "/lib/" };
    int r = -ENOENT;

    for (size_t i = 0; r && i < WEIR_ARRAY_LEN(places); i++) {
        char pattern[128];
        glob_t found;

        snprintf(pattern, sizeof(pattern), "%s" WEIR_TLS_LIBRARY ".*", places[i]);
        if (glob(pattern, 0, NULL, &found) == 0) {
            snprintf(ret, size, "%s", found.gl_pathv[0]);
            r = 0;
        }
        globfree(&found);
    }
    return r;
}

/* 0, or why no probe can be made on it: -ENOENT = it has no SSL_read. */
static int try(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC), probe = -1, r;
    struct weir_code *code = NULL;
    uint64_t at = 0;

    if (fd < 0)
        return -errno;
    r = weir_code_open(fd, &code);
    if (r == 0) {
        at = weir_code_export(code, "SSL_read");
        weir_code_close(code);
    }
    if (r == 0)
        r = at == 0 || at > UINT32_MAX ? -ENOENT
                                       : weir_helper_uprobe(fd, (uint32_t)at, false, &probe);
    if (probe >= 0)
        close(probe);
    close(fd);
    return r;
}

void weir_check_uprobes(const struct weir_check_report *r) {
    static const char *const what = "telemetry of applications' own TLS";
    const char *impossible = weir_kern_tls_possible();
    char path[256], found[384];
    int err;

    if (impossible) {
        snprintf(found, sizeof(found), "no: %s", impossible);
        weir_check_say(r, WEIR_CHECK_WARN, what, found,
                       "such connections are told as flows, without their requests");
    } else if (find_library(path, sizeof(path))) {
        weir_check_say(r, WEIR_CHECK_OK, what,
                       "uprobes are there; this machine has no libssl to try one on, pods bring "
                       "their own",
                       "");
    } else {
        err = try(path);
        snprintf(found, sizeof(found), "%s%s%s", err ? strerror(-err) : "a probe was made",
                 " on SSL_read of ", path);
        weir_check_say(r, err ? WEIR_CHECK_WARN : WEIR_CHECK_OK, what, found,
                       "the helper needs CAP_SYS_ADMIN and a kernel with CONFIG_UPROBE_EVENTS");
    }
    weir_check_say(r, WEIR_CHECK_OK, "of these, not seen",
                   "OpenSSL or BoringSSL linked into a program (node), Go, Java, rustls, GnuTLS: "
                   "tls_telemetry of weir status says it of each pod",
                   "");
}
