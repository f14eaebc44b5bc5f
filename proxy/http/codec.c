/* SPDX-License-Identifier: Apache-2.0 */
/* The limits a codec has when nobody configured others. */
#include "http/codec.h"

const struct weir_codec_limits weir_codec_limits_default = {
    .head_bytes = 64 * 1024,
    .target_bytes = 16 * 1024,
    .fields = 100,
    .informational = 16,
    .chunk_ext_bytes = 16 * 1024,
    .trailer_bytes = 16 * 1024,
    .streams = 100,
    .reset_burst = 200,
    .reset_per_s = 20,
    .frames_per_s = 100,
    .stream_window = 256 * 1024,
};
