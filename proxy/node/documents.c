/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sidecars and tenants' workers are told of the configuration: the documents, as JSON, without those that hold keys, are
 * the node's own (Secret, Gateway, Agent) or the kernel's alone (EgressPolicy). Tenants get it in memory that nobody can write
 * to any more, since all of them read the same.
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
    static const char *const kinds[] = { "Secret",       "SecretList",      "Agent",
                                         "GatewayList",  "Gateway",         "GatewayClass",
                                         "EgressPolicy", "EgressPolicyList" };

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

static int add_document(const struct weir_node *n, void *arg) {
    struct weir_documents *list = arg;
    const struct weir_node *kind = weir_node_get(n, "kind"), *items = weir_node_get(n, "items");
    const char *text = kind && kind->type == WEIR_NODE_STRING ? kind->text : "";
    struct weir_textbuf out = { 0 };
    int r = 0;

    if (is_withheld(text))
        return 0;
    if (ends_with(text, "List") && items && items->type == WEIR_NODE_LIST) {
        WEIR_NODE_FOREACH(it, items)
        r = r ? r : add_document(it, list);
        return r;
    }
    write_value(&out, n);
    r = out.failed ? -ENOMEM : weir_documents_add(list, weir_slice_make(out.ptr, out.len));
    weir_textbuf_deinit(&out);
    return r;
}

static int write_all(int fd, const char *text, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, text, len);

        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

int weir_documents_open(const struct weir_documents *list) {
    static const char separator[] = "\n---\n";
    int fd = memfd_create("weir-documents", MFD_CLOEXEC | MFD_ALLOW_SEALING), r = 0;

    if (fd < 0)
        return -errno;
    for (uint32_t i = 0; r == 0 && i < list->n; i++) {
        r = write_all(fd, list->items[i]->text, list->items[i]->len);
        if (r == 0)
            r = write_all(fd, separator, sizeof(separator) - 1);
    }
    if (r == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        r = -errno;
    if (r)
        close(fd);
    return r ? r : fd;
}

int weir_documents_build(const struct weir_source *sources, size_t n,
                         struct weir_documents **ret_list) {
    struct weir_documents *list = weir_documents_new();
    struct weir_problem_sink problems = { 0 };
    int r = list ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < n; i++) {
        const struct weir_load load = { .source = &sources[i],
                                        .index = (uint32_t)i,
                                        .file = sources[i].name,
                                        .problems = &problems,
                                        .fn = add_document,
                                        .arg = list };

        r = weir_load(&load);
    }
    weir_problem_sink_deinit(&problems);
    if (r == 0)
        r = weir_documents_seal(list);
    if (r)
        weir_documents_unref(list);
    else
        *ret_list = list;
    return r;
}
