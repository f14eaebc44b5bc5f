/* SPDX-License-Identifier: Apache-2.0 */
/* Between the 16-byte addresses of the model and the kernel's sockaddr. */
#ifndef WEIR_IO_ADDR_H
#define WEIR_IO_ADDR_H

#include <sys/socket.h>

#include "conf/model.h"

bool weir_addr_is_v4(const struct weir_ip *ip);
/* AF_INET for a v4-mapped address, AF_INET6 otherwise. Port in host order. Returns the length of
 * the address. */
socklen_t weir_addr_to_sockaddr(const struct weir_ip *ip, uint16_t port,
                                struct sockaddr_storage *ret_sa);
/* False for any other family. */
bool weir_addr_from_sockaddr(const struct sockaddr_storage *sa, struct weir_ip *ret_ip,
                             uint16_t *ret_port);

#endif
