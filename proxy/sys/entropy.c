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

uint64_t weir_random_between(uint64_t least, uint64_t most) {
    uint64_t random = 0;

    if (weir_random(&random, sizeof(random)) < 0)
        return least;
    return least + random % (most - least + 1);
}
