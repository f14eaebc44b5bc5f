/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the helper: what serve.c, deeds.c and enter.c share. */
#ifndef WEIR_HELPER_SERVE_INTERNAL_H
#define WEIR_HELPER_SERVE_INTERNAL_H

#include <limits.h>

#include "helper/helper.h"
#include "helper/wire.h"

struct weir_helper_server {
    char parent[PATH_MAX]; /* below the mount: "/kubepods.slice" */
    int parent_fd;         /* the directory */
    uint64_t parent_ino;
    int home_fd; /* the network namespace it lives in */
    uint64_t home_dev, home_ino;
    uint64_t served, refused;
};

/* One request under way. */
struct weir_helper_job {
    const struct weir_helper_server *server;
    const struct weir_helper_request *request;
    int fds[WEIR_HELPER_FDS]; /* that came with it; closed by the caller */
    struct weir_helper_reply reply;
    int ret_fd;      /* goes back and is closed by the caller; -1 = none */
    const char *why; /* set: refused */
};

/* deeds.c: checks the request and does it; the outcome is in job->reply, ret_fd and why. */
void weir_helper_do(struct weir_helper_job *job);
const char *weir_helper_verb_name(uint32_t verb);

/* enter.c. Each leaves the process in the namespace it was in. 0 or -errno. */
int weir_enter_cookie(const struct weir_helper_server *s, int netns_fd, uint64_t *ret_cookie);
int weir_enter_walk(const struct weir_helper_server *s, int netns_fd, int link_fd, int *ret_fd);
int weir_enter_diag(const struct weir_helper_server *s, int netns_fd, int *ret_fd);
/* In a child inside the cgroup, as nobody; -ETIMEDOUT: it was ended after a second. */
int weir_enter_socket(int cgroup_fd, int netns_fd, const struct weir_helper_request *request,
                      int *ret_fd);
int weir_enter_canary(int cgroup_fd, int netns_fd, struct weir_canary *ret);

#endif
