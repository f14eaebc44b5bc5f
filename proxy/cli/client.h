/* SPDX-License-Identifier: Apache-2.0 */
/* How verbs ask a running weir: one blocking question, one answer. */
#ifndef WEIR_CLI_CLIENT_H
#define WEIR_CLI_CLIENT_H

#include "base/err.h"

/*
 * GET path from a proxy's admin address ("ADDR:PORT"). *ret_body is NUL-terminated, freed with weir_free. 0, -errno, -EPROTO when what answers is not
 * HTTP; *ret_status is the status code.
 */
int weir_client_get(const char *hostport, const char *path, int *ret_status, char **ret_body);
/* Sends a line to an agent's unix socket and reads to the end. 0 or -errno. */
int weir_client_ask(const char *socket_path, const char *line, char **ret_answer);
/*
 * The same for an answer without an end: fn is told each line as it comes, without its newline, and returns nonzero to
 * stop (forwarded). 0 at the end of the stream, -errno; -EFBIG for a line beyond a mebibyte.
 */
int weir_client_follow(const char *socket_path, const char *line, int (*fn)(void *arg, char *text),
                       void *arg);

#endif
