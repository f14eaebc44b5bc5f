/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an HTTP/1 head loses on its way through HTTP/2, as the value of one field, and back. Two weir proxies put it beside
 * a message between them (x-weir-h1); who may be believed is the caller's knowledge.
 *
 *     value   = version style *flag [ ":" method ] *( "," name ) [ ";" reason ]
 *     version = "0" | "1"     HTTP/1.0, HTTP/1.1
 *     style   = "t" | "l"     field names are Title-Case, or lower case, but for those listed
 *     flag    = "n"           request: it had no Host; the authority beside it is a filler
 *             | "p"           response: the upgrade was not taken, this is an ordinary answer
 *     method  =               of a request to upgrade, when it is not GET
 *
 * A browser's or a Go program's request is "1t": one byte once the peer's table has it.
 */
#ifndef WEIR_HTTP_CARRY_H
#define WEIR_HTTP_CARRY_H

#include "http/head.h"

#define WEIR_CARRY_FIELD "x-weir-h1"

/*
 * The value for a head that was received over HTTP/1, in head->arena. `not_switched`: flag p. 0, -ENOMEM.
 */
int weir_carry_pack(const struct weir_head *head, bool not_switched, struct weir_slice *ret_value);
/*
 * Takes the field out of a head that came over HTTP/2 and restores what it says: version, spelling of names, reason,
 * absence of Host, method. 0 = done, 1 = there was none, or none that can be read (it is gone in any case); -ENOMEM.
 */
int weir_carry_unpack(struct weir_head *head);
/* Does a response's field have flag p? */
bool weir_carry_not_switched(const struct weir_head *head);

#endif
