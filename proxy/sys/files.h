/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files in memory. (Not named file.h: <sys/file.h> would find it.) */
#ifndef WEIR_SYS_FILES_H
#define WEIR_SYS_FILES_H

#include <stddef.h>

/*
 * Reads path (a file, a pipe, a device; not a directory: -EISDIR) to its end. *ret_text is on the
 * heap (weir_free), with a NUL behind the *ret_len bytes. 0, -EFBIG beyond max bytes, -ENOMEM or
 * what open(2) and read(2) say.
 */
int weir_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len);
/* The same from an open descriptor, which stays open. */
int weir_file_read_fd(int fd, size_t max, char **ret_text, size_t *ret_len);
/* Writes a temporary file beside path and renames it over path; mode as for open(2). 0 or -errno.
 */
int weir_file_replace(const char *path, unsigned mode, const char *text, size_t len);

#endif
