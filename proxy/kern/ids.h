/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets which id. Names (pod, identity, policy, service) keep the id that weir_name says;
 * contents (rule block, identity set, address set, backend set) keep the id under which the same
 * content is installed already. Whatever is new gets an id that is not installed, so nothing that a
 * program may be reading is overwritten.
 */
#ifndef WEIR_KERN_IDS_H
#define WEIR_KERN_IDS_H

#include "kern/mapset.h"

enum weir_content {
    WEIR_CONTENT_RULE,
    WEIR_CONTENT_IDSET,
    WEIR_CONTENT_CIDR,
    WEIR_CONTENT_EP,
    WEIR_CONTENT_COUNT_,
};

struct weir_ids;

/* installed may be NULL; it is not needed afterwards. 0, -ENOMEM. */
int weir_ids_new(const struct weir_mapset *installed, struct weir_ids **ret_ids);
/* Takes NULL; returns NULL. */
struct weir_ids *weir_ids_free(struct weir_ids *ids);
/* text: up to WEIR_NAME_BYTES - 1 bytes count. 0, -ENOMEM. */
int weir_ids_name(struct weir_ids *ids, uint32_t kind, const char *text, uint32_t *ret_id);
/*
 * The content as one run of bytes: a rule block with `block` zero, sorted weir_idset_item, sorted
 * weir_cidr_item, or endpoints in order. 0, -ENOMEM.
 */
int weir_ids_content(struct weir_ids *ids, enum weir_content kind, const void *bytes, size_t len,
                     uint32_t *ret_id);

/* One member of an identity set. */
struct weir_idset_item {
    uint32_t identity;
    uint32_t policy; /* 0 = the rule's */
};
/* One prefix of an address set. */
struct weir_cidr_item {
    uint32_t prefix; /* of the address, 0..128 */
    struct weir_addr addr;
    uint32_t value;  /* WEIR_CIDR_IN, WEIR_CIDR_OUT */
    uint32_t policy; /* 0 = the rule's */
};
int weir_cidr_item_compare(const void *a, const void *b);

#endif
