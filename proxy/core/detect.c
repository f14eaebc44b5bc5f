/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each port has one place; two that share it take turns in forgetting. A port on which both have spoken first is waited at: to expect the
 * server there would open a connection to it, only to throw it away, for each client that is the first. It ends when one side has not been
 * seen first for WEIR_FIRST_SECONDS.
 */
#include "core/detect.h"

#include <string.h>

#include "base/htab.h"
#include "core/conn.h"

#define TELL_EVERY_S 60u
#define IN_MESH      0x100u

/* Never 0, which is never. */
static uint32_t seconds(uint64_t now_us) {
    return (uint32_t)(now_us / 1000000u) + 1;
}

uint8_t weir_detect_sides(const struct weir_detect *d, weir_detect_key key, uint64_t now_us) {
    unsigned at = key % WEIR_DETECT_PORTS;
    uint8_t sides = 0;

    if (d->ports[at].key != key)
        return 0;
    for (unsigned i = 0; i < WEIR_FIRST_SIDES; i++) {
        uint32_t seen_s = d->ports[at].seen_s[i];

        if (seen_s != 0 && seconds(now_us) - seen_s < WEIR_FIRST_SECONDS)
            sides |= (uint8_t)(1u << i);
    }
    return sides;
}

void weir_detect_saw(struct weir_detect *d, weir_detect_key key, unsigned side, uint64_t now_us) {
    unsigned at = key % WEIR_DETECT_PORTS;

    if (d->ports[at].key != key)
        memset(&d->ports[at], 0, sizeof(d->ports[at]));
    d->ports[at].key = key;
    d->ports[at].seen_s[side] = seconds(now_us);
}

bool weir_detect_due(struct weir_detect *d, weir_detect_key key, unsigned side, uint64_t now_us) {
    unsigned at = key % WEIR_DETECT_PORTS;
    uint32_t now_s = seconds(now_us), told_s = d->ports[at].told_s[side];

    if (d->ports[at].key != key)
        return false;
    if (told_s != 0 && now_s - told_s < TELL_EVERY_S)
        return false;
    d->ports[at].told_s[side] = now_s;
    return true;
}

/*
 * By what the node keeps it (struct weir_first_key): calls by address, arrivals by port alone. And what comes inside of the mesh's TLS by
 * itself: on the port as such it is the other sidecar that speaks first, always.
 */
static weir_detect_key key_of(const struct weir_conn *down) {
    struct {
        struct weir_ip ip;
        uint16_t port, dir;
    } port = { .dir = (uint16_t)(down->dir | (down->info.peer ? IN_MESH : 0)) };

    if (down->dir == WEIR_DIR_OUTBOUND) {
        port.ip = down->info.original;
        port.port = down->info.original_port;
    } else {
        port.port = down->info.local_port;
    }
    return weir_hash(down->worker->seed, weir_slice_make((const char *)&port, sizeof(port))) | 1u;
}

bool weir_detect_expects_server(struct weir_conn *down) {
    struct weir_worker *w = down->worker;
    uint8_t sides = weir_detect_sides(&w->detect, key_of(down), weir_worker_now(w));

    if (sides == 0) {
        sides = weir_stream_first(down->stream, WEIR_SPOKE_NOBODY);
        weir_count(&w->metrics, WEIR_C_DETECT_TOLD, sides != 0);
    }
    return sides == 1u << WEIR_FIRST_SERVER;
}

void weir_detect_contrary(struct weir_conn *down) {
    struct weir_worker *w = down->worker;

    weir_detect_saw(&w->detect, key_of(down), WEIR_FIRST_CLIENT, weir_worker_now(w));
    weir_count(&w->metrics, WEIR_C_DETECT_CONTRARY, 1);
}

void weir_detect_spoke(struct weir_conn *down, uint8_t spoke) {
    unsigned side = spoke == WEIR_SPOKE_SERVER ? WEIR_FIRST_SERVER : WEIR_FIRST_CLIENT;
    struct weir_worker *w = down->worker;
    weir_detect_key key = key_of(down);

    weir_detect_saw(&w->detect, key, side, weir_worker_now(w));
    if (weir_detect_due(&w->detect, key, side, weir_worker_now(w)))
        (void)weir_stream_first(down->stream, spoke);
}
