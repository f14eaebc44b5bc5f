/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bootstrap documents of weir.dev/v1alpha1: Proxy and Agent. Owns their defaults and ranges.
 * Each field is also a command line flag; what only makes sense together (a certificate and its
 * key) is checked here for documents and by the command line for flags.
 */
#include <string.h>

#include "conf/build.h"
#include "conf/parse.h"
#include "conf/syntax.h"

#define SECOND           1000000ULL
#define SIDECAR_HOLD_MAX (60 * SECOND)

void weir_proxy_spec_default(struct weir_proxy_spec *spec) {
    *spec = (struct weir_proxy_spec){
        .listen = "",
        .cert = "",
        .key = "",
        .client_ca = "",
        .to_ca = "",
        .to_cert = "",
        .to_key = "",
        .to_sni = "",
        .session_key = "",
        .ticket_us = 3600 * SECOND,
        .pod = "",
        .outbound = "127.0.0.1:15001",
        .inbound = "0.0.0.0:15006",
        .identity_dir = "",
        .trust_domain = "cluster.local",
        .zone = "",
        .admin = "",
        .log_level = "info",
        .access_log = WEIR_LOG_TEXT,
        .forwarded_outbound = WEIR_FORWARDED_KEEP,
        .dns = {
            .servers = "",
            .timeout_us = 2 * SECOND,
            .min_ttl_us = 5 * SECOND,
            .max_ttl_us = 300 * SECOND,
            .negative_us = 10 * SECOND,
        },
    };
    weir_limits_spec_default(&spec->limits);
}

void weir_proxy_spec_settle(struct weir_proxy_spec *spec) {
    if (!spec->admin_given) {
        spec->admin = spec->pod[0] != '\0' ? "127.0.0.1:15000" : "";
    }
    if (!spec->access_log_given) {
        spec->access_log = spec->n_to > 0 ? WEIR_LOG_OFF : WEIR_LOG_TEXT;
    }
}

void weir_agent_spec_default(struct weir_agent_spec *spec) {
    *spec = (struct weir_agent_spec){
        .cgroup = "",
        .kubelet_cgroup = "",
        .pin_dir = "/sys/fs/bpf/weir",
        .node = "",
        .zone = "",
        .admin = "/run/weir/agent.sock",
        .flow_log = "",
        .helper = "",
        .metrics = "",
        .mesh_ca = "",
        .signer = "",
        .trust_bundle = "",
        .svid_lifetime_us = 6 * 3600 * SECOND,
        .tenant_idle_us = 60 * SECOND,
        .hold_us = 10 * SECOND,
        .sidecar_hold_us = 5 * SECOND,
        .join = WEIR_JOIN_MODE_AUTO,
        .dns = {
            .min_ttl_us = 60 * SECOND,
            .max_ttl_us = 86400 * SECOND,
            .grace_us = 30 * SECOND,
            .addresses = 1000,
        },
    };
}

static int decode_address(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_ip ip;
    uint16_t port;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (n->text[0] != '\0' && weir_parse_hostport(n->text, &ip, &port) != 0) {
        return weir_dec_error(
            d, n,
            "%s is not an address and port; expected \"ADDR:PORT\", \"[v6]:PORT\" or \":PORT\"",
            WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, out);
}

static int decode_to(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_to *to = out;
    int r;

    to->host = "";
    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    r = weir_parse_to(d->arena, n->text, to);
    to->place = weir_dec_place(d, n);
    if (r == -EINVAL) {
        return weir_dec_error(
            d, n,
            "%s is not an upstream; expected \"http://HOST:PORT\", \"h2c://...\", "
            "\"https://...\" or \"HOST:PORT\", without a path",
            WEIR_SHOW(n));
    }
    return r;
}

/* "namespace/name" */
static int decode_pod_ref(struct weir_dec *d, const struct weir_node *n, void *out) {
    char ns[64];
    const char *slash;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    slash = strchr(n->text, '/');
    if (slash != NULL && (size_t)(slash - n->text) < sizeof(ns)) {
        memcpy(ns, n->text, (size_t)(slash - n->text));
        ns[slash - n->text] = '\0';
        if (weir_is_dns_label(ns) && weir_is_dns_subdomain(slash + 1)) {
            return weir_dec_copy(d, n->text, out);
        }
    }
    return weir_dec_error(d, n, "%s is not a pod; expected \"namespace/name\"", WEIR_SHOW(n));
}

static int decode_trust_domain(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_dns_subdomain(n->text)) {
        return weir_dec_error(
            d, n, "%s is not a trust domain; expected a name like \"cluster.local\"", WEIR_SHOW(n));
    }
    return r;
}

static int decode_log_level(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "debug", "info", "warn", "error", NULL };
    unsigned i = 1;
    int r = weir_dec_word(d, n, words, &i);

    *(const char **)out = words[i];
    return r;
}

static int decode_access_log(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "off", "text", "json", NULL };
    struct weir_proxy_spec *spec = out;
    unsigned i = (unsigned)spec->access_log;

    /* Plain `off` is a string in YAML 1.2, but some writers turn it into a boolean. */
    if (n->type == WEIR_NODE_BOOL && !n->truth) {
        return weir_dec_error(d, n, "expected off, text or json; write \"off\" in quotes");
    }
    int r = weir_dec_word(d, n, words, &i);
    spec->access_log = (enum weir_access_log)i;
    spec->access_log_given = true;
    return r;
}

static int decode_admin(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_proxy_spec *spec = out;

    spec->admin_given = true;
    return decode_address(d, n, &spec->admin);
}

static int decode_workers(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, 0, 1024, out);
}

/* One server to ask: an address, with port 53 unless stated. */
static int decode_server(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_ip ip;
    uint16_t port;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (weir_parse_ip(n->text, &ip) != 0 &&
        (n->text[0] == ':' || weir_parse_hostport(n->text, &ip, &port) != 0)) {
        return weir_dec_error(d, n, "%s is not a server; expected \"ADDR\" or \"ADDR:PORT\"",
                              WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, out);
}

struct dns_servers {
    struct weir_dns_spec spec; /* first */
    const char **servers;
    uint32_t n_servers;
};

#define DNS(key, member, fn) WEIR_F(key, struct weir_dns_spec, member, fn)
static const struct weir_field dns_fields[] = {
    WEIR_F_LIST("servers", struct dns_servers, servers, n_servers, decode_server),
    DNS("timeout", timeout_us, weir_dec_timeout),
    DNS("minTTL", min_ttl_us, weir_dec_timeout),
    DNS("maxTTL", max_ttl_us, weir_dec_timeout),
    DNS("negativeTTL", negative_us, weir_dec_timeout),
};
static const struct weir_object dns_object = WEIR_OBJECT("Proxy.spec.dns", dns_fields);

static int decode_dns(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_dns_spec *spec = out;
    struct dns_servers dns = { .spec = *spec };
    int r = weir_dec_object(d, n, &dns_object, &dns);

    *spec = dns.spec;
    for (uint32_t i = 0; i < dns.n_servers && r == 0; i++) {
        if (dns.servers[i] == NULL) {
            continue;
        }
        spec->servers = weir_arena_printf(d->arena, "%s%s%s", spec->servers,
                                          spec->servers[0] != '\0' ? "," : "", dns.servers[i]);
        r = spec->servers == NULL ? -ENOMEM : 0;
    }
    if (r == 0 && spec->min_ttl_us > spec->max_ttl_us) {
        r = weir_dec_error_in(d, n, "minTTL", "is longer than maxTTL");
    }
    return r;
}

static int decode_forwarded(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "strip", "append", "keep", NULL };
    unsigned i = *(uint8_t *)out;
    int r = weir_dec_word(d, n, words, &i);

    *(uint8_t *)out = (uint8_t)i;
    return r;
}

static const struct weir_field forwarded_fields[] = {
    WEIR_F("listen", struct weir_proxy_spec, forwarded_listen, decode_forwarded),
    WEIR_F("gateway", struct weir_proxy_spec, forwarded_gateway, decode_forwarded),
    WEIR_F("inbound", struct weir_proxy_spec, forwarded_inbound, decode_forwarded),
    WEIR_F("outbound", struct weir_proxy_spec, forwarded_outbound, decode_forwarded),
};
static const struct weir_object forwarded_object =
    WEIR_OBJECT("Proxy.spec.forwardedHeaders", forwarded_fields);

static int decode_forwarded_headers(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &forwarded_object, out);
}

static int decode_proxy_from(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_cidr *cidr = out;
    int r = weir_dec_cidr(d, n, cidr);

    weir_cidr_mask(cidr);
    return r;
}

static int decode_proxy_send(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "none", "v1", "v2", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(uint8_t *)out = (uint8_t)i;
    return r;
}

static const struct weir_field proxy_protocol_fields[] = {
    WEIR_F_LIST("from", struct weir_proxy_spec, proxy_from, n_proxy_from, decode_proxy_from),
    WEIR_F("send", struct weir_proxy_spec, proxy_send, decode_proxy_send),
};
static const struct weir_object proxy_protocol_object =
    WEIR_OBJECT("Proxy.spec.proxyProtocol", proxy_protocol_fields);

static int decode_proxy_protocol(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &proxy_protocol_object, out);
}

/* RFC 8446 4.6.1: no ticket lives longer than a week, and a key serves twice its time. */
static int decode_ticket_rotation(struct weir_dec *d, const struct weir_node *n, void *out) {
    uint64_t us = 0;
    int r = weir_dec_duration(d, n, &us);

    *(uint64_t *)out = us;
    if (r == 0 && us != 0 && (us < SECOND || us > 84 * 3600 * SECOND)) {
        return weir_dec_error(d, n, "must be from 1s to 84h, or 0s for no tickets");
    }
    return r;
}

#define PROXY(key, member, fn) WEIR_F(key, struct weir_proxy_spec, member, fn)
static const struct weir_field proxy_spec_fields[] = {
    PROXY("listen", listen, decode_address),
    WEIR_F_LIST("to", struct weir_proxy_spec, to, n_to, decode_to),
    PROXY("cert", cert, weir_dec_string),
    PROXY("key", key, weir_dec_string),
    PROXY("clientCA", client_ca, weir_dec_string),
    PROXY("toCA", to_ca, weir_dec_string),
    PROXY("toCert", to_cert, weir_dec_string),
    PROXY("toKey", to_key, weir_dec_string),
    PROXY("toSNI", to_sni, weir_dec_string),
    PROXY("sessionKey", session_key, weir_dec_string),
    WEIR_F_SELF("proxyProtocol", decode_proxy_protocol),
    PROXY("ticketRotation", ticket_us, decode_ticket_rotation),
    PROXY("pod", pod, decode_pod_ref),
    PROXY("outbound", outbound, decode_address),
    PROXY("inbound", inbound, decode_address),
    PROXY("identityDir", identity_dir, weir_dec_string),
    PROXY("trustDomain", trust_domain, decode_trust_domain),
    PROXY("zone", zone, weir_dec_string),
    WEIR_F_SELF("admin", decode_admin),
    PROXY("workers", workers, decode_workers),
    WEIR_F_SELF("accessLog", decode_access_log),
    PROXY("logLevel", log_level, decode_log_level),
    PROXY("limits", limits, weir_decode_limits),
    PROXY("dns", dns, decode_dns),
    WEIR_F_SELF("forwardedHeaders", decode_forwarded_headers),
};
static const struct weir_object proxy_spec_object = WEIR_OBJECT("Proxy.spec", proxy_spec_fields);

/* Of two fields that only make sense together one is missing. */
static int check_pair(struct weir_dec *d, const struct weir_node *n, const char *a, const char *b) {
    bool has_a = weir_node_get(n, a) != NULL, has_b = weir_node_get(n, b) != NULL;

    if (has_a == has_b) {
        return 0;
    }
    return weir_dec_error_in(d, n, has_a ? a : b, "needs %s as well", has_a ? b : a);
}

static int decode_proxy_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_proxy_spec *spec = out;
    int r = weir_dec_object(d, n, &proxy_spec_object, spec);

    if (r == 0) {
        r = check_pair(d, n, "cert", "key");
    }
    if (r == 0) {
        r = check_pair(d, n, "toCert", "toKey");
    }
    return r;
}

static const struct weir_field proxy_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF("metadata", weir_decode_meta),
    WEIR_F("spec", struct weir_draft_proxy, value, decode_proxy_spec),
};
static const struct weir_object proxy_object = WEIR_OBJECT("Proxy", proxy_fields);

int weir_decode_proxy(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_proxy *proxy = out;

    weir_proxy_spec_default(&proxy->value);
    int r = weir_dec_object(d, n, &proxy_object, proxy);
    proxy->value.given = true;
    proxy->value.place = weir_dec_place(d, n);
    weir_proxy_spec_settle(&proxy->value);
    return r;
}

static int decode_flow_log(struct weir_dec *d, const struct weir_node *n, void *out) {
    if (n->type == WEIR_NODE_STRING && (strcmp(n->text, "-") == 0 || n->text[0] == '\0')) {
        return weir_dec_copy(d, n->text, out);
    }
    return weir_decode_path(d, n, out);
}

static int decode_join(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "off", "auto", "on", NULL };
    enum weir_join_mode *join = out;
    unsigned i = (unsigned)*join;
    int r = weir_dec_word(d, n, words, &i);

    *join = (enum weir_join_mode)i;
    return r;
}

/* The kernel half has milliseconds in 32 bits. */
static int decode_sidecar_hold(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_duration(d, n, out);

    if (r == 0 && *(uint64_t *)out > SIDECAR_HOLD_MAX)
        return weir_dec_error(d, n, "at most 60s: a call that waits longer has failed already");
    return r;
}

static int decode_addresses(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_ranged(d, n, 1, 65536, out);
}

/* Whole seconds, up to a year. */
static int decode_ttl(struct weir_dec *d, const struct weir_node *n, void *out) {
    uint64_t us = *(uint64_t *)out;
    int r = weir_dec_duration(d, n, &us);

    if (r == 0 && (us % SECOND != 0 || us > 365 * 86400 * SECOND)) {
        return weir_dec_error(d, n, "must be whole seconds, up to 8760h");
    }
    *(uint64_t *)out = us;
    return r;
}

/* "example.com/name", as Kubernetes has it. */
static int decode_signer(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);
    const char *name = r == 0 ? *(const char **)out : "";
    const char *slash = strchr(name, '/');

    if (r == 0 && name[0] &&
        (!slash || !slash[1] || slash == name || strlen(name) > 571 ||
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-./") != strlen(name))) {
        return weir_dec_error(d, n, "must be DOMAIN/NAME, as \"weir.dev/mesh\"");
    }
    return r;
}

/* Nobody renews twice a second, and what lasts a month is not short-lived. */
static int decode_lifetime(struct weir_dec *d, const struct weir_node *n, void *out) {
    uint64_t us = *(uint64_t *)out;
    int r = weir_dec_duration(d, n, &us);

    if (r == 0 && (us < 2 * SECOND || us > 720 * 3600 * SECOND)) {
        return weir_dec_error(d, n, "must be from 2s to 720h");
    }
    *(uint64_t *)out = us;
    return r;
}

#define NAMES(key, member, fn) WEIR_F(key, struct weir_names_spec, member, fn)
static const struct weir_field names_fields[] = {
    WEIR_F_LIST("servers", struct weir_names_spec, servers, n_servers, weir_decode_dns_server),
    NAMES("minTTL", min_ttl_us, decode_ttl),
    NAMES("maxTTL", max_ttl_us, decode_ttl),
    NAMES("grace", grace_us, decode_ttl),
    NAMES("addresses", addresses, decode_addresses),
};
static const struct weir_object names_object = WEIR_OBJECT("Agent.spec.dns", names_fields);

static int decode_names(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_names_spec *spec = out;
    int r = weir_dec_object(d, n, &names_object, out);

    if (r == 0 && spec->min_ttl_us > spec->max_ttl_us) {
        return weir_dec_error_in(d, n, "minTTL", "is longer than maxTTL");
    }
    return r;
}

static const struct weir_field agent_spec_fields[] = {
    WEIR_F_REQ("cgroup", struct weir_agent_spec, cgroup, weir_decode_cgroup),
    WEIR_F("kubeletCgroup", struct weir_agent_spec, kubelet_cgroup, weir_decode_cgroup),
    WEIR_F("pinDir", struct weir_agent_spec, pin_dir, weir_decode_path),
    WEIR_F("node", struct weir_agent_spec, node, weir_dec_string),
    WEIR_F("zone", struct weir_agent_spec, zone, weir_dec_string),
    WEIR_F("admin", struct weir_agent_spec, admin, weir_decode_path),
    WEIR_F("flowLog", struct weir_agent_spec, flow_log, decode_flow_log),
    WEIR_F("helper", struct weir_agent_spec, helper, weir_decode_path),
    WEIR_F("metrics", struct weir_agent_spec, metrics, decode_address),
    WEIR_F("meshCA", struct weir_agent_spec, mesh_ca, weir_decode_path),
    WEIR_F("signer", struct weir_agent_spec, signer, decode_signer),
    WEIR_F("trustBundle", struct weir_agent_spec, trust_bundle, weir_decode_path),
    WEIR_F("svidLifetime", struct weir_agent_spec, svid_lifetime_us, decode_lifetime),
    WEIR_F("tenantIdleTime", struct weir_agent_spec, tenant_idle_us, weir_dec_timeout),
    WEIR_F("holdTime", struct weir_agent_spec, hold_us, weir_dec_duration),
    WEIR_F("sidecarHoldTime", struct weir_agent_spec, sidecar_hold_us, decode_sidecar_hold),
    WEIR_F("join", struct weir_agent_spec, join, decode_join),
    WEIR_F("dns", struct weir_agent_spec, dns, decode_names),
};
static const struct weir_object agent_spec_object = WEIR_OBJECT("Agent.spec", agent_spec_fields);

static int decode_agent_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &agent_spec_object, out);
}

static const struct weir_field agent_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF("metadata", weir_decode_meta),
    WEIR_F_REQ("spec", struct weir_draft_agent, value, decode_agent_spec),
};
static const struct weir_object agent_object = WEIR_OBJECT("Agent", agent_fields);

int weir_decode_agent(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_agent *agent = out;

    weir_agent_spec_default(&agent->value);
    int r = weir_dec_object(d, n, &agent_object, agent);
    agent->value.given = true;
    agent->value.place = weir_dec_place(d, n);
    return r;
}

const struct weir_object *const *weir_objects_weir(void) {
    static const struct weir_object *const objects[] = {
        &proxy_object, &proxy_spec_object, &weir_limit_object, &dns_object, &forwarded_object,
        &agent_object, &agent_spec_object, &names_object,      NULL,
    };
    return objects;
}
