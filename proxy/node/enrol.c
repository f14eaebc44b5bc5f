/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is looked at again each time (a directory, two ids, one stat per pod): that is cheap,
 * and no event can be missed. A network namespace is kept open while its pod is enrolled and
 * compared by device and inode, so that a name that now means another namespace is noticed. Opening
 * it is the helper's work; while that is away, what is enrolled stays so.
 */
#include "node/enrol.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"
#include "kern/mapset.h"
#include "node/places.h"
#include "sys/cgroup.h"

#define SIDECAR_DIRECTORY "weir"
#define DEPTH_MAX         16

static const char *const no_cgroup = "its cgroup does not exist";
static const char *const bad_cgroup = "its cgroup is not below the pods' parent";
static const char *const no_netns = "its network namespace cannot be opened";
static const char *const bad_netns = "its network namespace is not one, or the node's own";
static const char *const left_alone = "left alone: on the host's network, or its mode is off";
static const char *const no_helper = "waits for the helper, which is away";

int weir_enrol_init(struct weir_enrol *e, const char *cgroup, uint64_t hold_us) {
    uint64_t id;
    size_t len;
    int r;

    memset(e, 0, sizeof(*e));
    weir_list_init(&e->places);
    weir_list_init(&e->strangers);
    e->hold_us = hold_us;
    r = weir_cgroup_mount(e->mount, sizeof(e->mount));
    if (r == 0)
        r = weir_cgroup_path(cgroup, e->parent, sizeof(e->parent));
    if (r == 0)
        r = weir_cgroup_id(e->parent, &id);
    if (r)
        return r;
    for (len = strlen(e->parent); len > 1 && e->parent[len - 1] == '/'; len--)
        e->parent[len - 1] = '\0';
    return 0;
}

static void place_free(struct weir_place_of_pod *p) {
    weir_list_unlink(&p->link);
    if (p->netns_fd >= 0)
        close(p->netns_fd);
    weir_free(p->name);
    weir_free(p->cgroup_path);
    weir_free(p->netns_path);
    weir_free(p);
}

static void stranger_free(struct weir_stranger *s) {
    weir_list_unlink(&s->link);
    weir_free(s->path);
    weir_free(s);
}

void weir_enrol_deinit(struct weir_enrol *e) {
    if (!e->places.next)
        return;
    WEIR_LIST_FOREACH_SAFE (it, next, &e->places)
        place_free(WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link));
    WEIR_LIST_FOREACH_SAFE (it, next, &e->strangers)
        stranger_free(WEIR_CONTAINER_OF(it, struct weir_stranger, link));
}

static char *join(const char *a, const char *separator, const char *b) {
    size_t na = strlen(a), ns = strlen(separator), nb = strlen(b);
    char *text = weir_malloc(na + ns + nb + 1);

    if (text) {
        memcpy(text, a, na);
        memcpy(text + na, separator, ns);
        memcpy(text + na + ns, b, nb + 1);
    }
    return text;
}

static struct weir_place_of_pod *place_find(struct weir_enrol *e, const struct weir_pod *pod) {
    size_t n = strlen(pod->meta.namespace_);

    WEIR_LIST_FOREACH (it, &e->places) {
        struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        if (strncmp(p->name, pod->meta.namespace_, n) == 0 && p->name[n] == '/' &&
            strcmp(p->name + n + 1, pod->meta.name) == 0)
            return p;
    }
    return NULL;
}

static struct weir_place_of_pod *place_new(struct weir_enrol *e, const struct weir_pod *pod) {
    struct weir_place_of_pod *p = weir_calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->netns_fd = -1;
    p->pending = "";
    p->unverified = "";
    weir_list_init(&p->link);
    p->name = join(pod->meta.namespace_, "/", pod->meta.name);
    if (!p->name) {
        place_free(p);
        return NULL;
    }
    weir_list_push_back(&e->places, &p->link);
    return p;
}

static void netns_close(struct weir_place_of_pod *p) {
    if (p->netns_fd >= 0)
        close(p->netns_fd);
    p->netns_fd = -1;
    p->cookie = 0;
    p->attached = 0;
}

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* The namespace the agent lives in. */
static int own_netns(int *ret_fd, uint64_t *ret_cookie) {
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), s, r = 0;
    socklen_t len = sizeof(*ret_cookie);

    if (fd < 0)
        return -errno;
    s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0 || getsockopt(s, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) < 0)
        r = -errno;
    if (s >= 0)
        close(s);
    if (r)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

/* Adopted: its namespace is not open, but what is in force names it. */
static bool netns_known(const struct weir_enrol *e, struct weir_place_of_pod *p) {
    const struct weir_pod_value *value;
    uint32_t id = e->installed ? weir_plan_id(e->installed, WEIR_NAME_POD, p->name) : 0;

    value = id ? weir_mapset_get(e->installed, WEIR_MAP_POD, &id) : NULL;
    if (value)
        p->cookie = value->netns;
    return value != NULL;
}

/* NULL, or why it is not to be had. A path below /proc cannot even be looked at without the helper. */
static const char *netns_look(const struct weir_enrol *e, struct weir_place_of_pod *p) {
    const char *path = p->netns_path[0] ? p->netns_path : "/proc/self/ns/net";
    uint64_t cookie;
    struct stat st;
    int fd, r;

    p->error = 0;
    if (p->netns_fd >= 0 && stat(path, &st) == 0 && st.st_dev == p->netns_dev &&
        st.st_ino == p->netns_ino)
        return NULL;
    r = p->netns_path[0] ? weir_helper_netns(e->helper, path, &fd, &cookie)
                         : own_netns(&fd, &cookie);
    if (r == -ENOTCONN && (p->netns_fd >= 0 || netns_known(e, p)))
        return NULL;
    if (r == 0 && fstat(fd, &st) < 0) {
        r = -errno;
        close(fd);
    }
    if (r) {
        netns_close(p);
        p->error = r == -EACCES ? 0 : -r;
        return r == -ENOTCONN ? no_helper : r == -EACCES ? bad_netns : no_netns;
    }
    if (p->netns_fd >= 0 && st.st_dev == p->netns_dev && st.st_ino == p->netns_ino) {
        close(fd);
        return NULL;
    }
    netns_close(p);
    p->netns_fd = fd;
    p->cookie = cookie;
    p->netns_dev = st.st_dev;
    p->netns_ino = st.st_ino;
    return NULL;
}

static const char *cgroup_look(const struct weir_enrol *e, struct weir_place_of_pod *p) {
    size_t n = strlen(e->parent);
    char *sidecar;
    int r;

    p->error = 0;
    p->cgroup = p->proxy_cgroup = 0;
    if (strncmp(p->cgroup_path, e->parent, n) != 0 || p->cgroup_path[n] != '/' ||
        p->cgroup_path[n + 1] == '\0' || strstr(p->cgroup_path, "/../"))
        return bad_cgroup;
    r = weir_cgroup_id(p->cgroup_path, &p->cgroup);
    if (r) {
        p->cgroup = 0;
        p->error = -r;
        return no_cgroup;
    }
    sidecar = join(p->cgroup_path, "/", p->pod->sidecar[0] ? p->pod->sidecar : SIDECAR_DIRECTORY);
    if (!sidecar || weir_cgroup_id(sidecar, &p->proxy_cgroup))
        p->proxy_cgroup = 0;
    weir_free(sidecar);
    return NULL;
}

static int paths_set(const struct weir_enrol *e, struct weir_place_of_pod *p) {
    const char *relative = p->pod->cgroup;
    char *cgroup, *netns = weir_strndup(p->pod->netns, strlen(p->pod->netns));

    while (*relative == '/')
        relative++;
    cgroup = join(e->mount, "/", relative);
    if (!cgroup || !netns) {
        weir_free(cgroup);
        weir_free(netns);
        return -ENOMEM;
    }
    for (size_t n = strlen(cgroup); n > 1 && cgroup[n - 1] == '/'; n--)
        cgroup[n - 1] = '\0';
    if (p->netns_path && strcmp(p->netns_path, netns) != 0)
        netns_close(p);
    weir_free(p->cgroup_path);
    weir_free(p->netns_path);
    p->cgroup_path = cgroup;
    p->netns_path = netns;
    return 0;
}

static int place_look(struct weir_enrol *e, struct weir_place_of_pod *p, bool *ret_changed) {
    uint64_t cgroup = p->cgroup, proxy = p->proxy_cgroup, cookie = p->cookie;
    const char *pending = p->pending;
    bool open = p->netns_fd >= 0;
    int r = paths_set(e, p);

    if (r)
        return r;
    p->outside = (e->opt_in && (p->pod->host_network || !p->pod->mode_given)) ||
                 (p->pod->mode == WEIR_MESH_OFF && !p->steer && !p->node_cgroup);
    p->pending = cgroup_look(e, p);
    if (p->outside && !p->pending)
        p->pending = left_alone;
    if (!p->pending)
        p->pending = netns_look(e, p);
    if (p->pending)
        p->attached = 0;
    if (cgroup != p->cgroup || proxy != p->proxy_cgroup || cookie != p->cookie ||
        pending != p->pending || open != (p->netns_fd >= 0))
        *ret_changed = true;
    return 0;
}

static int places_look(struct weir_enrol *e, const struct weir_snapshot *s, const char *node,
                       bool *ret_changed) {
    WEIR_LIST_FOREACH (it, &e->places)
        WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link)->seen = false;
    for (uint32_t i = 0; i < s->n_pods; i++) {
        const struct weir_pod *pod = &s->pods[i];
        struct weir_place_of_pod *p;
        int r;

        if (pod->cgroup[0] == '\0' || (node[0] && pod->node[0] && strcmp(node, pod->node) != 0))
            continue;
        p = place_find(e, pod);
        if (!p)
            p = place_new(e, pod);
        if (!p)
            return -ENOMEM;
        p->pod = pod;
        p->seen = true;
        r = place_look(e, p, ret_changed);
        if (r)
            return r;
    }
    e->n_places = e->n_enrolled = 0;
    WEIR_LIST_FOREACH_SAFE (it, next, &e->places) {
        struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        if (!p->seen) {
            place_free(p);
            *ret_changed = true;
            continue;
        }
        e->n_places++;
        e->n_enrolled += p->pending == NULL;
    }
    return 0;
}

static int stranger_note(struct weir_enrol *e, const char *path, uint64_t now_us,
                         bool *ret_changed) {
    struct weir_stranger *s = NULL;
    uint64_t id;

    if (weir_cgroup_id(path, &id)) /* gone meanwhile */
        return 0;
    WEIR_LIST_FOREACH (it, &e->strangers)
        if (WEIR_CONTAINER_OF(it, struct weir_stranger, link)->id == id)
            s = WEIR_CONTAINER_OF(it, struct weir_stranger, link);
    if (!s) {
        s = weir_calloc(1, sizeof(*s));
        if (!s)
            return -ENOMEM;
        weir_list_init(&s->link);
        s->path = weir_strndup(path, strlen(path));
        if (!s->path) {
            stranger_free(s);
            return -ENOMEM;
        }
        s->id = id;
        s->first_seen_us = now_us;
        weir_list_push_back(&e->strangers, &s->link);
    }
    s->seen = true;
    if (!s->refused && now_us - s->first_seen_us >= e->hold_us) {
        s->refused = true;
        *ret_changed = true;
    }
    return 0;
}

enum relation { IS_STRANGER, IS_POD, LEADS_TO_POD };

static enum relation relation_of(const struct weir_enrol *e, const char *path) {
    size_t n = strlen(path), at = strlen(e->parent);

    if (strcmp(path + at, "/" WEIR_HELPER_TENANTS) == 0)
        return IS_POD; /* ours */
    WEIR_LIST_FOREACH (it, &e->places) {
        const char *cgroup = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link)->cgroup_path;

        if (strncmp(cgroup, path, n) == 0 && (cgroup[n] == '\0' || cgroup[n] == '/'))
            return cgroup[n] ? LEADS_TO_POD : IS_POD;
    }
    return IS_STRANGER;
}

static int strangers_look(struct weir_enrol *e, const char *directory, int depth, uint64_t now_us,
                          bool *ret_changed) {
    DIR *dir = opendir(directory);
    struct dirent *entry;
    int r = 0;

    if (!dir)
        return 0;
    while (r == 0 && (entry = readdir(dir))) {
        enum relation relation;
        char *path;

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        path = join(directory, "/", entry->d_name);
        if (!path) {
            r = -ENOMEM;
            break;
        }
        relation =
            e->opt_in && weir_uid_is_between(entry->d_name) ? LEADS_TO_POD : relation_of(e, path);
        if (relation == IS_STRANGER)
            r = stranger_note(e, path, now_us, ret_changed);
        else if (relation == LEADS_TO_POD && depth < DEPTH_MAX)
            r = strangers_look(e, path, depth + 1, now_us, ret_changed);
        weir_free(path);
    }
    closedir(dir);
    return r;
}

int weir_enrol_look(struct weir_enrol *e, const struct weir_snapshot *snapshot, const char *node,
                    uint64_t now_us, bool *ret_changed) {
    bool changed = false;
    int r = places_look(e, snapshot, node, &changed);

    if (r)
        return r;
    WEIR_LIST_FOREACH (it, &e->strangers)
        WEIR_CONTAINER_OF(it, struct weir_stranger, link)->seen = false;
    r = strangers_look(e, e->parent, 0, now_us, &changed);
    if (r)
        return r;
    e->n_strangers = 0;
    WEIR_LIST_FOREACH_SAFE (it, next, &e->strangers) {
        struct weir_stranger *s = WEIR_CONTAINER_OF(it, struct weir_stranger, link);

        if (s->seen) {
            e->n_strangers++;
            continue;
        }
        changed = changed || s->refused;
        stranger_free(s);
    }
    *ret_changed = changed;
    return 0;
}

int weir_enrol_facts(const struct weir_enrol *e, struct weir_plan_pod **ret_pods, uint32_t *ret_n,
                     struct weir_plan_cgroup **ret_cgroups, uint32_t *ret_n_cgroups) {
    struct weir_plan_pod *pods = weir_calloc(e->n_places + 1UL, sizeof(*pods));
    struct weir_plan_cgroup *cgroups =
        weir_calloc((size_t)e->n_strangers + e->n_places + 1, sizeof(*cgroups));
    uint32_t n = 0, n_cgroups = 0;

    uint64_t tenants;
    char path[sizeof(e->parent) + 32];

    if (!pods || !cgroups) {
        weir_free(pods);
        weir_free(cgroups);
        return -ENOMEM;
    }
    WEIR_LIST_FOREACH (it, &e->places) {
        const struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        if (!p->pending)
            pods[n++] =
                (struct weir_plan_pod){ .pod = p->pod,
                                        .netns = p->cookie,
                                        .cgroup = p->cgroup,
                                        .proxy_cgroup = p->proxy_cgroup,
                                        .node_cgroup = p->node_cgroup,
                                        .meshed = p->pod->mode == WEIR_MESH_SIDECAR || p->steer };
        else if (p->outside && p->cgroup)
            cgroups[n_cgroups++] = (struct weir_plan_cgroup){ p->cgroup, WEIR_ROLE_OUTSIDE };
    }
    WEIR_LIST_FOREACH (it, &e->strangers) {
        const struct weir_stranger *s = WEIR_CONTAINER_OF(it, struct weir_stranger, link);

        if (s->refused)
            cgroups[n_cgroups++] = (struct weir_plan_cgroup){ s->id, WEIR_ROLE_REFUSED };
    }
    /* The workers themselves, and connections of pods that are gone. */
    snprintf(path, sizeof(path), "%s/%s", e->parent, WEIR_HELPER_TENANTS);
    if (weir_cgroup_id(path, &tenants) == 0)
        cgroups[n_cgroups++] = (struct weir_plan_cgroup){ tenants, WEIR_ROLE_OUTSIDE };
    *ret_pods = pods;
    *ret_n = n;
    *ret_cgroups = cgroups;
    *ret_n_cgroups = n_cgroups;
    return 0;
}
