/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts weir's sidecar into Pods and into what makes Pods, and takes it out again: one decision, told
 * as a list of edits, that `weir inject` carries out on the text of a file and `weir webhook` answers
 * as a JSON Patch (RFC 6902).
 */
#ifndef WEIR_INJECT_INJECT_H
#define WEIR_INJECT_INJECT_H

#include <jansson.h>

#include "conf/node.h"

#define WEIR_INJECT_CONTAINER "weir-proxy"

struct weir_inject_options {
    const char *image; /* of the sidecar, where the Pod names none */
    bool remove;       /* take out instead */
    /* weir_inject_text: one line per object that makes Pods, for a human ("Deployment shop/web: injected"),
     * borrowed for the call. NULL = nobody listens. */
    void (*note)(void *arg, const char *line);
    void *note_arg;
};

/*
 * One change. Members are added in front of the others, elements in front of the list; what is
 * removed was put there by an edit of the other kind.
 */
struct weir_edit {
    const struct weir_node *parent; /* object or list */
    const char *path;               /* JSON Pointer (RFC 6901) of the member or element itself */
    const char *key;                /* of the member; NULL = an element */
    const struct weir_node
        *old;      /* is there already: a null to put `value` in place of, or what is removed */
    json_t *value; /* owned; NULL = remove `old` */
};

enum weir_inject_outcome {
    WEIR_INJECT_UNCHANGED, /* `why` says why */
    WEIR_INJECT_CHANGED,
    WEIR_INJECT_REFUSED, /* the problems say why */
};

struct weir_inject_result {
    enum weir_inject_outcome outcome;
    const char *why; /* static, or in the arena */
    struct weir_edit *edits;
    size_t n_edits, cap_edits;
};

/* What the edits and messages live in, and who is told of what is wrong. */
struct weir_inject {
    const struct weir_inject_options *options;
    struct weir_arena *arena;
    struct weir_problem_sink *problems;
    const char *file;
    uint32_t source;
};

/*
 * Decides about one Pod or Pod template. `at` is its JSON Pointer in the document ("" for a Pod). 0 or
 * -ENOMEM; *result is zeroed or holds the edits of other Pods of the same text, which stay.
 */
int weir_inject_pod(struct weir_inject *in, const struct weir_node *pod, const char *at,
                    struct weir_inject_result *result);
void weir_inject_result_deinit(struct weir_inject_result *result);

/*
 * A whole text, YAML or JSON, of any number of documents. What is not changed stays byte for byte,
 * comments and order included. 0: *ret_text (heap, NUL-terminated) unless problems hold an error, then
 * NULL. -ENOMEM.
 */
int weir_inject_text(const struct weir_inject_options *options, const struct weir_source *source,
                     char **ret_text, struct weir_problems *ret_problems);

/*
 * The answer to an AdmissionReview (admission.k8s.io/v1) of the given JSON text: *ret_json (for free(),
 * NUL-terminated). A review that says nothing that could be answered: *ret_json NULL and *ret_why
 * (static) says what is wrong. 0 or -ENOMEM.
 */
int weir_inject_review(const struct weir_inject_options *options, struct weir_slice body,
                       char **ret_json, const char **ret_why);

#endif
