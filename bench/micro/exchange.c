/* SPDX-License-Identifier: Apache-2.0 */
/*
 * N requests through the whole core over memory streams, for callgrind (bench/micro/run.sh): a reverse proxy, one keep-alive
 * connection on each side, steady after the first few. What it costs here is weir's own work, without kernel and without noise.
 * In the cases routes-M it is a sidecar, and M HTTPRoutes are attached to the service called; requests go round ten of them.
 * In the case pair they go through two sidecars with mutual TLS between them, from ten clients at a time.
 *
 *     exchange CASE N
 *     exchange --reload M    how long a configuration of M routes takes until it can be put in force
 *
 * It ends with 1 when an answer is not the expected one.
 */
#include "weir_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../tests/flow/pair.h"

#define REQUEST_LINE "GET /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"

struct script {
    const char *name, *yaml;
    const char *request, *response;
    size_t content; /* bytes sent behind the response's head */
    bool log;
    unsigned routes;  /* 0 = a reverse proxy */
    unsigned clients; /* of a pair of sidecars; 0 = one proxy */
};

/* What wrk asks and nginx answers. */
static const char wrk_request[] = REQUEST_LINE "\r\n";
static const char nginx_response[] =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 15:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nhello, "
    "world\n";
static const char browser_request[] = REQUEST_LINE
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://example.com/index.html\r\nConnection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n"
    "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\nPriority: u=0, i\r\n\r\n";
static const char post_request[] =
    "POST /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
    "Content-Length: 16\r\n\r\n{\"answer\": \"42\"}";
static const char chunked_response[] =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 15:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
    "d\r\nhello, world\n\r\n0\r\n\r\n";
static const char long_response[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 65536\r\n\r\n";

static const struct script scripts[] = {
    { .name = "h1", .request = wrk_request, .response = nginx_response },
    { .name = "h1-browser", .request = browser_request, .response = nginx_response },
    { .name = "h1-log", .request = wrk_request, .response = nginx_response, .log = true },
    { .name = "h1-post", .request = post_request, .response = nginx_response },
    { .name = "h1-chunked", .request = wrk_request, .response = chunked_response },
    { .name = "h1-64k", .request = wrk_request, .response = long_response, .content = 65536 },
    { .name = "pair", .request = wrk_request, .response = nginx_response, .clients = 10 },
    { .name = "routes-10", .response = nginx_response, .routes = 10 },
    { .name = "routes-1000", .response = nginx_response, .routes = 1000 },
    { .name = "routes-10000", .response = nginx_response, .routes = 10000 },
};

#define N_REQUESTS 10u
static char requests[N_REQUESTS][160];

/* What every route says; ten routes share a host name. */
static char *routes_yaml(unsigned n) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    fputs("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c}]}\n"
          "status: {podIP: 10.1.0.1}\n---\n"
          "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec: {pod: default/web}\n---\n"
          "apiVersion: v1\nkind: Service\nmetadata: {name: api}\n"
          "spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}\n---\n"
          "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: api-1, labels: "
          "{kubernetes.io/service-name: api}}\naddressType: IPv4\n"
          "ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.1.0.2]}]\n",
          f);
    for (unsigned i = 0; i < n; i++)
        fprintf(f,
                "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
                "metadata: {name: r%u}\nspec:\n"
                "  parentRefs: [{kind: Service, group: \"\", name: api, port: 80}]\n"
                "  hostnames: [host-%05u.example.com]\n"
                "  rules:\n  - matches: [{path: {value: /team/app-%05u}}]\n"
                "    backendRefs: [{name: api, port: 80}]\n",
                i, i / 10, i);
    fclose(f);
    return text;
}

static void make_requests(const struct script *s) {
    for (unsigned i = 0; i < N_REQUESTS; i++) {
        unsigned route = s->routes ? i * (s->routes - 1) / (N_REQUESTS - 1) : 0;

        snprintf(requests[i], sizeof(requests[i]),
                 "GET /team/app-%05u/items/42 HTTP/1.1\r\nHost: host-%05u.example.com\r\n\r\n",
                 route, route / 10);
    }
}

static struct mem_conn *client_of(struct flow *f, const struct script *s) {
    struct mem_conn *c = flow_client(f);

    if (s->routes) {
        mem_info(c)->has_original = true;
        weir_parse_ip("10.96.0.10", &mem_info(c)->original);
        mem_info(c)->original_port = 80;
    }
    return c;
}

static char content[65536];

/* Blocks are used again, as in the process; tests give all of them back to find what is used too long. */
static void keep_blocks(struct flow *f) {
    f->worker.pool->max_free = 256;
}

static bool once(struct flow *f, struct mem_conn *client, struct mem_conn *server,
                 const struct script *s, const char *request, size_t answer) {
    bool right;

    mem_received_clear(server);
    mem_received_clear(client);
    mem_send(client, request);
    mem_run(f->net);
    mem_send(server, s->response);
    if (s->content)
        mem_send_bytes(server, content, s->content);
    mem_run(f->net);
    weir_bufq_clear(&f->lines);
    right = mem_received_len(server) > 0 && mem_received_len(client) >= answer;
    if (!right)
        fprintf(stderr, "exchange: no answer; the server got %zu bytes, the client %zu\n",
                mem_received_len(server), mem_received_len(client));
    return right;
}

static bool run(const struct script *s, unsigned long n) {
    char *yaml = s->routes ? routes_yaml(s->routes) : NULL;
    struct mem_conn *client, *server;
    struct flow f;
    size_t answer;
    bool right = true;

    make_requests(s);
    if (s->routes)
        flow_start(&f, WEIR_DIR_OUTBOUND, yaml);
    else
        flow_reverse(&f, s->yaml ? s->yaml : "");
    free(yaml);
    keep_blocks(&f);
    if (!s->log)
        f.worker.access_sink = NULL;
    mem_buffer_size(f.net, 256 * 1024);
    client = client_of(&f, s);
    flow_send(&f, client, s->routes ? requests[0] : s->request);
    server = flow_server(&f);
    mem_send(server, s->response);
    if (s->content)
        mem_send_bytes(server, content, s->content);
    mem_run(f.net);
    answer = mem_received_len(client);
    flow_expect_starts(client, "HTTP/1.1 200 ");
    for (unsigned long i = 0; i < n && right; i++)
        right =
            once(&f, client, server, s, s->routes ? requests[i % N_REQUESTS] : s->request, answer);
    flow_end(&f);
    return right;
}

#define CLIENTS_MAX 10u

/* One request of each client. */
static bool all_once(struct pair *p, const struct script *s, struct mem_conn *const *clients,
                     struct mem_conn *const *servers, size_t answer) {
    bool right = true;

    for (unsigned i = 0; i < s->clients; i++) {
        mem_received_clear(servers[i]);
        mem_received_clear(clients[i]);
        mem_send(clients[i], s->request);
    }
    pair_run(p);
    for (unsigned i = 0; i < s->clients; i++) {
        right = right && mem_received_len(servers[i]) > 0;
        mem_send(servers[i], s->response);
    }
    pair_run(p);
    for (unsigned i = 0; i < s->clients; i++)
        right = right && mem_received_len(clients[i]) >= answer;
    if (!right)
        fprintf(stderr, "exchange: not every client was answered\n");
    return right;
}

static bool run_pair(const struct script *s, unsigned long n) {
    struct mem_conn *clients[CLIENTS_MAX], *servers[CLIENTS_MAX];
    static struct pair p;
    size_t answer;
    bool right = true;

    pair_start(&p, "{name: http, port: 80}", "");
    keep_blocks(&p.out);
    keep_blocks(&p.in);
    p.out.worker.access_sink = p.in.worker.access_sink = NULL;
    for (unsigned i = 0; i < s->clients; i++) {
        clients[i] = pair_client(&p);
        pair_send(&p, clients[i], s->request);
        servers[i] = pair_server(&p);
    }
    for (unsigned i = 0; i < s->clients; i++)
        pair_send(&p, servers[i], s->response);
    answer = mem_received_len(clients[0]);
    flow_expect_starts(clients[0], "HTTP/1.1 200 ");
    for (unsigned long i = 0; i < n && right; i += s->clients)
        right = all_once(&p, s, clients, servers, answer);
    pair_end(&p);
    return right;
}

static double seconds(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* From text to a runtime that workers could take, and until they have taken it. */
static int reload(unsigned n) {
    char *yaml = routes_yaml(n);
    double begin, built;
    struct weir_runtime *rt;
    struct flow f;

    flow_start(&f, WEIR_DIR_OUTBOUND, yaml);
    begin = seconds();
    rt = flow_runtime(&f, yaml);
    built = seconds();
    weir_worker_offer(&f.worker, rt);
    mem_post(f.net);
    flow_run(&f);
    printf(
        "%u routes: %.0f ms to read, check and compile %zu bytes, %.1f ms until a worker has it\n",
        n, (built - begin) * 1e3, strlen(yaml), (seconds() - built) * 1e3);
    flow_end(&f);
    free(yaml);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(scripts); i++)
            puts(scripts[i].name);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--reload") == 0)
        return reload((unsigned)strtoul(argv[2], NULL, 10));
    for (size_t i = 0; argc == 3 && i < WEIR_ARRAY_LEN(scripts); i++)
        if (strcmp(scripts[i].name, argv[1]) == 0)
            return (scripts[i].clients ? run_pair : run)(&scripts[i], strtoul(argv[2], NULL, 10))
                       ? 0
                       : 1;
    fprintf(stderr, "usage: exchange CASE N | --reload ROUTES | --list\n");
    return 2;
}
