/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of a Proxy: their defaults, ranges, and what of them only makes sense together. docs/limits.md says what each does. */
#include <string.h>

#include "conf/build.h"
#include "conf/parse.h"

#define SECOND 1000000ULL
#define KIB    1024u
#define MIB    (1024u * KIB)

void weir_limits_spec_default(struct weir_limits_spec *limits) {
    *limits = (struct weir_limits_spec){
        .head_bytes = 64 * KIB,
        .fields = 100,
        .target_bytes = 16 * KIB,
        .body_bytes = 0,
        .streams = 100,
        .connections = 0,
        .source_connections = 0,
        .handshakes = 512,
        .memory_bytes = 0,
        .pipe_bytes = 64 * KIB,
        .connection_bytes = MIB,
        .min_body_rate = 100,
        .resets_per_s = 20,
        .frames_per_s = 100,
        .pool_idle = 1024,
        .head_timeout_us = 10 * SECOND,
        .idle_timeout_us = 60 * SECOND,
        .body_timeout_us = 30 * SECOND,
        .stream_timeout_us = 300 * SECOND,
        .tunnel_timeout_us = 3600 * SECOND,
        .detect_timeout_us = SECOND / 10,
        .handshake_timeout_us = 10 * SECOND,
        .upstream = {
            .connect_us = 5 * SECOND,
            .idle_us = 30 * SECOND,
            .lifetime_us = 3600 * SECOND,
            .connections = 16384,
            .pending = 1024,
        },
        .request_timeout_us = 0,
        .drain_us = 30 * SECOND,
    };
}

int weir_dec_ranged(struct weir_dec *d, const struct weir_node *n, uint32_t min, uint32_t max,
                    uint32_t *out) {
    int64_t value = *out;
    int r = weir_dec_int(d, n, min, max, &value);

    *out = (uint32_t)value;
    return r;
}

/* "256Mi" in bytes. False: not of that form, or too large for an int64_t. */
static bool parse_size(const char *text, int64_t *ret_bytes) {
    static const char suffixes[] = "KMGT";
    int64_t n = 0;
    const char *p = text, *at;

    if (*p < '1' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
            return false;
    if (*p != '\0') {
        at = strchr(suffixes, *p);
        if (!at || p[1] != 'i' || p[2] != '\0' ||
            __builtin_mul_overflow(n, (int64_t)1 << (10 * (at - suffixes + 1)), &n))
            return false;
    }
    *ret_bytes = n;
    return true;
}

int weir_dec_size(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = 0;
    int r;

    if (n->type == WEIR_NODE_STRING) {
        if (!parse_size(n->text, &value))
            return weir_dec_error(
                d, n, "%s is not a size; expected bytes, or a number with Ki, Mi, Gi or Ti",
                WEIR_SHOW(n));
    } else {
        r = weir_dec_int(d, n, 0, INT64_MAX, &value);
        if (r != 0)
            return r;
    }
    *(uint64_t *)out = (uint64_t)value;
    return 0;
}

static int decode_memory(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_size(d, n, out);

    if (r == 0 && *(uint64_t *)out != 0 && *(uint64_t *)out < 8 * MIB)
        return weir_dec_error(d, n, "must be at least 8Mi");
    return r;
}

static int decode_bytes(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, KIB, 16 * MIB, out);
}

static int decode_connection_bytes(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, 16 * KIB, 1024 * MIB, out);
}

static int decode_head_bytes(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, KIB, MIB, out);
}

static int decode_count(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, 1, 100000, out);
}

static int decode_rate(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, 1, 10000, out);
}

static int decode_count_or_none(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, 0, 100000000, out);
}

static int decode_count_of_upstream(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, 1, 100000000, out);
}

int weir_dec_timeout(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_duration(d, n, out);

    return r == 0 && *(uint64_t *)out == 0 ? weir_dec_error(d, n, "must be longer than 0") : r;
}

#define LIMIT(key, member, fn) WEIR_F(key, struct weir_limits_spec, member, fn)
static const struct weir_field limit_fields[] = {
    LIMIT("headBytes", head_bytes, decode_head_bytes),
    LIMIT("fields", fields, decode_count),
    LIMIT("targetBytes", target_bytes, decode_head_bytes),
    LIMIT("bodyBytes", body_bytes, weir_dec_size),
    LIMIT("streams", streams, decode_count),
    LIMIT("connections", connections, decode_count_or_none),
    LIMIT("sourceConnections", source_connections, decode_count_or_none),
    LIMIT("handshakes", handshakes, decode_count),
    LIMIT("memory", memory_bytes, decode_memory),
    LIMIT("pipeBytes", pipe_bytes, decode_bytes),
    LIMIT("connectionBytes", connection_bytes, decode_connection_bytes),
    LIMIT("minBodyRate", min_body_rate, decode_count_or_none),
    LIMIT("resetsPerSecond", resets_per_s, decode_rate),
    LIMIT("framesPerSecond", frames_per_s, decode_rate),
    LIMIT("poolIdle", pool_idle, decode_count_or_none),
    LIMIT("headTimeout", head_timeout_us, weir_dec_timeout),
    LIMIT("idleTimeout", idle_timeout_us, weir_dec_timeout),
    LIMIT("bodyTimeout", body_timeout_us, weir_dec_timeout),
    LIMIT("streamTimeout", stream_timeout_us, weir_dec_timeout),
    LIMIT("tunnelTimeout", tunnel_timeout_us, weir_dec_timeout),
    LIMIT("detectTimeout", detect_timeout_us, weir_dec_timeout),
    LIMIT("connectTimeout", upstream.connect_us, weir_dec_timeout),
    LIMIT("handshakeTimeout", handshake_timeout_us, weir_dec_timeout),
    LIMIT("upstreamIdleTimeout", upstream.idle_us, weir_dec_timeout),
    LIMIT("upstreamLifetime", upstream.lifetime_us, weir_dec_duration),
    LIMIT("upstreamHeadTimeout", upstream.head_us, weir_dec_duration),
    LIMIT("upstreamConnections", upstream.connections, decode_count_of_upstream),
    LIMIT("upstreamPending", upstream.pending, decode_count_or_none),
    LIMIT("upstreamRequests", upstream.requests, decode_count_or_none),
    LIMIT("requestTimeout", request_timeout_us, weir_dec_duration),
    LIMIT("drainTimeout", drain_us, weir_dec_duration),
};
const struct weir_object weir_limit_object = WEIR_OBJECT("Proxy.spec.limits", limit_fields);

int weir_decode_limits(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_limits_spec *limits = out;
    int r = weir_dec_object(d, n, &weir_limit_object, out);

    if (r == 0 && limits->target_bytes > limits->head_bytes)
        r = weir_dec_error(d, n, "targetBytes (%u) is larger than headBytes (%u), which contain it",
                           limits->target_bytes, limits->head_bytes);
    if (r == 0 && limits->connections != 0 && limits->source_connections > limits->connections)
        r = weir_dec_error(d, n,
                           "sourceConnections (%u) is larger than connections (%u): it would never "
                           "be reached",
                           limits->source_connections, limits->connections);
    return r;
}
