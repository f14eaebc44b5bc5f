/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which fields end at this hop, which an outsider may not set, and which may not come behind the
 * content. The three lists are facts of RFC 9110 and of decisions.md 14, not policy: who counts as
 * an outsider is the caller's knowledge.
 */
#include "http/hop.h"

/* Longest name compared with '_' read as '-'; longer ones are nobody's identity. */
#define FOLDED_MAX 32u

/* Lower case with '_', '.' and the like as '-', the way CGI-like servers see a name. Cut at FOLDED_MAX. */
static struct weir_slice fold(struct weir_slice name, char buf[FOLDED_MAX]) {
    size_t n = name.len < FOLDED_MAX ? name.len : FOLDED_MAX;
    for (size_t i = 0; i < n; i++) {
        char c = name.ptr[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        buf[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
    }
    return weir_slice_make(buf, n);
}

/* An entry ending in '-' stands for every name that begins so. */
static bool listed(struct weir_slice name, const struct weir_slice *list, size_t n) {
    char buf[FOLDED_MAX];
    struct weir_slice folded = fold(name, buf);
    for (size_t i = 0; i < n; i++) {
        struct weir_slice entry = list[i];
        bool prefix = entry.ptr[entry.len - 1] == '-';
        if (prefix ? weir_slice_starts_with(folded, entry)
                   : name.len == entry.len && weir_slice_eq(folded, entry))
            return true;
    }
    return false;
}

#define NAME(literal)                                                                              \
    { literal, sizeof(literal) - 1 }

static bool is_identity(struct weir_slice name) {
    static const struct weir_slice list[] = {
        NAME("x-forwarded-client-cert"),
        NAME("x-forwarded-for"),
        NAME("x-forwarded-host"),
        NAME("x-forwarded-proto"),
        NAME("forwarded"),
        NAME("x-envoy-"),
        NAME("l5d-"),
        NAME("x-weir-"),
    };
    /* All of them begin with one of three letters: most fields are decided by their first byte. */
    char first = name.len ? (char)(name.ptr[0] | 0x20) : 0;
    return (first == 'x' || first == 'f' || first == 'l') &&
           listed(name, list, WEIR_ARRAY_LEN(list));
}

/* The same of a field whose name was looked up already. */
static bool claims_identity(const struct weir_field *field) {
    switch (field->id) {
    case WEIR_FIELD_X_FORWARDED_CLIENT_CERT:
    case WEIR_FIELD_X_FORWARDED_FOR:
    case WEIR_FIELD_X_FORWARDED_HOST:
    case WEIR_FIELD_X_FORWARDED_PROTO:
    case WEIR_FIELD_FORWARDED:
    case WEIR_FIELD_X_WEIR_H1:
        return true;
    case WEIR_FIELD_OTHER: /* spelt with '_', or one of a family */
        return is_identity(field->name);
    default:
        return false;
    }
}

/* Where a request came from, in the one spelling that proxies use. */
static bool says_origin(const struct weir_field *field) {
    return field->id == WEIR_FIELD_X_FORWARDED_FOR || field->id == WEIR_FIELD_X_FORWARDED_HOST ||
           field->id == WEIR_FIELD_X_FORWARDED_PROTO || field->id == WEIR_FIELD_FORWARDED;
}

void weir_hop_strip_identity(struct weir_head *head, bool keep_origin) {
    for (uint16_t i = 0; i < head->n_fields; i++)
        if (claims_identity(&head->fields[i]) && !(keep_origin && says_origin(&head->fields[i])))
            head->fields[i].dropped = true;
}

static bool only_dashes(struct weir_slice name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = (char)(name.ptr[i] | 0x20);
        if ((c < 'a' || c > 'z') && (name.ptr[i] < '0' || name.ptr[i] > '9') && name.ptr[i] != '-')
            return false;
    }
    return true;
}

static bool disguised(const struct weir_field *field) {
    return field->id == WEIR_FIELD_OTHER && is_identity(field->name) && !only_dashes(field->name);
}

void weir_hop_strip_disguised(struct weir_head *head) {
    for (uint16_t i = 0; i < head->n_fields; i++)
        if (disguised(&head->fields[i]))
            head->fields[i].dropped = true;
}

bool weir_trailer_allowed(struct weir_slice name) {
    static const struct weir_slice refused[] = {
        NAME("host"),
        NAME("connection"),
        NAME("keep-alive"),
        NAME("proxy-"),
        NAME("transfer-encoding"),
        NAME("te"),
        NAME("trailer"),
        NAME("upgrade"),
        NAME("http2-settings"),
        NAME("content-"),
        NAME("expect"),
        NAME("max-forwards"),
        NAME("cache-control"),
        NAME("pragma"),
        NAME("range"),
        NAME("if-"),
        NAME("authorization"),
        NAME("authentication-info"),
        NAME("www-authenticate"),
        NAME("cookie"),
        NAME("set-cookie"),
        NAME("age"),
        NAME("expires"),
        NAME("date"),
        NAME("location"),
        NAME("retry-after"),
        NAME("vary"),
        NAME("warning"),
    };
    return !is_identity(name) && !listed(name, refused, WEIR_ARRAY_LEN(refused));
}

bool weir_hop_reads_as_framing(struct weir_slice name) {
    static const struct weir_slice framing[] = { NAME("content-length"),
                                                 NAME("transfer-encoding") };

    return listed(name, framing, WEIR_ARRAY_LEN(framing));
}

/* Connection may not take away what other decisions rest on (attacks.md 1, last row). */
static bool may_nominate(const struct weir_field *field) {
    switch (field->id) {
    case WEIR_FIELD_HOST:
    case WEIR_FIELD_CONTENT_LENGTH:
    case WEIR_FIELD_TRANSFER_ENCODING:
    case WEIR_FIELD_UPGRADE: /* decided below, by wants_upgrade */
        return false;
    default:
        return !is_identity(field->name);
    }
}

static void drop_nominated(struct weir_head *head, struct weir_slice options) {
    struct weir_slice option;
    while (weir_slice_split(&options, ',', &option)) {
        option = weir_slice_trim(option);
        if (option.len == 0)
            continue;
        for (uint16_t i = 0; i < head->n_fields; i++) {
            struct weir_field *field = &head->fields[i];
            if (field->name.len == option.len && weir_slice_ieq(field->name, option) &&
                may_nominate(field))
                field->dropped = true;
        }
    }
}

/* h2c would let the two sides speak past us (RFC 9110 7.8; h2c smuggling). */
static bool offers_h2c(struct weir_slice protocols) {
    struct weir_slice protocol;
    while (weir_slice_split(&protocols, ',', &protocol))
        if (weir_slice_ieq(weir_slice_trim(protocol), WEIR_SLICE("h2c")))
            return true;
    return false;
}

static bool keeps_upgrade(struct weir_head *head) {
    if (head->is_response)
        return head->status == 101;
    if (head->wants_upgrade && offers_h2c(head->protocol))
        head->wants_upgrade = false;
    return head->wants_upgrade;
}

void weir_hop_strip(struct weir_head *head) {
    bool keep_upgrade = keeps_upgrade(head);
    for (uint16_t i = 0; i < head->n_fields; i++) {
        struct weir_field *field = &head->fields[i];
        switch (field->id) {
        case WEIR_FIELD_CONNECTION:
            /* "close" and "keep-alive" alone, by far the most common, nominate nothing. */
            if (!weir_slice_ieq(field->value, WEIR_SLICE("keep-alive")) &&
                !weir_slice_ieq(field->value, WEIR_SLICE("close")))
                drop_nominated(head, field->value);
            field->dropped = true;
            break;
        case WEIR_FIELD_UPGRADE:
            field->dropped |= !keep_upgrade;
            break;
        case WEIR_FIELD_KEEP_ALIVE:
        case WEIR_FIELD_PROXY_CONNECTION:
        case WEIR_FIELD_TE:
        case WEIR_FIELD_TRANSFER_ENCODING:
        case WEIR_FIELD_HTTP2_SETTINGS:
        case WEIR_FIELD_X_WEIR_H1: /* who may read it has done so */
            field->dropped = true;
            break;
        default:
            break;
        }
    }
}
