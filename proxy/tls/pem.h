/* SPDX-License-Identifier: Apache-2.0 */
/* PEM texts in and out of OpenSSL's BIOs. Private to the room tls. */
#ifndef WEIR_TLS_PEM_H
#define WEIR_TLS_PEM_H

#include <openssl/bio.h>

#include "base/slice.h"

/* Without this OpenSSL would ask the terminal for a passphrase. */
int weir_pem_no_passphrase(char *buf, int size, int rwflag, void *arg);
/* To read from; the text is borrowed. NULL = too long, or no memory. */
BIO *weir_pem_open(struct weir_slice text);
/* What was written, with a NUL; weir_free. NULL = nothing, or no memory. */
char *weir_pem_of(BIO *bio);

#endif
