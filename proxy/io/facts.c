/* SPDX-License-Identifier: Apache-2.0 */
#include "io/facts.h"

#include <sys/socket.h>

#include "weir/abi/flow.h"

uint8_t weir_facts_first(int fd, uint8_t spoke) {
    int name = spoke == WEIR_SPOKE_NOBODY ? WEIR_SO_FACTS : WEIR_SO_SPOKE + spoke;
    struct weir_facts facts = { 0 };
    socklen_t len = sizeof(facts);

    return getsockopt(fd, WEIR_SOL, name, &facts, &len) < 0 ? 0 : facts.first;
}
