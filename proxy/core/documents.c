/* SPDX-License-Identifier: Apache-2.0 */
#include "core/documents.h"

#include "base/mem.h"
#include "tls/digest.h"

#define NOWHERE UINT32_MAX

struct weir_documents *weir_documents_new(void) {
    struct weir_documents *d = weir_calloc(1, sizeof(*d));

    if (d)
        d->refs = 1;
    return d;
}

struct weir_documents *weir_documents_ref(struct weir_documents *d) {
    d->refs++;
    return d;
}

static void document_unref(struct weir_document *document) {
    if (--document->refs == 0)
        weir_free(document);
}

struct weir_documents *weir_documents_unref(struct weir_documents *d) {
    if (!d || --d->refs > 0)
        return NULL;
    for (uint32_t i = 0; i < d->n; i++)
        document_unref(d->items[i]);
    weir_free(d->items);
    weir_free(d->slots);
    return weir_free(d);
}

static int digest_of(const void *bytes, size_t len, struct weir_document_digest *ret) {
    uint8_t whole[WEIR_SHA256_BYTES];
    int r = weir_sha256(bytes, len, whole);

    if (r == 0)
        memcpy(ret->b, whole, sizeof(ret->b));
    return r;
}

int weir_documents_share(struct weir_documents *d, struct weir_document *document) {
    if (d->n == WEIR_DOCUMENTS_MAX || document->len > WEIR_DOCUMENTS_BYTES - d->bytes)
        return -E2BIG;
    if (d->n == d->cap) {
        uint32_t cap = d->cap ? d->cap * 2 : 16;
        struct weir_document **items =
            weir_reallocarray(d->items, cap, sizeof(struct weir_document *));

        if (!items)
            return -ENOMEM;
        d->items = items;
        d->cap = cap;
    }
    document->refs++;
    d->items[d->n++] = document;
    d->bytes += document->len;
    return 0;
}

/* Made with one reference, which the list then has. */
static int add_new(struct weir_documents *d, struct weir_document *document) {
    int r = weir_documents_share(d, document);

    document_unref(document);
    return r;
}

int weir_documents_add(struct weir_documents *d, struct weir_slice text) {
    struct weir_document *document;
    int r;

    if (text.len == 0 || text.len > WEIR_DOCUMENT_BYTES)
        return text.len ? -E2BIG : 0;
    document = weir_malloc(sizeof(*document) + text.len);
    if (!document)
        return -ENOMEM;
    document->refs = 1;
    document->len = (uint32_t)text.len;
    memcpy(document->text, text.ptr, text.len);
    r = digest_of(text.ptr, text.len, &document->digest);
    if (r == 0)
        return add_new(d, document);
    weir_free(document);
    return r;
}

int weir_documents_add_known(struct weir_documents *d, const struct weir_document_digest *digest) {
    struct weir_document *document = weir_malloc(sizeof(*document));

    if (!document)
        return -ENOMEM;
    *document = (struct weir_document){ .refs = 1, .digest = *digest };
    return add_new(d, document);
}

/* ---- where a digest is ---- */

/* A digest is as good as random: it is its own hash. */
static uint32_t slot_of(const struct weir_documents *d, const struct weir_document_digest *digest) {
    uint32_t hash;

    memcpy(&hash, digest->b, sizeof(hash));
    return hash & (d->n_slots - 1);
}

static uint32_t find(const struct weir_documents *d, const struct weir_document_digest *digest) {
    for (uint32_t s = slot_of(d, digest); d->slots[s]; s = (s + 1) & (d->n_slots - 1))
        if (memcmp(&d->items[d->slots[s] - 1]->digest, digest, sizeof(*digest)) == 0)
            return d->slots[s] - 1;
    return NOWHERE;
}

int weir_documents_seal(struct weir_documents *d) {
    struct weir_document_digest *all = weir_calloc(d->n + 1UL, sizeof(*all));
    int r;

    for (d->n_slots = 16; d->n_slots < d->n * 2;)
        d->n_slots *= 2;
    d->slots = weir_calloc(d->n_slots, sizeof(*d->slots));
    if (!all || !d->slots) {
        weir_free(all);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < d->n; i++) {
        uint32_t s = slot_of(d, &d->items[i]->digest);

        while (d->slots[s])
            s = (s + 1) & (d->n_slots - 1);
        d->slots[s] = i + 1;
        all[i] = d->items[i]->digest;
    }
    r = digest_of(all, d->n * sizeof(*all), &d->digest);
    weir_free(all);
    return r;
}

/* ---- differences ---- */

static bool same(const struct weir_documents_diff *diff, uint32_t old, uint32_t new_) {
    return old < diff->from->n && new_ < diff->to->n &&
           memcmp(&diff->from->items[old]->digest, &diff->to->items[new_]->digest,
                  sizeof(struct weir_document_digest)) == 0;
}

enum weir_documents_step weir_documents_next(struct weir_documents_diff *diff, uint32_t *ret_n,
                                             const struct weir_document **ret_document) {
    uint32_t at;

    *ret_n = 0;
    if (diff->new_ == diff->to->n)
        return WEIR_DOCUMENTS_END;
    while (same(diff, diff->old, diff->new_)) {
        diff->old++;
        diff->new_++;
        ++*ret_n;
    }
    if (*ret_n > 0)
        return WEIR_DOCUMENTS_KEEP;
    at = find(diff->from, &diff->to->items[diff->new_]->digest);
    if (at != NOWHERE && at > diff->old) {
        *ret_n = at - diff->old;
        diff->old = at;
        return WEIR_DOCUMENTS_DROP;
    }
    *ret_document = diff->to->items[diff->new_++];
    return WEIR_DOCUMENTS_ADD;
}
