/* SPDX-License-Identifier: Apache-2.0 */
/* getrandom(2) until everything is there. It keeps no pool: callers seed something of their own. */
#include "sys/entropy.h"

#include <errno.h>
#include <sys/random.h>

int weir_random(void *buf, size_t n) {
    char *p = buf;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}
