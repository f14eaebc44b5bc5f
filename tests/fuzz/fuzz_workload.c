/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a message of the SPIFFE Workload API. Held: what was read lies within the message, and certificates are read or refused. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>

#include "base/mem.h"
#include "tls/workload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(struct weir_slice all, struct weir_slice part) {
    assert(part.len > 0 && part.ptr >= all.ptr && part.ptr + part.len <= all.ptr + all.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct weir_slice all = weir_slice_make((const char *)data, size);
    struct weir_workload_svid svid;
    const char *why = NULL;
    char *pem = NULL;
    int r = weir_workload_read(all, &svid, &why);

    assert(r == 0 || (r == WEIR_WORKLOAD_BAD && why));
    if (r)
        return 0;
    within(all, svid.id);
    within(all, svid.chain);
    within(all, svid.key);
    within(all, svid.bundle);
    r = weir_workload_pem(svid.chain, &pem);
    assert(r == 0 || r == -EINVAL || r == -ENOMEM);
    weir_free(pem);
    return 0;
}
