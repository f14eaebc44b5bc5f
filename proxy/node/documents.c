/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tenants' workers are told of the configuration: the documents, as JSON, without those that hold keys or are the
 * node's own (Secret, Gateway, Agent). In memory that nobody can write to any more, since all tenants read the same.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/node.h"
#include "node/tenants.h"

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_withheld(const char *kind) {
    static const char *const kinds[] = { "Secret",      "SecretList", "Agent",
                                         "GatewayList", "Gateway",    "GatewayClass" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

/* UTF-8 as it is. */
static void write_string(struct weir_textbuf *out, const char *s) {
    weir_textbuf_add(out, "\"", 1);
    while (*s) {
        size_t n = 0;

        while (s[n] && s[n] != '"' && s[n] != '\\' && (uint8_t)s[n] >= 0x20 && s[n] != 0x7f)
            n++;
        weir_textbuf_add(out, s, n);
        s += n;
        if (*s)
            weir_textbuf_printf(out, "\\u%04x", (unsigned)(uint8_t)*s++);
    }
    weir_textbuf_add(out, "\"", 1);
}

static void write_value(struct weir_textbuf *out, const struct weir_node *n) {
    bool map = n->type == WEIR_NODE_MAP, first = true;

    switch (n->type) {
    case WEIR_NODE_NULL:
        weir_textbuf_add(out, "null", 4);
        return;
    case WEIR_NODE_BOOL:
        weir_textbuf_printf(out, "%s", n->truth ? "true" : "false");
        return;
    case WEIR_NODE_INT:
        weir_textbuf_printf(out, "%lld", (long long)n->number);
        return;
    case WEIR_NODE_FLOAT:
        weir_textbuf_printf(out, "%s", n->text);
        return;
    case WEIR_NODE_STRING:
        write_string(out, n->text);
        return;
    default:
        break;
    }
    weir_textbuf_add(out, map ? "{" : "[", 1);
    WEIR_NODE_FOREACH(it, n) {
        if (!first)
            weir_textbuf_add(out, ",", 1);
        first = false;
        if (map) {
            write_string(out, it->key);
            weir_textbuf_add(out, ":", 1);
        }
        write_value(out, it);
    }
    weir_textbuf_add(out, map ? "}" : "]", 1);
}

static int write_document(const struct weir_node *n, void *arg) {
    struct weir_textbuf *out = arg;
    const struct weir_node *kind = weir_node_get(n, "kind"), *items = weir_node_get(n, "items");
    const char *text = kind && kind->type == WEIR_NODE_STRING ? kind->text : "";

    if (is_withheld(text))
        return 0;
    if (ends_with(text, "List") && items && items->type == WEIR_NODE_LIST) {
        WEIR_NODE_FOREACH(it, items)
        (void)write_document(it, out);
        return 0;
    }
    weir_textbuf_add(out, "---\n", 4);
    write_value(out, n);
    weir_textbuf_add(out, "\n", 1);
    return out->failed ? -ENOMEM : 0;
}

static int seal(const struct weir_textbuf *out) {
    int fd = memfd_create("weir-documents", MFD_CLOEXEC | MFD_ALLOW_SEALING), r = 0;
    size_t done = 0;

    if (fd < 0)
        return -errno;
    while (r == 0 && done < out->len) {
        ssize_t n = write(fd, out->ptr + done, out->len - done);

        if (n < 0)
            r = -errno;
        else
            done += (size_t)n;
    }
    if (r == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        r = -errno;
    if (r)
        close(fd);
    return r ? r : fd;
}

int weir_documents_new(const struct weir_source *sources, size_t n) {
    struct weir_problem_sink problems = { 0 };
    struct weir_textbuf out = { 0 };
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        const struct weir_load load = { .source = &sources[i],
                                        .index = (uint32_t)i,
                                        .file = sources[i].name,
                                        .problems = &problems,
                                        .fn = write_document,
                                        .arg = &out };

        r = weir_load(&load);
    }
    weir_problem_sink_deinit(&problems);
    if (r == 0)
        r = out.failed ? -ENOMEM : seal(&out);
    weir_textbuf_deinit(&out);
    return r;
}
