/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRoute's RequestHeaderModifier and ResponseHeaderModifier: remove, then set (replaces every
 * field of the name), then add (one more field line, which is the same as appending to a list).
 *
 * A route may not change how a message is framed, where it goes or who sent it. Modifications of
 * such fields, and of anything that is not a field (bad name, CR, LF or NUL in a value) are
 * ignored; conf refuses them before they get here.
 */
#include "route/route.h"

static bool is_protected(struct weir_slice name) {
    switch (weir_field_id(name)) {
    case WEIR_FIELD_HOST:
    case WEIR_FIELD_CONNECTION:
    case WEIR_FIELD_CONTENT_LENGTH:
    case WEIR_FIELD_TRANSFER_ENCODING:
    case WEIR_FIELD_TE:
    case WEIR_FIELD_TRAILER:
    case WEIR_FIELD_UPGRADE:
    case WEIR_FIELD_KEEP_ALIVE:
    case WEIR_FIELD_PROXY_CONNECTION:
    case WEIR_FIELD_HTTP2_SETTINGS:
    case WEIR_FIELD_EXPECT:
    case WEIR_FIELD_X_FORWARDED_CLIENT_CERT:
        return true;
    default:
        return false;
    }
}

/* tchar of RFC 9110 5.6.2. */
static bool is_token(struct weir_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr("!#$%&'*+-.^_`|~", c))))
            return false;
    }
    return s.len > 0;
}

static bool is_value(struct weir_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.ptr[i] < 0x20 ? s.ptr[i] != '\t' : s.ptr[i] == 0x7f)
            return false;
    return true;
}

static int apply(const struct weir_header_mod *mod, struct weir_head *head) {
    for (uint32_t i = 0; i < mod->n_remove; i++) {
        struct weir_slice name = weir_slice_from_str(mod->remove[i]);

        if (is_token(name) && !is_protected(name))
            weir_head_drop(head, name);
    }
    for (uint32_t i = 0; i < mod->n_set + mod->n_add; i++) {
        bool set = i < mod->n_set;
        const struct weir_kv *kv = set ? &mod->set[i] : &mod->add[i - mod->n_set];
        struct weir_slice name = weir_slice_from_str(kv->key);
        struct weir_slice value = weir_slice_from_str(kv->value);
        int r;

        if (!is_token(name) || is_protected(name) || !is_value(value))
            continue;
        r = set ? weir_head_set(head, name, value) : weir_head_add(head, name, value);
        if (r)
            return r;
    }
    return 0;
}

int weir_route_modify(const struct weir_filter *filters, uint32_t n, enum weir_filter_type type,
                      struct weir_head *head) {
    for (uint32_t i = 0; i < n; i++) {
        int r = filters[i].type == type ? apply(&filters[i].headers, head) : 0;

        if (r)
            return r;
    }
    return 0;
}

const struct weir_filter *weir_route_filter(const struct weir_filter *filters, uint32_t n,
                                            enum weir_filter_type type) {
    for (uint32_t i = 0; i < n; i++)
        if (filters[i].type == type)
            return &filters[i];
    return NULL;
}
