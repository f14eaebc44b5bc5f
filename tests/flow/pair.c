/* SPDX-License-Identifier: Apache-2.0 */
#include "pair.h"

#include "weir_mint.h"

#define POD(name, ip)                                                                              \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name                                            \
    ", namespace: default, labels: {app: " name                                                    \
    "}, annotations: {weir.dev/mode: sidecar}}\nspec: {serviceAccountName: " name                  \
    ", containers: [{name: c, ports: [{containerPort: 8080}]}]}\nstatus: {podIP: " ip "}\n---\n"
#define WORLD                                                                                      \
    POD("web", "10.1.0.1")                                                                         \
    POD("v1", "10.1.0.2")                                                                          \
    "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: default}\nspec: {clusterIP: " \
    "10.96.0.10, ports: [%s]}\n---\napiVersion: discovery.k8s.io/v1\nkind: "                       \
    "EndpointSlice\nmetadata: "                                                                    \
    "{name: api-1, namespace: default, labels: {kubernetes.io/service-name: api}}\naddressType: "  \
    "IPv4\nports: [{name: %.*s, port: 8080}]\nendpoints: [{addresses: [10.1.0.2]}]\n---\n"         \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: {pod: default/%s}\n"   \
    "---\n%s"

static struct weir_tls_ctx *context(enum weir_tls_mode mode, const struct mint *svid,
                                    const struct mint *ca, struct weir_slice alpn) {
    struct weir_tls_params params = {
        .mode = mode,
        .trust_domain = "cluster.local",
        .alpn = alpn,
        .material = { weir_slice_from_str(svid->cert_pem), weir_slice_from_str(svid->key_pem),
                      weir_slice_from_str(ca->cert_pem) },
    };
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";

    if (weir_tls_ctx_new(&params, &ctx, &why) != 0)
        fail_msg("TLS context: %s", why);
    return ctx;
}

static void start(struct flow *f, enum weir_direction dir, const char *yaml, const char *name,
                  const struct mint *ca) {
    char uri[128];
    struct mint svid;
    struct weir_tls_set set = { 0 };

    snprintf(uri, sizeof(uri), "spiffe://cluster.local/ns/default/sa/%s", name);
    svid = mint_svid(uri, ca);
    set.mesh_server =
        context(WEIR_TLS_MESH_SERVER, &svid, ca, WEIR_SLICE("\x07weir-h2\x08weir-tcp"));
    set.mesh_client = context(WEIR_TLS_MESH_CLIENT, &svid, ca, WEIR_SLICE("\x07weir-h2"));
    set.mesh_client_tcp = context(WEIR_TLS_MESH_CLIENT, &svid, ca, WEIR_SLICE("\x08weir-tcp"));
    flow_start_tls(f, dir, yaml, &set);
    mint_free(&svid);
}

void pair_start(struct pair *p, const char *port, const char *more) {
    pair_start_as(p, port, more, "web", "v1");
}

void pair_start_as(struct pair *p, const char *port, const char *more, const char *web,
                   const char *v1) {
    struct mint ca = mint_ca("mesh");
    const char *name = strstr(port, "name: ") + 6;

    memset(p, 0, sizeof(*p));
    snprintf(p->out_yaml, sizeof(p->out_yaml), WORLD, port, (int)strcspn(name, ",}"), name, "web",
             more);
    start(&p->out, WEIR_DIR_OUTBOUND, p->out_yaml, web, &ca);
    snprintf(p->in_yaml, sizeof(p->in_yaml), WORLD, port, (int)strcspn(name, ",}"), name, "v1",
             more);
    start(&p->in, WEIR_DIR_INBOUND, p->in_yaml, v1, &ca);
    mint_free(&ca);
}

void pair_end(struct pair *p) {
    flow_end(&p->out);
    flow_end(&p->in);
}

/* The wire between the two: v1's sidecar gets what is sent to v1, its application what that sidecar dials. */
static bool connect_new(struct pair *p) {
    struct mem_conn *a = mem_next_dial(p->out.net), *b;

    if (!a)
        return false;
    assert_true(p->n_links < PAIR_LINKS);
    assert_int_equal(mem_dial(a)->port, 8080);
    mem_dial_accept(a);
    b = flow_client(&p->in);
    weir_parse_ip("10.1.0.1", &mem_info(b)->remote);
    weir_parse_ip("10.1.0.2", &mem_info(b)->local);
    mem_info(b)->local_port = 8080;
    p->links[p->n_links].a = a;
    p->links[p->n_links++].b = b;
    return true;
}

static size_t carry(struct pair *p, struct mem_conn *from, struct mem_conn *to, bool *eof) {
    size_t n = mem_received_len(from);

    if (n && *eof) { /* the wire is cut already */
        mem_received_clear(from);
        return 0;
    }
    if (n) {
        if (p->needle && memmem(mem_received(from), n, p->needle, strlen(p->needle)))
            p->found = true;
        mem_send_bytes(to, mem_received(from), n);
        mem_received_clear(from);
    }
    if ((mem_got_eof(from) || mem_got_reset(from)) && !*eof) {
        *eof = true;
        if (mem_got_reset(from))
            mem_reset(to);
        else
            mem_shutdown(to);
        return n + 1;
    }
    return n;
}

void pair_run(struct pair *p) {
    bool moved = true;

    while (moved) {
        mem_run(p->out.net);
        mem_run(p->in.net);
        moved = connect_new(p);
        for (uint32_t i = 0; i < p->n_links; i++) {
            size_t n = carry(p, p->links[i].a, p->links[i].b, &p->links[i].a_eof) +
                       carry(p, p->links[i].b, p->links[i].a, &p->links[i].b_eof);

            p->links[i].n += n;
            moved = moved || n > 0;
        }
    }
}

void pair_advance(struct pair *p, uint64_t us) {
    mem_advance(p->out.net, us);
    mem_advance(p->in.net, us);
    pair_run(p);
}

struct mem_conn *pair_client(struct pair *p) {
    struct mem_conn *c = flow_client(&p->out);

    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.10", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

struct mem_conn *pair_server(struct pair *p) {
    struct mem_conn *s;

    pair_run(p);
    s = mem_next_dial(p->in.net);
    assert_non_null(s);
    mem_dial_accept(s);
    pair_run(p);
    return s;
}

void pair_send(struct pair *p, struct mem_conn *c, const char *text) {
    mem_send(c, text);
    pair_run(p);
}
