/* SPDX-License-Identifier: Apache-2.0 */
/* The generated skeleton, held to its generator's idea of warnings. */
#ifndef WEIR_KERN_SKEL_H
#define WEIR_KERN_SKEL_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "weir.skel.h"
#pragma GCC diagnostic pop

/* weir_bpf__open_opts, called in one place only: each file that calls it holds all programs. */
struct weir_bpf *weir_skel_open(const struct bpf_object_open_opts *opts);

#endif
