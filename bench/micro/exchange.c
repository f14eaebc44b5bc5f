/* SPDX-License-Identifier: Apache-2.0 */
/*
 * N requests through the whole core over memory streams, for callgrind (bench/micro/run.sh): a reverse proxy, one keep-alive
 * connection on each side, steady after the first few. What it costs here is weir's own work, without kernel and without noise.
 *
 *     exchange CASE N
 *
 * It ends with 1 when an answer is not the expected one.
 */
#include "weir_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../tests/flow/flow.h"

#define REQUEST_LINE "GET /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"

struct script {
    const char *name, *yaml;
    const char *request, *response;
    size_t content; /* bytes sent behind the response's head */
    bool log;
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
};

static char content[65536];

static bool once(struct flow *f, struct mem_conn *client, struct mem_conn *server,
                 const struct script *s, size_t answer) {
    bool right;

    mem_received_clear(server);
    mem_received_clear(client);
    mem_send(client, s->request);
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
    struct mem_conn *client, *server;
    struct flow f;
    size_t answer;
    bool right = true;

    flow_reverse(&f, s->yaml ? s->yaml : "");
    if (!s->log)
        f.worker.access_sink = NULL;
    mem_buffer_size(f.net, 256 * 1024);
    client = flow_client(&f);
    flow_send(&f, client, s->request);
    server = flow_server(&f);
    mem_send(server, s->response);
    if (s->content)
        mem_send_bytes(server, content, s->content);
    mem_run(f.net);
    answer = mem_received_len(client);
    flow_expect_starts(client, "HTTP/1.1 200 ");
    for (unsigned long i = 0; i < n && right; i++)
        right = once(&f, client, server, s, answer);
    flow_end(&f);
    return right;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(scripts); i++)
            puts(scripts[i].name);
        return 0;
    }
    for (size_t i = 0; argc == 3 && i < WEIR_ARRAY_LEN(scripts); i++)
        if (strcmp(scripts[i].name, argv[1]) == 0)
            return run(&scripts[i], strtoul(argv[2], NULL, 10)) ? 0 : 1;
    fprintf(stderr, "usage: exchange CASE N | --list\n");
    return 2;
}
