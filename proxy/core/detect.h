/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who speaks first, as learnt per direction and port: after one connection in which the server did, later ones to that port need not wait for the
 * client. A bounded table of one worker; what it forgets costs the next connection a wait, nothing else.
 */
#ifndef WEIR_CORE_DETECT_H
#define WEIR_CORE_DETECT_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_DETECT_PORTS 64u

struct weir_detect {
    struct {
        uint16_t port; /* 0 = free */
        uint8_t dir;   /* enum weir_direction */
        bool mixed;    /* clients have spoken first as well: always wait */
    } ports[WEIR_DETECT_PORTS];
};

bool weir_detect_server_first(const struct weir_detect *d, uint8_t dir, uint16_t port);
void weir_detect_learn(struct weir_detect *d, uint8_t dir, uint16_t port);
/* A client spoke first where a server was expected to. */
void weir_detect_contrary(struct weir_detect *d, uint8_t dir, uint16_t port);

#endif
