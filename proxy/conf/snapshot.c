/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From texts to a published configuration: runs loader, decoders and linking in order, keeps the
 * first error from becoming a snapshot, and owns the snapshot's life. All that a snapshot holds
 * lies in its arena; it is never changed after weir_snapshot_build returned it (the publisher sets
 * the generation before sharing it).
 */
#include "conf/snapshot.h"

#include <string.h>

#include "base/mem.h"
#include "conf/build.h"
#include "conf/index.h"

#define SNAPSHOT_BLOCK 65536
#define MAX_INPUT      ((size_t)64 * 1024 * 1024)

struct weir_snapshot *weir_snapshot_ref(struct weir_snapshot *s) {
    weir_ref_inc(&s->ref);
    return s;
}

struct weir_snapshot *weir_snapshot_unref(struct weir_snapshot *s) {
    if (s != NULL && weir_ref_dec(&s->ref)) {
        weir_index_deinit(s->index);
        weir_arena_deinit(&s->arena);
        weir_free(s);
    }
    return NULL;
}

static struct weir_snapshot *snapshot_new(void) {
    struct weir_snapshot *s = weir_calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    weir_ref_init(&s->ref);
    weir_arena_init(&s->arena, SNAPSHOT_BLOCK);
    weir_proxy_spec_default(&s->proxy);
    weir_agent_spec_default(&s->agent);
    s->index = weir_index_new(s);
    return s->index == NULL ? weir_snapshot_unref(s) : s;
}

static void build_init(struct weir_build *b, struct weir_snapshot *s) {
    *b = (struct weir_build){ .snapshot = s };
    weir_arena_init(&b->arena, SNAPSHOT_BLOCK);
    uint64_t seed[2] = { (uint64_t)(uintptr_t)s, (uint64_t)(uintptr_t)b };
    weir_htab_init(&b->seen, seed);
    for (unsigned i = 0; i < WEIR_KINDS; i++) {
        b->drafts[i].tail = &b->drafts[i].first;
    }
}

static void build_deinit(struct weir_build *b) {
    weir_htab_deinit(&b->seen);
    weir_arena_deinit(&b->arena);
    weir_problem_sink_deinit(&b->problems);
}

struct document_arg {
    struct weir_build *build;
    struct weir_dec *dec;
};

static int on_document(const struct weir_node *root, void *arg) {
    struct document_arg *document = arg;

    return weir_build_document(document->build, document->dec, root);
}

static int read_source(struct weir_build *b, const struct weir_source *source, uint32_t index) {
    bool std_input = strcmp(source->name, "-") == 0;
    const char *name = std_input ? "<stdin>" : source->name;
    const char *file = weir_arena_printf(&b->snapshot->arena, "%s", name);
    struct weir_dec dec = {
        .arena = &b->snapshot->arena, .problems = &b->problems, .file = file, .source = index
    };
    struct document_arg arg = { b, &dec };
    struct weir_load load = { .source = source,
                              .index = index,
                              .file = file,
                              .problems = &b->problems,
                              .fn = on_document,
                              .arg = &arg };

    return file == NULL ? -ENOMEM : weir_load(&load);
}

static int check_size(struct weir_build *b, const struct weir_source *sources, size_t n_sources,
                      bool *ret_fits) {
    size_t left = MAX_INPUT;

    *ret_fits = true;
    for (size_t i = 0; i < n_sources; i++) {
        if (sources[i].len > left) {
            struct weir_problem_at at = {
                .severity = WEIR_SEVERITY_ERROR,
                .source = (uint32_t)i,
                .place = { .file = sources[i].name },
                .field = "",
            };
            *ret_fits = false;
            return weir_problem_add(&b->problems, &at, "the input is larger than %zu MiB",
                                    MAX_INPUT >> 20);
        }
        left -= sources[i].len;
    }
    return 0;
}

static int build(struct weir_build *b, const struct weir_source *sources, size_t n_sources) {
    bool fits;
    int r = check_size(b, sources, n_sources, &fits);

    for (size_t i = 0; r == 0 && fits && i < n_sources; i++) {
        r = read_source(b, &sources[i], (uint32_t)i);
    }
    if (r == 0 && b->problems.n_errors == 0) {
        r = weir_build_link(b);
    }
    return r;
}

int weir_snapshot_build(const struct weir_source *sources, size_t n_sources,
                        struct weir_snapshot **ret_snapshot, struct weir_problems *ret_problems) {
    struct weir_problems problems = { 0 };
    struct weir_snapshot *s = snapshot_new();
    struct weir_build b;

    *ret_problems = problems;
    if (s == NULL) {
        return -ENOMEM;
    }
    build_init(&b, s);
    int r = build(&b, sources, n_sources);
    bool refused = b.problems.n_errors > 0;
    if (r == 0) {
        r = weir_problem_finish(&b.problems, &problems);
    }
    build_deinit(&b);
    if (r != 0 || refused) {
        weir_snapshot_unref(s);
    } else {
        *ret_snapshot = s;
    }
    *ret_problems = problems;
    return r != 0 ? r : refused ? WEIR_CONF_REFUSED : 0;
}
