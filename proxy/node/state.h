/* SPDX-License-Identifier: Apache-2.0 */
/* lint: size all that hangs off one agent */
/* Inside of the agent: everything that hangs off one struct weir_agent, and what its files ask of
 * each other. */
#ifndef WEIR_NODE_STATE_H
#define WEIR_NODE_STATE_H

#include "kern/join.h"
#include "node/agent.h"
#include "node/enrol.h"
#include "node/flow.h"
#include "node/l7.h"
#include "node/names.h"
#include "sys/watch.h"

#define WEIR_AGENT_FLOWS    1024 /* records kept for `flows` */
#define WEIR_AGENT_CLIENTS  32
#define WEIR_AGENT_LINE     8192 /* of the admin socket, its end included */
#define WEIR_AGENT_PODS_DUE 256  /* pods with an address that runs out, told apart in one sweep */

/* A descriptor in the loop. */
struct weir_agent_source {
    void (*ready)(void *arg, uint32_t events); /* EPOLL* */
    void *arg;
    int fd;
};

struct weir_agent_client {
    struct weir_agent *agent;
    struct weir_agent_source source; /* fd -1 = free */
    struct weir_textbuf out;
    size_t sent, n_line;
    char line[WEIR_AGENT_LINE];
    bool answered, follow;
};

/* What the last change did to connections that existed. */
struct weir_agent_revocation {
    uint64_t generation, checked, killed, kept, failed, took_us;
};

struct weir_agent_http;
struct weir_documents;
struct weir_doors;
struct weir_agent_tls;
struct weir_agent_kube;
struct weir_sign;

struct weir_agent {
    const struct weir_agent_params *params;
    /* of this run: flags beat the Agent document of the first configuration */
    const char *pin_dir, *node, *admin_path, *flow_log, *helper_path, *metrics_at;
    const char *mesh_ca, *signer, *trust_bundle; /* sign.c; "" = none */
    char *owned[9];                              /* copies of the nine above */

    struct weir_snapshot *snapshot;
    uint64_t generation;    /* of the configuration in force */
    uint64_t refused;       /* reloads refused so far */
    char last_refusal[512]; /* first problem of the last reload if it was refused, else "" */

    struct weir_helper *helper; /* enters pods for us */
    struct weir_kern *kern;
    struct weir_mapset *installed;
    struct weir_plan_report report;
    struct weir_enrol enrol;
    struct weir_join_report join; /* the self-test of this kernel */
    bool join_tried, join_off;    /* off: by hand, until the agent starts again */
    bool adopted;
    bool probes_recorded; /* the kubelet's own connections are known */
    bool attached;        /* the programs on the pods' parent are ours and new */
    bool stale;           /* the maps are not known to be what the configuration says: try again */
    uint64_t puts, deletes;
    struct weir_agent_revocation revocation;
    uint64_t n_revoked;  /* connections reset so far */
    uint32_t n_verified; /* enrolled pods whose interception is proven */
    bool revoke_again;   /* with the next tick */
    struct weir_agent_names names;

    struct weir_list tenants; /* tenants.c */
    int documents_fd;         /* what their workers are told; -1 = nothing */
    bool documents_untold;    /* they are new */
    /* What they and sidecars are told, and will be; NULL = nobody is there to be told. */
    struct weir_documents *documents, *documents_next;
    struct weir_doors *doors; /* door.c */
    uint64_t tenant_idle_us;
    uint64_t tenant_starts, tenant_restarts, tenant_stuck; /* of all, so far */

    struct weir_agent_http *http; /* NULL = not served */
    struct weir_agent_kube *kube; /* NULL = no cluster */
    struct weir_sign *sign;       /* sign.c; NULL = nobody signs */
    char host_name[256];          /* of the node, where nothing else names it */
    struct weir_l7 *l7;           /* exchanges that were told, by service */
    struct weir_agent_tls *tls;   /* probes on OpenSSL; NULL before the first tick */
    struct weir_watch *config_watch, *place_watch;
    struct weir_agent_source signals, timer, config_news, place_news, events, listener;
    struct weir_agent_client clients[WEIR_AGENT_CLIENTS];
    uint64_t events_due; /* us, monotonic: the rings are read then; 0 = they are empty */
    int epoll_fd, flow_fd;
    struct weir_textbuf flows[WEIR_AGENT_FLOWS];
    uint64_t n_flows;      /* ever */
    uint64_t n_flows_lost; /* could not be written to the flow log or to a follower */
    bool stop;
    bool handed_over;    /* to another agent: this one stands by */
    bool failed;         /* it ends with 1 */
    unsigned free_ticks; /* for so long nobody has had the pins */
};

/* agent.c: 0 or -errno. */
int weir_agent_poll(struct weir_agent *a, struct weir_agent_source *source, uint32_t events);
/* agent.c: everything is read again and put in force; what is refused changes nothing. */
void weir_agent_reload(struct weir_agent *a, const char *why);
/* Out of the loop and closed, whoever else has the same open file. */
void weir_agent_unpoll(struct weir_agent *a, struct weir_agent_source *source);
/*
 * config.c: reads and checks all of it; what is in force is replaced only when all is good. 0,
 * WEIR_CONF_REFUSED (logged and counted), -ENOMEM.
 */
int weir_agent_load(struct weir_agent *a);
/*
 * sync.c: looks at the places and makes the kernel hold what they and the configuration say; nothing when
 * nothing changed, unless forced. A failure is logged and tried again with the next tick.
 */
void weir_agent_sync(struct weir_agent *a, bool force);
/*
 * join.c: tries joining once if it is wanted, and makes the kernel join or not. Turning it off is
 * one flag: what is joined goes back to TCP with its next write. 0 or -errno.
 */
int weir_agent_join_apply(struct weir_agent *a);
void weir_agent_join_status(struct weir_agent *a, struct weir_textbuf *out);
/* flows.c */
int weir_agent_flows_open(struct weir_agent *a);
void weir_agent_flows_close(struct weir_agent *a);
void weir_agent_flow_event(void *arg, const struct weir_event *event, bool from_denials);
void weir_agent_flow_http(void *arg, const struct weir_http_event *event);
/* admin.c: 0 or -errno. */
int weir_agent_admin_open(struct weir_agent *a);
void weir_agent_admin_close(struct weir_agent *a);
/* http.c: 0 or -errno. Nothing when no address is given. */
int weir_agent_http_open(struct weir_agent *a);
void weir_agent_http_tick(struct weir_agent *a); /* once a second */
void weir_agent_http_close(struct weir_agent *a);
/* One flow record to every follower. */
void weir_agent_admin_flow(struct weir_agent *a, const struct weir_textbuf *record);
/*
 * revoke.c: asks the connections that exist again. change: the maps have just changed; else this is
 * the second look after that.
 */
void weir_agent_revoke(struct weir_agent *a, bool change);
/* The same of some pods (local ids), or of all when pods is NULL, with no change to look after. True: all were asked. */
bool weir_agent_walk(struct weir_agent *a, const uint32_t *pods, uint32_t n);
/* probes.c: the recorder where the configuration wants it; when that fails, by address. */
void weir_agent_record_probes(struct weir_agent *a);
/* Where probes come from when they are not recorded; weir_free. 0, -ENOMEM. */
int weir_agent_node_ips(const struct weir_agent *a, struct weir_ip **ret_ips, uint32_t *ret_n);
/* canary.c: proves interception for the pods whose time has come, or for all. */
void weir_agent_prove(struct weir_agent *a, bool all);
/* Why the agent is not ready; NULL = it is. */
const char *weir_agent_unready(const struct weir_agent *a);
/* explain.c: words is "SRC DST:PORT [tcp|udp]" and is taken apart. */
void weir_agent_explain(struct weir_agent *a, char *words, struct weir_textbuf *out);
/* status.c */
uint64_t weir_agent_epoch(const struct weir_agent *a); /* of the maps; 0 = none */
void weir_agent_status(struct weir_agent *a, struct weir_textbuf *out);
void weir_agent_counters(struct weir_agent *a, struct weir_textbuf *out);
void weir_agent_ready(struct weir_agent *a, struct weir_textbuf *out);
void weir_agent_generation(struct weir_agent *a, struct weir_textbuf *out);

#endif
