/* SPDX-License-Identifier: Apache-2.0 */
/* What a Pod's annotations ask of its sidecar. */
#include <stdio.h>
#include <string.h>

#include "conf/ports.h"
#include "inject/inject_internal.h"

static const char *member(const struct weir_node *pod, const char *where, const char *key,
                          const struct weir_node **ret_node) {
    const struct weir_node *n =
        weir_node_get(weir_node_get(weir_node_get(pod, "metadata"), where), key);

    if (ret_node)
        *ret_node = n;
    return n && n->type == WEIR_NODE_STRING ? n->text : NULL;
}

const char *weir_inject_annotation(const struct weir_node *pod, const char *key) {
    return member(pod, "annotations", key, NULL);
}

const char *weir_inject_label(const struct weir_node *pod, const char *key) {
    return member(pod, "labels", key, NULL);
}

/* A quantity of Kubernetes (apimachinery resource.Quantity) that is positive: "100m", "1.5", "64Mi". */
static bool is_quantity(const char *s) {
    static const char *const suffixes[] = { "",  "m",  "k",  "M",  "G",  "T",
                                            "P", "Ki", "Mi", "Gi", "Ti", "Pi" };
    size_t whole = strspn(s, "0123456789"), part = 0;
    const char *suffix = s + whole;

    if (*suffix == '.') {
        part = strspn(suffix + 1, "0123456789");
        suffix += 1 + part;
    }
    if (whole + part == 0 || whole + part > 18 || strspn(s, "0.") == (size_t)(suffix - s))
        return false;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suffixes); i++)
        if (strcmp(suffix, suffixes[i]) == 0)
            return true;
    return false;
}

static bool is_level(const char *s) {
    static const char *const levels[] = { "debug", "info", "warn", "error" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(levels); i++)
        if (strcmp(s, levels[i]) == 0)
            return true;
    return false;
}

/* The grammar is the registry's affair; what could not be one name is not let through. */
static bool is_image(const char *s) {
    size_t n = strlen(s);

    return n > 0 && n <= 512 &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:@") == n;
}

static bool is_ports(const char *s) {
    struct weir_port_ranges ranges;

    return weir_parse_port_ranges(s, &ranges) == 0;
}

static const struct rule {
    const char *key;
    bool (*fits)(const char *s);
    const char *what;
    size_t offset; /* of the wish; SIZE_MAX = checked here, obeyed by the agent */
} rules[] = {
    { "weir.dev/proxy-image", is_image, "the name of an image",
      offsetof(struct weir_inject_wishes, image) },
    { "weir.dev/proxy-log-level", is_level, "debug, info, warn or error",
      offsetof(struct weir_inject_wishes, log_level) },
    { "weir.dev/proxy-cpu", is_quantity, "a quantity like \"100m\"",
      offsetof(struct weir_inject_wishes, cpu) },
    { "weir.dev/proxy-cpu-limit", is_quantity, "a quantity like \"1\"",
      offsetof(struct weir_inject_wishes, cpu_limit) },
    { "weir.dev/proxy-memory", is_quantity, "a quantity like \"64Mi\"",
      offsetof(struct weir_inject_wishes, memory) },
    { "weir.dev/proxy-memory-limit", is_quantity, "a quantity like \"256Mi\"",
      offsetof(struct weir_inject_wishes, memory_limit) },
    { "weir.dev/skip-inbound-ports", is_ports, "ports like \"22,8000-8010\"", SIZE_MAX },
    { "weir.dev/skip-outbound-ports", is_ports, "ports like \"22,8000-8010\"", SIZE_MAX },
    { "weir.dev/opaque-ports", is_ports, "ports like \"22,8000-8010\"", SIZE_MAX },
};

int weir_inject_error(struct weir_inject *in, const struct weir_node *n, const char *field,
                      const char *fmt, ...) {
    struct weir_problem_at at = {
        .severity = WEIR_SEVERITY_ERROR,
        .source = in->source,
        .place = { in->file, n->line, n->col },
        .field = field,
    };
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = weir_problem_addv(in->problems, &at, fmt, ap);
    va_end(ap);
    return r;
}

bool weir_inject_wishes(struct weir_inject *in, const struct weir_node *pod,
                        struct weir_inject_wishes *wishes, int *ret_r) {
    bool good = true;

    *wishes = (struct weir_inject_wishes){ 0 };
    *ret_r = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rules) && *ret_r == 0; i++) {
        const struct weir_node *n;
        const char *text = member(pod, "annotations", rules[i].key, &n);

        if (n && !(text && rules[i].fits(text))) {
            char field[96];

            snprintf(field, sizeof(field), "metadata.annotations.%s", rules[i].key);
            *ret_r = weir_inject_error(in, n, field, "\"%.64s\" is not %s", n->text ? n->text : "",
                                       rules[i].what);
            good = false;
        } else if (text && rules[i].offset != SIZE_MAX) {
            *(const char **)((char *)wishes + rules[i].offset) = text;
        }
    }
    return good && *ret_r == 0;
}
