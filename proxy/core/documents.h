/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as a list of documents, each known by what it says: two lists differ where their digests do, so who has one
 * list needs only the difference to have the other. Lists and documents are shared by reference, by one thread, and do not
 * change once they are sealed.
 */
#ifndef WEIR_CORE_DOCUMENTS_H
#define WEIR_CORE_DOCUMENTS_H

#include "base/err.h"
#include "base/slice.h"

/* Of one list: documents, bytes of all their texts, bytes of one text. */
#define WEIR_DOCUMENTS_MAX   262144u
#define WEIR_DOCUMENTS_BYTES (256u * 1024u * 1024u)
#define WEIR_DOCUMENT_BYTES  (16u * 1024u * 1024u)

struct weir_document_digest {
    uint8_t b[16]; /* the first half of SHA-256 */
};

struct weir_document {
    uint32_t refs;
    uint32_t len; /* 0 = only its digest is known */
    struct weir_document_digest digest;
    char text[];
};

struct weir_documents {
    uint32_t refs, n, cap;
    size_t bytes; /* of all texts */
    struct weir_document **items;
    uint32_t *slots, n_slots;           /* of a sealed list: where a digest is */
    struct weir_document_digest digest; /* of a sealed list: of all of them, in their order */
};

/* An empty list, one reference. NULL = no memory. */
struct weir_documents *weir_documents_new(void);
struct weir_documents *weir_documents_ref(struct weir_documents *d);
/* Takes NULL; returns NULL. */
struct weir_documents *weir_documents_unref(struct weir_documents *d);
/* Appends a copy of the text, a document that another list has as well, one that is known by its digest alone. 0,
 * -ENOMEM, -E2BIG: more than a list may have. */
int weir_documents_add(struct weir_documents *d, struct weir_slice text);
int weir_documents_share(struct weir_documents *d, struct weir_document *document);
int weir_documents_add_known(struct weir_documents *d, const struct weir_document_digest *digest);
/* Nothing is added any more. 0 or -ENOMEM. */
int weir_documents_seal(struct weir_documents *d);

/* What makes `to` of `from` (both sealed), step by step. */
struct weir_documents_diff {
    const struct weir_documents *from, *to;
    uint32_t old, new_; /* done so far */
};
enum weir_documents_step {
    WEIR_DOCUMENTS_KEEP, /* *ret_n of the old ones come next */
    WEIR_DOCUMENTS_DROP, /* *ret_n of the old ones are left out */
    WEIR_DOCUMENTS_ADD,  /* *ret_document comes next */
    WEIR_DOCUMENTS_END,  /* the old ones that remain are left out */
};
enum weir_documents_step weir_documents_next(struct weir_documents_diff *diff, uint32_t *ret_n,
                                             const struct weir_document **ret_document);

#endif
