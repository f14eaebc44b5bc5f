/* SPDX-License-Identifier: Apache-2.0 */
/* weir version: what this binary is and what it was built with and runs on. */
#include <jansson.h>
#include <llhttp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <uv.h>

#include "cli/verb.h"
#include "weir_config.h"

static int run(struct weir_args *args);

static const struct weir_option options[] = { WEIR_OPTION_OUTPUT, WEIR_OPTIONS_END };

const struct weir_verb weir_verb_version = {
    .name = "version",
    .words = "",
    .summary = "version of weir and of the libraries it runs with",
    .more = "",
    .options = options,
    .run = run,
};

static int run(struct weir_args *args) {
    char llhttp[32];
    int r;
    bool json = weir_args_json(args, &r);

    if (r)
        return r;
    snprintf(llhttp, sizeof(llhttp), "%d.%d.%d", LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR,
             LLHTTP_VERSION_PATCH);
    if (json) {
        json_t *j =
            json_pack("{s:s, s:b, s:{s:s, s:s, s:s, s:s}}", "version", WEIR_VERSION, "kernelHalf",
                      WEIR_HAVE_KERNEL, "libraries", "llhttp", llhttp, "nghttp2",
                      nghttp2_version(0)->version_str, "openssl",
                      OpenSSL_version(OPENSSL_VERSION_STRING), "libuv", uv_version_string());

        json_dumpf(j, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(j);
        return WEIR_EXIT_OK;
    }
    printf("weir %s (kernel half: %s)\n", WEIR_VERSION,
           WEIR_HAVE_KERNEL ? "built in" : "not built in");
    printf("llhttp %s, nghttp2 %s, OpenSSL %s, libuv %s\n", llhttp, nghttp2_version(0)->version_str,
           OpenSSL_version(OPENSSL_VERSION_STRING), uv_version_string());
    return WEIR_EXIT_OK;
}
