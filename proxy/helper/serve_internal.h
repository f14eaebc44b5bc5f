/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the helper: what serve.c, deeds.c and enter.c share. */
#ifndef WEIR_HELPER_SERVE_INTERNAL_H
#define WEIR_HELPER_SERVE_INTERNAL_H

#include <limits.h>

#include "base/list.h"
#include "helper/helper.h"
#include "helper/wire.h"
#include "sys/packet.h"

struct weir_helper_server {
    char parent[PATH_MAX]; /* below the mount: "/kubepods.slice" */
    int parent_fd;         /* the directory */
    uint64_t parent_ino;
    int home_fd; /* the network namespace it lives in */
    uint64_t home_dev, home_ino;
    uint64_t served, refused;
    struct weir_list tenants, kept; /* tenants.c */
    struct weir_helper_tenants options;
    char program[PATH_MAX]; /* its own file */
    int tenants_fd;         /* the directory of all tenants; -1 = not made yet */
    bool handed_over;       /* to a successor: it does nothing any more */
};

/* One request under way. */
struct weir_helper_job {
    struct weir_helper_server *server;
    const struct weir_helper_request *request;
    int fds[WEIR_HELPER_FDS]; /* that came with it; closed by the caller */
    struct weir_helper_reply reply;
    int ret_fds[WEIR_PACKET_FDS]; /* go back and are closed by the caller */
    unsigned n_ret_fds;
    const char *why; /* set: refused */
};

/* deeds.c: checks the request and does it; the outcome is in job->reply, ret_fd and why. */
void weir_helper_do(struct weir_helper_job *job);
/* Returns the error of a refusal. */
int weir_helper_refuse(struct weir_helper_job *job, const char *why);
/* The cgroup that the request names, below the parent: 0, a refusal or -errno. */
int weir_helper_open_cgroup(struct weir_helper_job *job, int *ret_fd);
bool weir_helper_is_netns(int fd);
const char *weir_helper_verb_name(uint32_t verb);

/* enter.c. Each leaves the process in the namespace it was in. 0 or -errno. */
int weir_enter_cookie(const struct weir_helper_server *s, int netns_fd, uint64_t *ret_cookie);
int weir_enter_walk(const struct weir_helper_server *s, int netns_fd, int link_fd, int *ret_fd);
int weir_enter_diag(const struct weir_helper_server *s, int netns_fd, int *ret_fd);
/* In a child inside the cgroup, as nobody; -ETIMEDOUT: it was ended after a second. At least one and at most
 * WEIR_PACKET_FDS descriptors come back. */
int weir_enter_sockets(int cgroup_fd, int netns_fd, const struct weir_helper_request *request,
                       int *ret_fds, unsigned *ret_n);
int weir_enter_listen(int cgroup_fd, int netns_fd, const struct weir_helper_request *request,
                      int *ret_fds, unsigned *ret_n);
int weir_enter_canary(int cgroup_fd, int netns_fd, struct weir_canary *ret);

/* tenants.c: the deeds, as weir_helper_do's others. */
int weir_tenant_listen(struct weir_helper_job *job);
int weir_tenant_make(struct weir_helper_job *job);
int weir_tenant_place(struct weir_helper_job *job);
int weir_tenant_release(struct weir_helper_job *job);
int weir_tenant_spawn(struct weir_helper_job *job);
int weir_tenant_stop(struct weir_helper_job *job);
/* succession.c: the deeds; and what follows the reply to the first of them. */
int weir_succession_hand_over(struct weir_helper_job *job);
int weir_succession_take(struct weir_helper_job *job);
void weir_succession_send(struct weir_helper_server *s, int fd);
/* Takes note of workers that have ended. */
void weir_tenants_reap(struct weir_helper_server *s);
void weir_tenants_init(struct weir_helper_server *s);

#endif
