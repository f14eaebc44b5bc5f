/* SPDX-License-Identifier: Apache-2.0 */
/* lint: size the vocabulary in one place */
/*
 * The typed configuration: what the documents say after decoding and checking, in Kubernetes' own
 * words. Everything lies in the snapshot's arena, never changes after publication and dies with it.
 * Strings are NUL-terminated and never NULL ("" = not given) unless said otherwise; lists are
 * pointer + n_.
 */
#ifndef WEIR_CONF_MODEL_H
#define WEIR_CONF_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_HOST_MAX 253 /* octets of a DNS name as text (RFC 1035 2.3.4) */

/* Where something was written, for messages: "file:line:col". */
struct weir_place {
    const char *file;
    uint32_t line, col; /* from 1; 0 = unknown */
};

/* IPv4 is held v4-mapped (::ffff:a.b.c.d), network byte order. */
struct weir_ip {
    uint8_t b[16];
};

struct weir_cidr {
    struct weir_ip ip;
    uint8_t prefix; /* 0..128, counted in the 16-byte form: 10.0.0.0/8 is 104 */
};

struct weir_kv {
    const char *key, *value;
};

struct weir_meta {
    const char *name,
        *namespace_; /* namespace "default" when the document has none and the kind is namespaced */
    struct weir_kv *labels;
    uint32_t n_labels;
    struct weir_kv *annotations;
    uint32_t n_annotations;
    uint64_t created; /* metadata.creationTimestamp, seconds since the epoch; 0 = none */
    struct weir_place place;
};

/* LabelSelector of meta/v1: both lists must hold; an empty selector selects everything. */
enum weir_selector_op { WEIR_OP_IN, WEIR_OP_NOT_IN, WEIR_OP_EXISTS, WEIR_OP_NOT_EXISTS };
struct weir_selector_term {
    const char *key;
    enum weir_selector_op op;
    const char **values;
    uint32_t n_values;
};
struct weir_selector {
    bool given; /* false: the field was absent (differs from empty in NetworkPolicy peers) */
    struct weir_selector_term *terms; /* matchLabels are IN terms of one value */
    uint32_t n_terms;
};
bool weir_selector_matches(const struct weir_selector *s, const struct weir_kv *labels,
                           uint32_t n_labels);

enum weir_proto { WEIR_PROTO_TCP = 6, WEIR_PROTO_UDP = 17 };

/* How weir serves a pod: not at all; in the kernel alone (policy, plain balancing); with a sidecar; with a worker of its node. */
enum weir_mesh_mode { WEIR_MESH_OFF, WEIR_MESH_SIDECAR, WEIR_MESH_NODE, WEIR_MESH_KERNEL };

struct weir_namespace {
    struct weir_meta meta;
    bool fail_open; /* annotation weir.dev/fail-mode: open (default closed) */
    int mode;       /* annotation or label weir.dev/mode: enum weir_mesh_mode; -1 = not given */
};

struct weir_container_port {
    const char *name; /* "" = unnamed */
    uint16_t port;
    uint8_t proto;
};

/* weir.dev/join, and the default of it in the Agent document. ON declares that the workload's
 * processes do not splice(2): docs/configuration.md says what else. */
enum weir_join_mode { WEIR_JOIN_MODE_OFF, WEIR_JOIN_MODE_AUTO, WEIR_JOIN_MODE_ON };

struct weir_port_ranges; /* conf/ports.h */
struct weir_pod {
    struct weir_meta meta;
    const char *service_account; /* "default" when absent */
    const char *node;            /* spec.nodeName */
    struct weir_ip *ips;         /* status.podIPs, else status.podIP */
    uint32_t n_ips;
    struct weir_container_port *ports;
    uint32_t n_ports;
    uint16_t *probe_ports; /* that a probe of a container names, once each */
    uint32_t n_probe_ports;
    bool host_network;
    bool ready;         /* status.conditions Ready, true when absent */
    const char *cgroup; /* annotation weir.dev/cgroup: "/path" below the cgroup2 mount; "" = not on
                           this node */
    const char *netns;  /* annotation weir.dev/netns: path */
    const char *
        sidecar; /* annotation weir.dev/proxy-cgroup: the sidecar's directory in cgroup; "" = "weir" */
    enum weir_mesh_mode
        mode;        /* own annotation/label weir.dev/mode, else the namespace's, else kernel */
    bool mode_given; /* by one of those two */
    int join; /* annotation weir.dev/join: enum weir_join_mode; -1 = not given: the Agent's */
    bool http_telemetry; /* annotation weir.dev/http-telemetry: of what it hands to OpenSSL */
    /* annotations weir.dev/skip-inbound-ports, skip-outbound-ports, opaque-ports; NULL = none */
    const struct weir_port_ranges *skip_inbound, *skip_outbound, *opaque;
    const struct weir_namespace
        *ns; /* never NULL: a namespace without a document gets an empty one */
};

/* Is there a proxy of weir's in it? weir_pod_enters (conf/authz.h) says whether a port is behind it. */
static inline bool weir_pod_meshed(const struct weir_pod *pod) {
    return pod->mode == WEIR_MESH_SIDECAR || pod->mode == WEIR_MESH_NODE;
}

struct weir_endpoint {
    struct weir_ip ip;
    uint16_t port;
    bool ready, serving, terminating;
    uint32_t weight; /* 1 unless the Pod's annotation weir.dev/weight says otherwise */
    const char *node, *zone;
    const struct weir_pod *pod; /* by targetRef, else by address; NULL = unknown */
    const char *host; /* the name whose address it is, or is to be found; NULL = given by address */
    /* A name with addresses of both families, in the order to be tried; ip is one of them. NULL = ip alone */
    const struct weir_ip *ips;
    uint32_t n_ips;
    bool
        far; /* others come first (conf/distance.h); set for the place where it is called from, else false */
};

enum weir_app_protocol {
    WEIR_APP_TCP,   /* opaque: carried by the kernel */
    WEIR_APP_HTTP,  /* HTTP/1.1, HTTP/2 by detection */
    WEIR_APP_HTTP2, /* HTTP/2 with prior knowledge (kubernetes.io/h2c, http2-, grpc-) */
    WEIR_APP_TLS,   /* the application's own TLS: opaque */
};

/*
 * Connections to the endpoints of a Service port: of each worker to each endpoint. The Proxy's limits hold a whole one; in a
 * BackendPolicy WEIR_UNSET_* is what it leaves to them.
 */
#define WEIR_UNSET_32 UINT32_MAX
#define WEIR_UNSET_64 UINT64_MAX
struct weir_connection_spec {
    uint64_t connect_us;  /* until TCP is connected; 5 s */
    uint64_t idle_us;     /* unused in the pool; 30 s */
    uint64_t lifetime_us; /* then it takes no further request; 1 h, 0 = none */
    uint64_t head_us;     /* from the request sent to the answer's head; 0 = none, the default */
    uint32_t connections; /* open at once; 16384 */
    uint32_t pending;     /* requests that wait for one of them; 1024 */
    uint32_t requests;    /* carried by one, one after another; 0 = any number, the default */
};

enum weir_balancer {
    WEIR_BALANCER_UNSET,   /* plain TCP and UDP: random; requests: least */
    WEIR_BALANCER_RANDOM,  /* by weight */
    WEIR_BALANCER_LEAST,   /* of two by weight, the one with less under way */
    WEIR_BALANCER_LATENCY, /* the same, times its smoothed round-trip time */
};

/* weir.dev/v1alpha1 BackendPolicy: how the endpoints of Services are talked to. */
struct weir_policy_target {
    const char *group, *kind, *name;
    const char *section; /* Service: a port's name; "" = all of it */
    struct weir_place place;
};
struct weir_backend_policy {
    struct weir_meta meta;
    struct weir_policy_target *targets; /* Services of its own namespace */
    uint32_t n_targets;
    struct weir_connection_spec connection;
    enum weir_balancer balancer;
};

/* BackendTLSPolicy gateway.networking.k8s.io/v1: TLS to the endpoints of Services, and whom to expect there. */
struct weir_san {
    bool uri; /* else a host name */
    const char *value;
};
struct weir_backend_tls {
    struct weir_meta meta;
    struct weir_policy_target *targets; /* Services of its own namespace */
    uint32_t n_targets;
    const char *hostname;  /* SNI; also what the certificate must be for, unless sans are given */
    struct weir_san *sans; /* one of them */
    uint32_t n_sans;
    const char *ca,
        *ca_file; /* PEM texts of caCertificateRefs, joined, and options weir.dev/ca-file; both "" = the system's */
    bool broken; /* a reference leads to nothing: no connection can be trusted */
};

struct weir_service_port {
    const char *name;
    uint16_t port; /* host order */
    uint8_t proto;
    enum weir_app_protocol app; /* decisions.md 11: appProtocol, else the name's prefix, else TCP */
    bool l7;                    /* app is HTTP*, or a route is attached to this port */
    struct weir_endpoint *endpoints; /* of all slices of this service and port name */
    uint32_t n_endpoints;
    struct weir_endpoint *hosts; /* those known by name: whoever calls them finds the address */
    uint32_t n_hosts;
    const struct weir_backend_policy *policy; /* NULL = none */
    const struct weir_backend_tls *tls;       /* NULL = plaintext, or the mesh's */
    uint32_t index;                           /* among all ports of all services of the snapshot */
};

enum weir_nearness { WEIR_NEAR_ANY, WEIR_NEAR_ZONE, WEIR_NEAR_NODE };

struct weir_service {
    struct weir_meta meta;
    struct weir_ip *ips; /* clusterIPs (else clusterIP); none for headless */
    uint32_t n_ips;
    bool headless;
    const char *external_name; /* of type ExternalName; "" = another type */
    bool affinity_client_ip;
    bool http_telemetry;       /* annotation weir.dev/http-telemetry */
    enum weir_nearness near;   /* trafficDistribution */
    bool local_only;           /* internalTrafficPolicy: Local */
    uint32_t affinity_seconds; /* sessionAffinityConfig.clientIP.timeoutSeconds, default 10800 */
    struct weir_service_port *ports;
    uint32_t n_ports;
};

/* HTTPRoute and GRPCRoute gateway.networking.k8s.io/v1: a service and its method are a path. */
enum weir_match_type { WEIR_MATCH_EXACT, WEIR_MATCH_PREFIX, WEIR_MATCH_REGEX };

struct weir_named_match {
    enum weir_match_type type; /* EXACT or REGEX */
    const char *name, *value;
};

struct weir_route_match {
    enum weir_match_type path_type; /* default PREFIX "/" */
    const char *path;
    const char *method; /* "" = any */
    struct weir_named_match *headers;
    uint32_t n_headers;
    struct weir_named_match *queries;
    uint32_t n_queries;
    const char *rpc; /* GRPCRoute: a method of any service; NULL = path says all */
};

struct weir_header_mod {
    struct weir_kv *set, *add;
    const char **remove;
    uint32_t n_set, n_add, n_remove;
};

enum weir_filter_type {
    WEIR_FILTER_REQUEST_HEADERS,
    WEIR_FILTER_RESPONSE_HEADERS,
    WEIR_FILTER_REDIRECT,
    WEIR_FILTER_REWRITE,
    WEIR_FILTER_MIRROR,
    WEIR_FILTER_CORS,
};

enum weir_path_change { WEIR_PATH_KEEP, WEIR_PATH_FULL, WEIR_PATH_PREFIX };

/* URLRewrite and RequestRedirect. */
struct weir_rewrite {
    const char *hostname; /* "" = as asked for */
    enum weir_path_change change;
    const char
        *path; /* with WEIR_PATH_PREFIX instead of the prefix the match names; "" = nothing */
    /* redirects only */
    const char *scheme; /* "http", "https"; "" = as asked for */
    uint16_t port;      /* 0 = not given */
    uint16_t status;    /* 302 unless stated */
};

struct weir_mirror {
    struct weir_backend_ref *backend;
    uint32_t numerator, denominator; /* that share of requests */
};

/* Lists that hold "*" hold nothing else. */
struct weir_cors {
    const char *
        *origins; /* "*", or scheme, host that may begin with '*', and port if not default */
    const char **methods, **headers, **expose;
    uint32_t n_origins, n_methods, n_headers, n_expose;
    bool credentials;
    uint32_t max_age; /* seconds */
};

struct weir_filter {
    enum weir_filter_type type;
    union {
        struct weir_header_mod headers;
        struct weir_rewrite rewrite; /* REDIRECT, REWRITE */
        struct weir_mirror mirror;
        struct weir_cors cors;
    };
};

struct weir_backend_ref {
    const char *name, *namespace_;
    uint16_t port;
    uint32_t weight; /* default 1 */
    struct weir_filter *filters;
    uint32_t n_filters;
    const struct weir_service *service; /* NULL = does not exist: 500 for its share */
    const struct weir_service_port *service_port;
    struct weir_place place;
};

struct weir_retry {
    uint16_t *codes; /* answers that are not taken */
    uint32_t n_codes;
    uint32_t attempts;   /* after the first; 1 unless stated */
    uint64_t backoff_us; /* before each; 25 ms unless stated */
};

/* sessionPersistence: a client stays with the endpoint it was given first. */
struct weir_session {
    const char *name;              /* of the cookie, or of the header; never "" after linking */
    const char *scope;             /* the rule: sessions of others are none here */
    bool header;                   /* else a cookie */
    bool permanent;                /* the cookie outlives the client's own session */
    uint64_t absolute_us, idle_us; /* 0 = no limit */
    struct weir_place place;
};

/* Who answers Expect: 100-continue: whoever serves the request, or the proxy at once. */
enum weir_expect { WEIR_EXPECT_UNSET, WEIR_EXPECT_FORWARD, WEIR_EXPECT_LOCAL };

/* What RoutePolicies state of a rule; 0 = none does. */
struct weir_route_policy {
    enum weir_expect expect;
    bool has_max_body, has_min_body_rate;
    uint64_t max_body;      /* bytes of a request's content; 0 = any */
    uint32_t min_body_rate; /* bytes per second, both ways; 0 = none */
};

struct weir_route_rule {
    const char *name; /* "" = unnamed */
    struct weir_route_match
        *matches; /* at least one (the default match when the document has none) */
    uint32_t n_matches;
    struct weir_filter *filters;
    uint32_t n_filters;
    struct weir_backend_ref *backends;
    uint32_t n_backends;
    uint64_t timeout_request_us; /* 0 = not given */
    uint64_t timeout_backend_us;
    struct weir_retry *retry;                      /* NULL = not given */
    struct weir_session *session;                  /* NULL = not given */
    bool has_timeout_request, has_timeout_backend; /* given; with value 0 it means "no timeout" */
    struct weir_route_policy policy;
    struct weir_place place;
};

enum weir_parent_kind { WEIR_PARENT_SERVICE, WEIR_PARENT_GATEWAY };

struct weir_parent_ref {
    enum weir_parent_kind kind;
    const char *name, *namespace_;
    const char *
        section; /* Gateway: the listener; "" = every listener. Service: already turned into port */
    uint16_t port; /* 0 = every port */
    struct weir_place place;
};

struct weir_http_route {
    struct weir_meta meta;
    bool grpc; /* a GRPCRoute: for gRPC requests only */
    bool tls;  /* a TLSRoute: one rule without matches, for whole connections */
    struct weir_parent_ref *parents;
    uint32_t n_parents;
    const char **hostnames; /* "*.example.com" allowed; none = all */
    uint32_t n_hostnames;
    struct weir_route_rule *rules;
    uint32_t n_rules;
};

enum weir_listener_protocol { WEIR_LISTENER_HTTP, WEIR_LISTENER_HTTPS, WEIR_LISTENER_TLS };

struct weir_gateway_listener {
    const char *name, *hostname;
    uint16_t port;
    enum weir_listener_protocol protocol;
    bool passthrough; /* TLS: the ClientHello is read and nothing ended */
    const char *cert_file,
        *key_file; /* tls.options weir.dev/cert-file, weir.dev/key-file; "" = none */
    const char *secret, *cert,
        *key; /* or the Secret of certificateRefs: "namespace/name", its PEM texts */
};

struct weir_gateway {
    struct weir_meta meta;
    struct weir_gateway_listener *listeners;
    uint32_t n_listeners;
};

/* NetworkPolicy networking.k8s.io/v1. */
struct weir_netpol_peer {
    bool is_block;
    struct weir_cidr block;
    struct weir_cidr *except;
    uint32_t n_except;
    struct weir_selector pods, namespaces;
};

struct weir_netpol_port {
    uint8_t proto;
    const char *name;     /* named port; "" = by number */
    uint16_t first, last; /* 0..65535 = every port */
};

struct weir_netpol_rule {
    struct weir_netpol_peer *peers; /* none = every peer */
    uint32_t n_peers;
    struct weir_netpol_port *ports; /* none = every port of every protocol */
    uint32_t n_ports;
};

struct weir_netpol {
    struct weir_meta meta;
    struct weir_selector pods;
    bool ingress, egress; /* policyTypes, with the documented defaults */
    bool audit;           /* annotation weir.dev/audit: what it would deny is told, not denied */
    struct weir_netpol_rule *ingress_rules, *egress_rules;
    uint32_t n_ingress_rules, n_egress_rules;
};

/* An address to ask names of; port 53 unless stated. */
struct weir_dns_server {
    struct weir_ip ip;
    uint16_t port;
};

/* weir.dev/v1alpha1 EgressPolicy: what pods may call by name. */
#define WEIR_EGRESS_NAME_MAX 251u /* characters */
struct weir_egress_rule {
    const char **names; /* "api.example.com", or "*.example.com": one label or more before it */
    uint32_t n_names;
    struct weir_netpol_port *ports; /* by number; none = every port of every protocol */
    uint32_t n_ports;
};
struct weir_egress_policy {
    struct weir_meta meta;
    struct weir_selector pods;
    bool audit;                      /* as of a NetworkPolicy */
    struct weir_dns_server *servers; /* whose answers count; none = those of the Agent */
    uint32_t n_servers;
    struct weir_egress_rule *rules;
    uint32_t n_rules;
};

/* PeerAuthentication security.istio.io/v1. */
enum weir_mtls_mode { WEIR_MTLS_UNSET, WEIR_MTLS_DISABLE, WEIR_MTLS_PERMISSIVE, WEIR_MTLS_STRICT };
struct weir_port_mtls {
    uint16_t port;
    enum weir_mtls_mode mode;
};
struct weir_peer_auth {
    struct weir_meta meta;
    struct weir_selector pods; /* absent = the whole namespace */
    enum weir_mtls_mode mode;
    struct weir_port_mtls *ports;
    uint32_t n_ports;
};

/* The bootstrap documents: weir.dev/v1alpha1 Proxy and Agent. Every field has a default (see
 * weir_proxy_spec_default). */
enum weir_access_log { WEIR_LOG_OFF, WEIR_LOG_TEXT, WEIR_LOG_JSON };
enum weir_scheme { WEIR_TO_HTTP, WEIR_TO_H2C, WEIR_TO_HTTPS };

struct weir_to { /* one --to URL */
    enum weir_scheme scheme;
    const char *host; /* name or address, without brackets */
    uint16_t port;
    struct weir_place place;
};

/* docs/limits.md says what each does when it is reached. */
struct weir_limits_spec {
    uint64_t memory_bytes;       /* of the heap; 0 = three quarters of what there is */
    uint64_t body_bytes;         /* of a request, where no RoutePolicy says otherwise; 0 = any */
    uint32_t head_bytes;         /* 65536 */
    uint32_t fields;             /* 100 */
    uint32_t target_bytes;       /* 16384 */
    uint32_t streams;            /* 100 */
    uint32_t connections;        /* per process, downstream; 0 = from RLIMIT_NOFILE */
    uint32_t source_connections; /* of one source address; 0 = half of connections */
    uint32_t handshakes;         /* TLS, server side, in progress in the process; 512 */
    uint32_t pipe_bytes;         /* buffered per direction of a request; 65536 */
    uint32_t connection_bytes;   /* waiting to be sent on one connection; 1 MiB */
    uint32_t min_body_rate;      /* bytes per second; 100, 0 = none */
    uint32_t resets_per_s;       /* HTTP/2 streams a client may take back; 20 */
    uint32_t frames_per_s;       /* HTTP/2 frames without progress; 100 */
    uint32_t pool_idle;          /* idle upstream connections per endpoint and worker; 1024 */
    uint64_t head_timeout_us;    /* 10 s */
    uint64_t idle_timeout_us;    /* downstream keep-alive; 60 s */
    uint64_t body_timeout_us;    /* a body must have moved in that time; 30 s */
    uint64_t stream_timeout_us;  /* the same for content of unknown length; 300 s */
    uint64_t tunnel_timeout_us;  /* a tunnel or relay in which nothing moves; 1 h */
    uint64_t detect_timeout_us;  /* a client silent that long lets its server speak first; 100 ms */
    uint64_t handshake_timeout_us;        /* 10 s */
    struct weir_connection_spec upstream; /* where no BackendPolicy says otherwise */
    uint64_t request_timeout_us;          /* default for routes without one; 0 = none */
    uint64_t drain_us;                    /* at SIGTERM; 30 s */
};

/* What a peer that proved no identity says of where a request came from: x-forwarded-for, -proto, -host, forwarded. */
enum weir_forwarded {
    WEIR_FORWARDED_STRIP, /* not believed; its own address and scheme are said instead */
    WEIR_FORWARDED_APPEND, /* its address is put behind x-forwarded-for; proto and host pass, forwarded does not */
    WEIR_FORWARDED_KEEP, /* passes as it is */
};

/* Names of endpoints. */
struct weir_dns_spec {
    const char *servers;  /* "ADDR:PORT,...", in that order; "" = those of /etc/resolv.conf */
    uint64_t timeout_us;  /* until a server is asked again, or the next one; 2 s */
    uint64_t min_ttl_us;  /* an answer is held so long at least, 5 s, */
    uint64_t max_ttl_us;  /* and so long at most; 5 min */
    uint64_t negative_us; /* after one that says there is no such name, and after a failure; 10 s */
};

struct weir_proxy_spec {
    /* as a plain reverse proxy */
    const char *listen; /* "ADDR:PORT", "[v6]:PORT", ":PORT"; "" = none */
    struct weir_to *to;
    uint32_t n_to;
    const char *cert, *key, *client_ca; /* PEM files; "" = none */
    const char *to_ca, *to_cert, *to_key, *to_sni;
    const char
        *session_key; /* file of the secrets that seal persistent sessions; "" = a random one */
    /* PROXY protocol: who must begin with a header (listen and Gateways), and what `to` is sent */
    struct weir_cidr *proxy_from;
    uint32_t n_proxy_from;
    uint8_t proxy_send; /* 0 = none, else the version */
    uint64_t
        ticket_us; /* a key seals TLS session tickets so long, and opens them as long again; 0 = no tickets; 1 h */
    /* as a sidecar */
    const char *pod; /* "namespace/name" of the Pod document served; "" = not a sidecar */
    const char *outbound,
        *inbound;             /* default 127.0.0.1:15001 (and [::1]) and 0.0.0.0:15006 (and [::]) */
    const char *identity_dir; /* holds tls.crt tls.key ca.crt */
    const char *trust_domain; /* "cluster.local" */
    const char *zone;         /* of the node it runs on; "" = that of the endpoints on it */
    /* always */
    const char *admin;               /* "ADDR:PORT"; "" = none. Sidecar default 127.0.0.1:15000 */
    uint32_t workers;                /* 0 = one per core */
    const char *log_level;           /* "debug", "info", "warn" or "error" */
    enum weir_access_log access_log; /* to standard output; default off for --to, text otherwise */
    bool admin_given, access_log_given; /* stated, so weir_proxy_spec_settle leaves them */
    struct weir_limits_spec limits;
    struct weir_dns_spec dns;
    /* enum weir_forwarded; by where the request was accepted: strip, strip, strip, keep */
    uint8_t forwarded_listen, forwarded_gateway, forwarded_inbound, forwarded_outbound;
    struct weir_place place;
    bool given; /* a Proxy document was among the input */
};

/* The cluster's DNS, as every distribution names it: pods are told its address. */
#define WEIR_DNS_NAMESPACE "kube-system"
#define WEIR_DNS_SERVICE   "kube-dns"

/* What an EgressPolicy's names are bound by. */
struct weir_names_spec {
    struct weir_dns_server *servers; /* none = the cluster's DNS and the node's own */
    uint32_t n_servers;
    uint64_t min_ttl_us; /* an answer is held so long at least, 60 s, */
    uint64_t max_ttl_us; /* and so long at most, 24 h, */
    uint64_t grace_us;   /* and so much longer than that; 30 s */
    uint32_t addresses;  /* of one pod at most; 1000 */
};

struct weir_agent_spec {
    const char *cgroup; /* the pods' parent, "/path" below the cgroup2 mount; required, never "/" */
    const char *pin_dir;  /* below a bpffs; default /sys/fs/bpf/weir */
    const char *node;     /* nodeName served; "" = every pod that names a cgroup */
    const char *zone;     /* of the node; "" = that of the endpoints on it */
    const char *admin;    /* unix socket path for weir status/flows; default /run/weir/agent.sock */
    const char *flow_log; /* "-" = standard output, "" = none, else a file appended to */
    const char *helper;   /* socket of a running weir helper; "" = the agent starts its own */
    const char *metrics;  /* "ADDR:PORT" of /metrics, /ready and /live; "" = none */
    const char *kubelet_cgroup; /* as cgroup; "" = unknown: probes by address and declared port */
    const char *mesh_ca;        /* directory of a development CA that signs here; "" = none */
    const char *signer;         /* signerName of the cluster's signer; "" = none */
    const char *trust_bundle;   /* file with all CAs to trust; "" = ca.crt of mesh_ca */
    uint64_t svid_lifetime_us;  /* of what is asked for or signed for the pods here; 6 h */
    uint64_t tenant_idle_us;  /* then a tenant's worker is ended until the next connection; 60 s */
    uint64_t hold_us;         /* how long SYNs of an unclassified cgroup are held back; 10 s */
    uint64_t sidecar_hold_us; /* SYNs that need a sidecar that does not listen; 5 s, 0 = refused */
    enum weir_join_mode join; /* of this node; off beats what pods say; auto */
    struct weir_names_spec dns;
    struct weir_place place;
    bool given;
};

#endif
