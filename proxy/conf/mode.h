/* SPDX-License-Identifier: Apache-2.0 */
/* weir's own labels and annotations on Pods and Namespaces. */
#ifndef WEIR_CONF_MODE_H
#define WEIR_CONF_MODE_H

#include "conf/dec.h"

/* weir.dev/mode by annotation, else by label: enum weir_mesh_mode; untouched when neither is there.
 */
int weir_decode_mode(struct weir_dec *d, const struct weir_node *n, const struct weir_meta *meta,
                     int *ret_mode);
/* The annotation's value as index into words; untouched when it is not there. n is the whole
 * document. */
int weir_decode_annotation_word(struct weir_dec *d, const struct weir_node *n, const char *key,
                                const char *const *words, unsigned *ret_index);
/* Calls fn on the annotation's node, with its path, if it is there as a string. */
int weir_decode_annotation(struct weir_dec *d, const struct weir_node *n, const char *key,
                           weir_decode_fn *fn, void *out);
/* "true" or "false" of that annotation; untouched when it is not there. */
int weir_decode_annotation_bool(struct weir_dec *d, const struct weir_node *n, const char *key,
                                bool *ret_value);
/* Of a Service and of a Pod (docs/adr/0018). */
#define WEIR_HTTP_TELEMETRY "weir.dev/http-telemetry"

#endif
