/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What llhttp lets pass and a proxy must not: everything that two readers of one message could
 * understand differently (RFC 9112 3.2, 6.3, 11.2; RFC 9110 10.1.1). A doubtful message is refused,
 * never repaired. From here on the head says how long the content is, whom the request is for, and
 * whether the connection can be used again.
 */
#include "http/h1_internal.h"

#include "http/hop.h"
#include "http/uri.h"

/* More options in Connection than this are an attempt to make us compare them all with all fields.
 */
#define CONNECTION_OPTIONS_MAX 32u

static int wrong(struct weir_h1 *h, enum weir_fault_kind kind) {
    h->found = (uint8_t)kind;
    return -EPROTO;
}

static bool saw(const struct weir_h1 *h, unsigned what) {
    return (h->seen & what) != 0;
}

/* ---- field by field ---- */

static int check_host(struct weir_h1 *h, struct weir_head *head, struct weir_slice value) {
    if (saw(h, WEIR_H1_SAW_HOST) || !weir_authority_valid(value))
        return wrong(h, WEIR_FAULT_BAD_AUTHORITY);
    h->seen |= WEIR_H1_SAW_HOST;
    head->authority = value;
    return 0;
}

static int check_length(struct weir_h1 *h, struct weir_head *head, struct weir_slice value) {
    if (saw(h, WEIR_H1_SAW_LENGTH) || weir_slice_to_u64(value, &head->content_length) < 0)
        return wrong(h, WEIR_FAULT_BAD_FRAMING);
    h->seen |= WEIR_H1_SAW_LENGTH;
    return 0;
}

static int check_transfer_encoding(struct weir_h1 *h, struct weir_slice value) {
    if (saw(h, WEIR_H1_SAW_TE) || !weir_slice_ieq(value, WEIR_SLICE("chunked")))
        return wrong(h, WEIR_FAULT_BAD_FRAMING);
    h->seen |= WEIR_H1_SAW_TE;
    return 0;
}

static int check_connection(struct weir_h1 *h, struct weir_slice value) {
    struct weir_slice option;
    unsigned n = 0;
    while (weir_slice_split(&value, ',', &option)) {
        option = weir_slice_trim(option);
        if (weir_slice_ieq(option, WEIR_SLICE("close")))
            h->seen |= WEIR_H1_SAW_CLOSE;
        else if (weir_slice_ieq(option, WEIR_SLICE("keep-alive")))
            h->seen |= WEIR_H1_SAW_KEEP;
        else if (weir_slice_ieq(option, WEIR_SLICE("upgrade")))
            h->seen |= WEIR_H1_SAW_CONN_UPGRADE;
        if (++n > CONNECTION_OPTIONS_MAX)
            return wrong(h, WEIR_FAULT_BAD_FIELD);
    }
    return 0;
}

static int check_expect(struct weir_h1 *h, struct weir_slice value) {
    if (saw(h, WEIR_H1_SAW_EXPECT) || !weir_slice_ieq(value, WEIR_SLICE("100-continue")))
        return wrong(h, WEIR_FAULT_EXPECTATION);
    h->seen |= WEIR_H1_SAW_EXPECT;
    return 0;
}

static void read_te(struct weir_head *head, struct weir_slice value) {
    struct weir_slice coding;
    while (weir_slice_split(&value, ',', &coding))
        if (weir_slice_ieq(weir_slice_trim(coding), WEIR_SLICE("trailers")))
            head->te_trailers = true;
}

int weir_h1_field_check(struct weir_h1 *h, struct weir_head *head, struct weir_field *field,
                        bool *ret_keep) {
    *ret_keep = true;
    switch (field->id) {
    case WEIR_FIELD_OTHER:
        return weir_hop_imitates_framing(field->name) ? wrong(h, WEIR_FAULT_BAD_FRAMING) : 0;
    case WEIR_FIELD_CONTENT_LENGTH:
        return check_length(h, head, field->value);
    case WEIR_FIELD_TRANSFER_ENCODING:
        return check_transfer_encoding(h, field->value);
    case WEIR_FIELD_CONNECTION:
        return check_connection(h, field->value);
    case WEIR_FIELD_UPGRADE:
        h->seen |= saw(h, WEIR_H1_SAW_UPGRADE) ? WEIR_H1_SAW_UPGRADES : WEIR_H1_SAW_UPGRADE;
        return 0;
    default:
        break;
    }
    if (head->is_response)
        return 0;
    switch (field->id) {
    case WEIR_FIELD_HOST:
        *ret_keep = false;
        return check_host(h, head, field->value);
    case WEIR_FIELD_EXPECT:
        return check_expect(h, field->value);
    case WEIR_FIELD_TE:
        read_te(head, field->value);
        return 0;
    default:
        return 0;
    }
}

/* The value of the one Upgrade field; empty = none, or several. */
static struct weir_slice upgrade_of(const struct weir_h1 *h, const struct weir_head *head) {
    if (!saw(h, WEIR_H1_SAW_UPGRADE) || saw(h, WEIR_H1_SAW_UPGRADES))
        return WEIR_SLICE_NONE;
    return weir_head_find_id(head, WEIR_FIELD_UPGRADE)->value;
}

/* ---- the request ---- */

/* RFC 9112 3.2.2: what absolute-form says replaces Host. */
static int check_absolute(struct weir_h1 *h, struct weir_head *head) {
    struct weir_slice rest = head->target;
    size_t scheme = weir_slice_index(rest, ':');
    head->scheme = scheme == 4 ? WEIR_SLICE("http") : WEIR_SLICE("https");
    if (!weir_slice_ieq(weir_slice_make(rest.ptr, scheme), head->scheme) || rest.len < scheme + 3 ||
        rest.ptr[scheme + 1] != '/' || rest.ptr[scheme + 2] != '/')
        return wrong(h, WEIR_FAULT_BAD_TARGET);
    rest = weir_slice_make(rest.ptr + scheme + 3, rest.len - scheme - 3);
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    head->authority = weir_slice_make(rest.ptr, end);
    if (!weir_authority_valid(head->authority))
        return wrong(h, WEIR_FAULT_BAD_AUTHORITY);
    rest = weir_slice_make(rest.ptr + end, rest.len - end);
    if (rest.len == 0) {
        head->target = head->method == WEIR_METHOD_OPTIONS ? WEIR_SLICE("*") : WEIR_SLICE("/");
        return 0;
    }
    if (rest.ptr[0] == '?') {
        char *target = weir_arena_alloc(head->arena, rest.len + 1);
        if (!target)
            return -ENOMEM;
        target[0] = '/';
        memcpy(target + 1, rest.ptr, rest.len);
        rest = weir_slice_make(target, rest.len + 1);
    }
    head->target = rest;
    return weir_target_valid(rest) ? 0 : wrong(h, WEIR_FAULT_BAD_TARGET);
}

static int check_connect(struct weir_h1 *h, struct weir_head *head) {
    if (!weir_authority_valid(head->target) || weir_authority_port(head->target) == 0)
        return wrong(h, WEIR_FAULT_BAD_TARGET);
    /* Content of a CONNECT has no meaning (RFC 9110 9.3.6), only readers who disagree. */
    if (saw(h, WEIR_H1_SAW_LENGTH | WEIR_H1_SAW_TE))
        return wrong(h, WEIR_FAULT_BAD_FRAMING);
    head->authority = head->target;
    return 0;
}

static int check_target(struct weir_h1 *h, struct weir_head *head) {
    if (head->method == WEIR_METHOD_CONNECT)
        return check_connect(h, head);
    if (head->target.len > 0 && head->target.ptr[0] == '/')
        return weir_target_valid(head->target) ? 0 : wrong(h, WEIR_FAULT_BAD_TARGET);
    if (weir_slice_eq(head->target, WEIR_SLICE("*")))
        return head->method == WEIR_METHOD_OPTIONS ? 0 : wrong(h, WEIR_FAULT_BAD_TARGET);
    return check_absolute(h, head);
}

static int check_length_of_request(struct weir_h1 *h, struct weir_head *head) {
    if (saw(h, WEIR_H1_SAW_TE)) {
        if (saw(h, WEIR_H1_SAW_LENGTH) || head->version == WEIR_HTTP_10)
            return wrong(h, WEIR_FAULT_BAD_FRAMING);
        head->body = WEIR_BODY_STREAM;
    } else if (saw(h, WEIR_H1_SAW_LENGTH)) {
        head->body = WEIR_BODY_LENGTH;
    }
    return 0;
}

static bool has_content(const struct weir_head *head) {
    return head->body != WEIR_BODY_NONE &&
           !(head->body == WEIR_BODY_LENGTH && head->content_length == 0);
}

static void drop_id(struct weir_head *head, enum weir_field_id id) {
    for (uint16_t i = 0; i < head->n_fields; i++)
        if (head->fields[i].id == id)
            head->fields[i].dropped = true;
}

static bool persists(const struct weir_h1 *h, const struct weir_head *head) {
    if (saw(h, WEIR_H1_SAW_CLOSE))
        return false;
    return head->version == WEIR_HTTP_11 || saw(h, WEIR_H1_SAW_KEEP);
}

int weir_h1_request_check(struct weir_h1 *h, struct weir_head *head) {
    if (!saw(h, WEIR_H1_SAW_VERSION))
        return wrong(h, WEIR_FAULT_BAD_VERSION);
    if (head->version == WEIR_HTTP_11 && !saw(h, WEIR_H1_SAW_HOST))
        return wrong(h, WEIR_FAULT_BAD_AUTHORITY);
    head->method = (uint8_t)weir_method_id(head->method_name);
    int r = check_target(h, head);
    if (r == 0)
        r = check_length_of_request(h, head);
    if (r < 0)
        return r;
    head->keep_alive = persists(h, head);
    if (saw(h, WEIR_H1_SAW_EXPECT)) {
        /* RFC 9110 10.1.1: nothing to wait for without content, unknown to HTTP/1.0. */
        head->expect_continue = has_content(head) && head->version == WEIR_HTTP_11;
        if (!head->expect_continue)
            drop_id(head, WEIR_FIELD_EXPECT);
    }
    /* Two lists, or content between head and switch: legal, used by nobody but attackers; served
     * without upgrade. */
    if (head->version == WEIR_HTTP_11 && saw(h, WEIR_H1_SAW_CONN_UPGRADE) && !has_content(head) &&
        head->method != WEIR_METHOD_CONNECT)
        head->protocol = upgrade_of(h, head);
    head->wants_upgrade = head->protocol.len > 0;
    return 0;
}

/* ---- the response ---- */

static int check_length_of_response(struct weir_h1 *h, struct weir_head *head) {
    bool te = saw(h, WEIR_H1_SAW_TE), length = saw(h, WEIR_H1_SAW_LENGTH);
    if (te && (length || head->version == WEIR_HTTP_10))
        return wrong(h, WEIR_FAULT_BAD_FRAMING);
    bool connected = h->req_connect && head->status >= 200 && head->status < 300;
    if (head->status < 200 || head->status == 204 || connected) {
        /* RFC 9112 6.1: must not be there. A Content-Length is common enough with 204 and means
         * nothing. */
        if (te)
            return wrong(h, WEIR_FAULT_BAD_FRAMING);
        if (length)
            drop_id(head, WEIR_FIELD_CONTENT_LENGTH);
        head->content_length = UINT64_MAX;
        head->body = head->status == 101 || connected ? WEIR_BODY_TUNNEL : WEIR_BODY_NONE;
    } else if (h->req_head || head->status == 304) {
        head->body = WEIR_BODY_NONE;
    } else if (te) {
        head->body = WEIR_BODY_STREAM;
    } else {
        head->body = length ? WEIR_BODY_LENGTH : WEIR_BODY_CLOSE;
    }
    return 0;
}

int weir_h1_response_check(struct weir_h1 *h, struct weir_head *head) {
    head->status = (uint16_t)llhttp_get_status_code(&h->parser);
    if (head->status < 100 || (head->reason.len && !weir_chars_are(head->reason, WEIR_CHAR_VALUE)))
        return wrong(h, WEIR_FAULT_BAD_RESPONSE);
    if (head->status == 101) {
        head->protocol = upgrade_of(h, head);
        if (!h->req_upgrade || head->protocol.len == 0)
            return wrong(h, WEIR_FAULT_BAD_RESPONSE);
    }
    int r = check_length_of_response(h, head);
    if (r < 0)
        return r;
    head->keep_alive =
        persists(h, head) && head->body != WEIR_BODY_CLOSE && head->body != WEIR_BODY_TUNNEL;
    return 0;
}
