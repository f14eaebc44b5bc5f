/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the SPIFFE Workload API says (SPIFFE_Workload_API.md 4 and 5, workload.proto): X509SVIDResponse read from protobuf, and its
 * certificates as the PEM that contexts are made of.
 */
#ifndef WEIR_TLS_WORKLOAD_H
#define WEIR_TLS_WORKLOAD_H

#include "base/slice.h"

/* Bytes of one message: what gRPC takes by default. */
#define WEIR_WORKLOAD_MESSAGE_MAX (4u * 1024u * 1024u)
#define WEIR_WORKLOAD_ID_MAX      2048u /* SPIFFE-ID.md 2.3 */

enum { WEIR_WORKLOAD_BAD = 1 };

/* Slices of the message. */
struct weir_workload_svid {
    struct weir_slice id;     /* spiffe://... */
    struct weir_slice chain;  /* certificates in DER, one behind the other, leaf first */
    struct weir_slice key;    /* PKCS#8, DER */
    struct weir_slice bundle; /* CAs of its trust domain, as chain */
    unsigned others;          /* SVIDs behind the first, which is the default one; not read */
};

/*
 * Reads one X509SVIDResponse. 0; WEIR_WORKLOAD_BAD: *ret_why (static) says what is wrong. Certificates and key are looked at by
 * who uses them. CRLs, hints, bundles of other trust domains and unknown fields are passed over.
 */
int weir_workload_read(struct weir_slice message, struct weir_workload_svid *ret_svid,
                       const char **ret_why);
/* Certificates one behind the other as PEM; weir_free. 0, -ENOMEM, -EINVAL (none, or something else among them). */
int weir_workload_pem(struct weir_slice certificates, char **ret_pem);

#endif
