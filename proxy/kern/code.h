/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a file of machine code: where a function begins, and whether it has a TLS of its own. The file is a pod's: it is read, never
 * mapped, and nothing in it is believed further than a probe's place goes.
 */
#ifndef WEIR_KERN_CODE_H
#define WEIR_KERN_CODE_H

#include <stdint.h>

struct weir_code;

/* fd is borrowed until close. 0; -ENOMEM; -ENOEXEC: no ELF; -EMEDIUMTYPE: it lies on a filesystem that a process serves (FUSE), which could keep us waiting. */
int weir_code_open(int fd, struct weir_code **ret_code);
/* Takes NULL; returns NULL. */
struct weir_code *weir_code_close(struct weir_code *code);
/* Where an exported function begins, in the file; 0 = it has none of that name. */
uint64_t weir_code_export(struct weir_code *code, const char *function);
/* The TLS that was linked into it and is no library of its own: "OpenSSL", "BoringSSL", "Go", "rustls"; NULL = none that is known. */
const char *weir_code_tls(struct weir_code *code);

#endif
