/* SPDX-License-Identifier: Apache-2.0 */
/* What HTTP/1 writes behind a status code when nobody said otherwise. */
#ifndef WEIR_HTTP_STATUS_H
#define WEIR_HTTP_STATUS_H

#include "base/slice.h"

/* Static text; empty = not a status weir knows. */
struct weir_slice weir_status_reason(uint16_t status);

#endif
