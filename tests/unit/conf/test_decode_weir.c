/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define PROXY(spec) "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec: " spec "\n"
#define AGENT(spec) "apiVersion: weir.dev/v1alpha1\nkind: Agent\nspec: " spec "\n"

static void an_empty_proxy_document_is_the_default(void **state) {
    struct weir_snapshot *s = conf_build(PROXY("{}"));
    const struct weir_limits_spec *limits = &s->proxy.limits;

    assert_true(s->proxy.given);
    assert_string_equal(s->proxy.outbound, "127.0.0.1:15001");
    assert_string_equal(s->proxy.trust_domain, "cluster.local");
    assert_string_equal(s->proxy.admin, "");
    assert_int_equal(s->proxy.access_log, WEIR_LOG_TEXT);
    assert_int_equal(limits->head_bytes, 65536);
    assert_int_equal(limits->fields, 100);
    assert_int_equal(limits->target_bytes, 16384);
    assert_int_equal(limits->streams, 100);
    assert_int_equal(limits->connections, 0);
    assert_int_equal(limits->pipe_bytes, 65536);
    assert_int_equal(limits->pool_idle, 1024);
    assert_int_equal(limits->head_timeout_us, 10000000);
    assert_int_equal(limits->idle_timeout_us, 60000000);
    assert_int_equal(limits->body_timeout_us, 30000000);
    assert_int_equal(limits->detect_timeout_us, 100000);
    assert_int_equal(s->proxy.n_proxy_from, 0);
    assert_int_equal(s->proxy.proxy_send, 0);
    assert_int_equal(limits->upstream.connect_us, 5000000);
    assert_int_equal(limits->handshake_timeout_us, 10000000);
    assert_int_equal(limits->upstream.idle_us, 30000000);
    assert_int_equal(limits->upstream.lifetime_us, 3600000000);
    assert_int_equal(limits->upstream.head_us, 0);
    assert_int_equal(limits->upstream.connections, 16384);
    assert_int_equal(limits->upstream.pending, 1024);
    assert_int_equal(limits->upstream.requests, 0);
    assert_int_equal(limits->request_timeout_us, 0);
    assert_int_equal(limits->drain_us, 30000000);
    weir_snapshot_unref(s);
}

static void every_field_of_a_proxy_is_read(void **state) {
    struct weir_snapshot *s = conf_build(PROXY(
        "\n  listen: \":8443\"\n  to: [\"http://a:1\", \"h2c://b\", \"c:3\"]\n  cert: c.pem\n  "
        "key: k.pem\n"
        "  clientCA: ca.pem\n  toCA: tca.pem\n  toCert: tc.pem\n  toKey: tk.pem\n  toSNI: sni\n"
        "  outbound: 127.0.0.1:1\n  inbound: 0.0.0.0:2\n  identityDir: /id\n  trustDomain: "
        "example.org\n"
        "  admin: 127.0.0.1:3\n  workers: 2\n  accessLog: json\n  limits:\n    headBytes: 2048\n   "
        " fields: 7\n"
        "    targetBytes: 1024\n    streams: 8\n    connections: 9\n    pipeBytes: 4096\n    "
        "poolIdle: 0\n"
        "    headTimeout: 1s\n    idleTimeout: 2s\n    bodyTimeout: 3s\n    connectTimeout: 4s\n"
        "    detectTimeout: 50ms\n    handshakeTimeout: 5s\n    upstreamIdleTimeout: 6s\n    "
        "upstreamLifetime: 8s\n    "
        "upstreamHeadTimeout: 9s\n    upstreamConnections: 10\n    upstreamPending: 11\n    "
        "upstreamRequests: 12\n    requestTimeout: 7s\n    "
        "drainTimeout: 0s\n  proxyProtocol: {from: [10.1.2.3/8, \"fd00::/8\"], send: v2}"));
    const struct weir_proxy_spec *p = &s->proxy;

    assert_string_equal(p->listen, ":8443");
    assert_int_equal(p->n_to, 3);
    assert_int_equal(p->to[1].scheme, WEIR_TO_H2C);
    assert_string_equal(p->to[2].host, "c");
    assert_int_equal(p->to[2].port, 3);
    assert_int_equal(p->to[2].place.line, 5);
    assert_string_equal(p->cert, "c.pem");
    assert_string_equal(p->key, "k.pem");
    assert_string_equal(p->client_ca, "ca.pem");
    assert_string_equal(p->to_ca, "tca.pem");
    assert_string_equal(p->to_cert, "tc.pem");
    assert_string_equal(p->to_key, "tk.pem");
    assert_string_equal(p->to_sni, "sni");
    assert_string_equal(p->outbound, "127.0.0.1:1");
    assert_string_equal(p->inbound, "0.0.0.0:2");
    assert_string_equal(p->identity_dir, "/id");
    assert_string_equal(p->trust_domain, "example.org");
    assert_string_equal(p->admin, "127.0.0.1:3");
    assert_int_equal(p->workers, 2);
    assert_int_equal(p->access_log, WEIR_LOG_JSON);
    assert_int_equal(p->limits.head_bytes, 2048);
    assert_int_equal(p->limits.fields, 7);
    assert_int_equal(p->limits.target_bytes, 1024);
    assert_int_equal(p->limits.streams, 8);
    assert_int_equal(p->limits.connections, 9);
    assert_int_equal(p->limits.pipe_bytes, 4096);
    assert_int_equal(p->limits.pool_idle, 0);
    assert_int_equal(p->limits.head_timeout_us, 1000000);
    assert_int_equal(p->limits.idle_timeout_us, 2000000);
    assert_int_equal(p->limits.body_timeout_us, 3000000);
    assert_int_equal(p->limits.upstream.connect_us, 4000000);
    assert_int_equal(p->limits.detect_timeout_us, 50000);
    assert_int_equal(p->n_proxy_from, 2);
    assert_int_equal(p->proxy_from[0].prefix, 104);
    assert_int_equal(p->proxy_from[0].ip.b[13], 0);
    assert_int_equal(p->proxy_send, 2);
    assert_int_equal(p->limits.handshake_timeout_us, 5000000);
    assert_int_equal(p->limits.upstream.idle_us, 6000000);
    assert_int_equal(p->limits.upstream.lifetime_us, 8000000);
    assert_int_equal(p->limits.upstream.head_us, 9000000);
    assert_int_equal(p->limits.upstream.connections, 10);
    assert_int_equal(p->limits.upstream.pending, 11);
    assert_int_equal(p->limits.upstream.requests, 12);
    assert_int_equal(p->limits.request_timeout_us, 7000000);
    assert_int_equal(p->limits.drain_us, 0);
    weir_snapshot_unref(s);
}

static void dns_and_forwarded_headers_have_defaults_and_are_read(void **state) {
    struct weir_snapshot *s = conf_build(PROXY("{to: [a]}"));

    assert_string_equal(s->proxy.dns.servers, "");
    assert_int_equal(s->proxy.dns.timeout_us, 2000000);
    assert_int_equal(s->proxy.dns.min_ttl_us, 5000000);
    assert_int_equal(s->proxy.dns.max_ttl_us, 300000000);
    assert_int_equal(s->proxy.dns.negative_us, 10000000);
    assert_int_equal(s->proxy.forwarded_listen, WEIR_FORWARDED_STRIP);
    assert_int_equal(s->proxy.forwarded_gateway, WEIR_FORWARDED_STRIP);
    assert_int_equal(s->proxy.forwarded_inbound, WEIR_FORWARDED_STRIP);
    assert_int_equal(s->proxy.forwarded_outbound, WEIR_FORWARDED_KEEP);
    weir_snapshot_unref(s);
    s = conf_build(PROXY("{to: [a], forwardedHeaders: {listen: keep, gateway: append, inbound: "
                         "append, outbound: strip}, dns: {servers: [10.0.0.1, \"[fd00::1]:5353\"], "
                         "timeout: 1s, minTTL: 2s, maxTTL: 3s, negativeTTL: 4s}}"));
    assert_string_equal(s->proxy.dns.servers, "10.0.0.1,[fd00::1]:5353");
    assert_int_equal(s->proxy.dns.timeout_us, 1000000);
    assert_int_equal(s->proxy.dns.min_ttl_us, 2000000);
    assert_int_equal(s->proxy.dns.max_ttl_us, 3000000);
    assert_int_equal(s->proxy.dns.negative_us, 4000000);
    assert_int_equal(s->proxy.forwarded_listen, WEIR_FORWARDED_KEEP);
    assert_int_equal(s->proxy.forwarded_gateway, WEIR_FORWARDED_APPEND);
    assert_int_equal(s->proxy.forwarded_inbound, WEIR_FORWARDED_APPEND);
    assert_int_equal(s->proxy.forwarded_outbound, WEIR_FORWARDED_STRIP);
    weir_snapshot_unref(s);
    conf_refused(PROXY("{forwardedHeaders: {listen: trust}, dns: {servers: [ns.example], minTTL: "
                       "10m}}"),
                 "t:3:35: error: spec.forwardedHeaders.listen: unknown value \"trust\"; expected "
                 "strip, append or keep\n"
                 "t:3:59: error: spec.dns.servers[0]: \"ns.example\" is not a server; expected "
                 "\"ADDR\" or \"ADDR:PORT\"\n"
                 "t:3:72: error: spec.dns.minTTL: is longer than maxTTL\n");
}

static void defaults_depend_on_what_the_proxy_is(void **state) {
    struct weir_snapshot *s = conf_build(PROXY("{to: [a]}"));

    assert_int_equal(s->proxy.access_log, WEIR_LOG_OFF);
    assert_string_equal(s->proxy.admin, "");
    weir_snapshot_unref(s);
    s = conf_build(PROXY("{to: [a], accessLog: text}"));
    assert_int_equal(s->proxy.access_log, WEIR_LOG_TEXT);
    weir_snapshot_unref(s);
    s = conf_build(
        PROXY("{pod: default/a}") "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n");
    assert_string_equal(s->proxy.pod, "default/a");
    assert_string_equal(s->proxy.admin, "127.0.0.1:15000");
    assert_int_equal(s->proxy.access_log, WEIR_LOG_TEXT);
    weir_snapshot_unref(s);
    s = conf_build(PROXY(
        "{pod: default/a, admin: \"\"}") "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n");
    assert_string_equal(s->proxy.admin, "");
    weir_snapshot_unref(s);
}

static void flags_laid_over_are_settled_again(void **state) {
    static struct weir_to to;
    struct weir_proxy_spec spec;

    weir_proxy_spec_default(&spec);
    spec.to = &to;
    spec.n_to = 1;
    weir_proxy_spec_settle(&spec);
    assert_int_equal(spec.access_log, WEIR_LOG_OFF);
    spec.access_log = WEIR_LOG_JSON;
    spec.access_log_given = true;
    spec.pod = "default/a";
    weir_proxy_spec_settle(&spec);
    assert_int_equal(spec.access_log, WEIR_LOG_JSON);
    assert_string_equal(spec.admin, "127.0.0.1:15000");
}

static void a_wrong_proxy_is_refused(void **state) {
    conf_refused(
        PROXY("{listen: localhost:80, to: [\"ftp://x\"], cert: a, toKey: b, pod: web, trustDomain: "
              "A, "
              "workers: -1, accessLog: false}"),
        "t:3:16: error: spec.listen: \"localhost:80\" is not an address and port; expected "
        "\"ADDR:PORT\", "
        "\"[v6]:PORT\" or \":PORT\"\n"
        "t:3:35: error: spec.to[0]: \"ftp://x\" is not an upstream; expected \"http://HOST:PORT\", "
        "\"h2c://...\", \"https://...\" or \"HOST:PORT\", without a path\n"
        "t:3:47: error: spec.cert: needs key as well\n"
        "t:3:56: error: spec.toKey: needs toCert as well\n"
        "t:3:71: error: spec.pod: \"web\" is not a pod; expected \"namespace/name\"\n"
        "t:3:89: error: spec.trustDomain: \"A\" is not a trust domain; expected a name like "
        "\"cluster.local\"\n"
        "t:3:101: error: spec.workers: -1 is out of range; expected 0 to 1024\n"
        "t:3:116: error: spec.accessLog: expected off, text or json; write \"off\" in quotes\n");
    conf_refused(
        PROXY("{limits: {headBytes: 1024, idleTimeout: 0s, streems: 5, fields: 0}}"),
        "t:3:16: error: spec.limits: targetBytes (16384) is larger than headBytes (1024), which "
        "contain it\n"
        "t:3:47: error: spec.limits.idleTimeout: must be longer than 0\n"
        "t:3:51: error: spec.limits.streems: unknown field \"streems\"; did you mean \"streams\"?\n"
        "t:3:71: error: spec.limits.fields: 0 is out of range; expected 1 to 100000\n");
}

static void a_sidecar_without_its_pod_is_warned_about(void **state) {
    conf_warned(PROXY("{pod: default/web}"),
                "t:1:1: warning: spec.pod: the Pod default/web is not among the documents\n");
}

static void every_field_of_an_agent_is_read(void **state) {
    struct weir_snapshot *s = conf_build(AGENT("{cgroup: /pods/}"));

    assert_true(s->agent.given);
    assert_string_equal(s->agent.cgroup, "/pods");
    assert_string_equal(s->agent.pin_dir, "/sys/fs/bpf/weir");
    assert_string_equal(s->agent.admin, "/run/weir/agent.sock");
    assert_string_equal(s->agent.flow_log, "");
    assert_string_equal(s->agent.helper, "");
    assert_string_equal(s->agent.metrics, "");
    assert_int_equal(s->agent.hold_us, 10000000);
    assert_int_equal(s->agent.sidecar_hold_us, 5000000);
    assert_int_equal(s->agent.join, WEIR_JOIN_MODE_AUTO);
    weir_snapshot_unref(s);
    s = conf_build(
        AGENT("{cgroup: a/b, pinDir: /sys/fs/bpf/x, node: n, admin: /run/x, flowLog: "
              "\"-\", holdTime: 1s, sidecarHoldTime: 0s, join: \"off\", helper: /run/h, metrics: \":15020\"}"));
    assert_string_equal(s->agent.cgroup, "/a/b");
    assert_string_equal(s->agent.pin_dir, "/sys/fs/bpf/x");
    assert_string_equal(s->agent.node, "n");
    assert_string_equal(s->agent.admin, "/run/x");
    assert_string_equal(s->agent.flow_log, "-");
    assert_string_equal(s->agent.helper, "/run/h");
    assert_string_equal(s->agent.metrics, ":15020");
    assert_int_equal(s->agent.hold_us, 1000000);
    assert_int_equal(s->agent.sidecar_hold_us, 0);
    assert_int_equal(s->agent.join, WEIR_JOIN_MODE_OFF);
    weir_snapshot_unref(s);
}

static void an_agent_never_owns_the_root_cgroup(void **state) {
    conf_refused(AGENT("{}"), "t:3:7: error: spec.cgroup: required, but not given\n");
    conf_refused(AGENT("{cgroup: /}"),
                 "t:3:16: error: spec.cgroup: \"/\" is not a cgroup below the cgroup2 mount: no "
                 "\".\" and \"..\", not the root\n");
    conf_refused(AGENT("{cgroup: \"\"}"),
                 "t:3:16: error: spec.cgroup: \"\" is not a cgroup below the cgroup2 mount: "
                 "no \".\" and \"..\", not the root\n");
    conf_refused(AGENT("{cgroup: a, pinDir: relative, flowLog: x}"),
                 "t:3:27: error: spec.pinDir: \"relative\" is not a path: absolute, without \".\" "
                 "and \"..\", not "
                 "\"/\" itself\n"
                 "t:3:46: error: spec.flowLog: \"x\" is not a path: absolute, without \".\" and "
                 "\"..\", not \"/\" "
                 "itself\n");
}

static void there_is_one_of_each(void **state) {
    conf_refused(
        PROXY("{}") "---\n" PROXY("{}") "---\n" AGENT("{cgroup: a}") "---\n" AGENT("{cgroup: a}"),
        "t:5:1: error: : a second Proxy document; the first is at t:1:1\n"
        "t:13:1: error: : a second Agent document; the first is at t:9:1\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_proxy_document_is_the_default),
        cmocka_unit_test(every_field_of_a_proxy_is_read),
        cmocka_unit_test(dns_and_forwarded_headers_have_defaults_and_are_read),
        cmocka_unit_test(defaults_depend_on_what_the_proxy_is),
        cmocka_unit_test(flags_laid_over_are_settled_again),
        cmocka_unit_test(a_wrong_proxy_is_refused),
        cmocka_unit_test(a_sidecar_without_its_pod_is_warned_about),
        cmocka_unit_test(every_field_of_an_agent_is_read),
        cmocka_unit_test(an_agent_never_owns_the_root_cgroup),
        cmocka_unit_test(there_is_one_of_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
