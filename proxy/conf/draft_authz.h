/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEIR_CONF_DRAFT_AUTHZ_H
#define WEIR_CONF_DRAFT_AUTHZ_H

#include "conf/authz.h"
#include "conf/draft.h"

struct weir_draft_authz {
    struct weir_draft head;
    struct weir_authz_policy value;
};

#endif
