/* SPDX-License-Identifier: Apache-2.0 */
/* Any first bytes of a connection. Held: it is decided within 24 bytes, and a decision made on fewer bytes is never taken back by more. */
#include <assert.h>

#include "http/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum weir_sniff decided = WEIR_SNIFF_MORE;

    for (size_t n = 0; n <= size && n <= 64; n++) {
        enum weir_sniff now = weir_sniff(weir_slice_make((const char *)data, n));
        assert(now <= WEIR_SNIFF_OPAQUE);
        assert(n < 24 || now != WEIR_SNIFF_MORE);
        if (decided != WEIR_SNIFF_MORE)
            assert(now == decided);
        decided = now;
    }
    if (size > 64)
        assert(weir_sniff(weir_slice_make((const char *)data, size)) == decided);
    return 0;
}
