/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The X509-SVID of this process (docs/adr/0026): the key is made here and never leaves; a request goes out and a chain and
 * the trust bundle come back by whatever carries them. What is held serves until it expires, however long the signer is
 * away; from half of its life on another one is asked for, with a new key each time. Knows no transport and no clock: `now`
 * is the wall clock in microseconds. Control thread only.
 *
 *   NONE     nothing came yet      -> HELD when an SVID arrives
 *   HELD                           -> HELD with each further one; EXPIRED when its time is over
 *   EXPIRED                        -> HELD when one arrives
 *
 * In NONE and EXPIRED there is material all the same, and contexts made of it let no handshake succeed
 * (weir_tls_ctx_stop): what has to be mTLS fails, nothing turns into plain text.
 */
#ifndef WEIR_CORE_SVID_H
#define WEIR_CORE_SVID_H

#include "tls/tls.h"

#define WEIR_SVID_BUNDLE_MAX (1024u * 1024u) /* bytes of a chain or of a trust bundle, PEM */

struct weir_svid;

enum weir_svid_state { WEIR_SVID_NONE, WEIR_SVID_HELD, WEIR_SVID_EXPIRED };

struct weir_svid_ops {
    /*
     * NULL: nothing is asked for, keys and certificates are given together (weir_svid_given) by who makes both.
     * Bring this request (PKCS#10, PEM; borrowed until return) to the signer. What comes of it is told by
     * weir_svid_arrived or weir_svid_refused, from within or later. Not 0: there is no way to it now.
     */
    int (*ask)(void *arg, struct weir_slice csr);
    /* Contexts are to be made anew: an SVID arrived, or the one that was held has expired. */
    void (*changed)(void *arg);
};

struct weir_svid_view {
    enum weir_svid_state state;
    const char *identity;             /* that is asked for, or was given; "" = none yet */
    int64_t not_after_s;              /* of what is held, since the epoch; 0 = nothing is */
    uint64_t asked, arrived, refused; /* so far; refused: no answer in time, too */
    const char *why;                  /* the last request failed; "" = it did not */
};

/* 0, -ENOMEM. */
int weir_svid_new(const struct weir_svid_ops *ops, void *arg, struct weir_svid **ret_svid);
/* Takes NULL, returns NULL. */
struct weir_svid *weir_svid_free(struct weir_svid *s);
/* The identity to have; asks for it at once if it is another one than before. 0, -ENOMEM, -EINVAL (no SPIFFE id with a path). */
int weir_svid_want(struct weir_svid *s, uint64_t now, const char *spiffe_id);
/* Once a second, or more often: asks what is due, notices what has expired. */
void weir_svid_tick(struct weir_svid *s, uint64_t now);
/* The way to the signer is there, perhaps again: what was asked for is forgotten, what is due is asked for at once. */
void weir_svid_connected(struct weir_svid *s, uint64_t now);
/* Certificate chain (leaf first) and trusted CAs, as PEM. One that is of no use counts as a refusal. */
void weir_svid_arrived(struct weir_svid *s, uint64_t now, struct weir_slice chain,
                       struct weir_slice bundle);
/* An SVID that was not asked for, with its key. */
struct weir_svid_given {
    struct weir_slice id;            /* of the trust domain that is wanted, with any path */
    struct weir_slice chain, bundle; /* PEM; as weir_svid_arrived */
    struct weir_tls_key *key;        /* taken over, whatever comes of it */
};
/* Only without `ask`, after weir_svid_want. NULL = it is held; else why it is of no use (static): what was held still is. */
const char *weir_svid_given(struct weir_svid *s, uint64_t now, const struct weir_svid_given *given);
/* The CAs to trust are others now; the certificate stays. */
void weir_svid_bundle(struct weir_svid *s, uint64_t now, struct weir_slice bundle);
/* The signer, or what is between, says no. */
void weir_svid_refused(struct weir_svid *s, uint64_t now, struct weir_slice why);

/* Strings are borrowed until the next call. */
struct weir_svid_view weir_svid_view(const struct weir_svid *s);
/* For contexts; borrowed until the next call. Not before weir_svid_want. */
struct weir_tls_material weir_svid_material(const struct weir_svid *s);

#endif
