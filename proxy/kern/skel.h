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

#endif
