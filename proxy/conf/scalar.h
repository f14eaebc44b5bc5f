/* SPDX-License-Identifier: Apache-2.0 */
/* What a scalar is: the YAML 1.2 core schema (10.3.2), which contains JSON's types. */
#ifndef WEIR_CONF_SCALAR_H
#define WEIR_CONF_SCALAR_H

#include "conf/node.h"

/*
 * Sets type, truth, number and ambiguous of n from n->text. `tag` NULL = none; "!" = string. False:
 * an unknown tag, or one that the text does not fit. An integer beyond 63 bits becomes a FLOAT.
 */
bool weir_scalar_resolve(struct weir_node *n, bool plain, const char *tag);

#endif
