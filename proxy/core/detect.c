/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each port has one place; two that share it take turns in forgetting. A port on which both have spoken first stays "mixed": to expect the
 * server there would open a connection to it, only to throw it away, for each client that is the first.
 */
#include "core/detect.h"

static unsigned place(uint8_t dir, uint16_t port) {
    return (port ^ port >> 6 ^ dir * 31u) % WEIR_DETECT_PORTS;
}

bool weir_detect_server_first(const struct weir_detect *d, uint8_t dir, uint16_t port) {
    unsigned i = place(dir, port);

    return port != 0 && d->ports[i].port == port && d->ports[i].dir == dir && !d->ports[i].mixed;
}

static void put(struct weir_detect *d, uint8_t dir, uint16_t port, bool mixed) {
    unsigned i = place(dir, port);

    if (d->ports[i].port == port && d->ports[i].dir == dir)
        mixed = mixed || d->ports[i].mixed;
    d->ports[i].port = port;
    d->ports[i].dir = dir;
    d->ports[i].mixed = mixed;
}

void weir_detect_learn(struct weir_detect *d, uint8_t dir, uint16_t port) {
    put(d, dir, port, false);
}

void weir_detect_contrary(struct weir_detect *d, uint8_t dir, uint16_t port) {
    put(d, dir, port, true);
}
