/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a file of weir inject and as an AdmissionReview. Held: what is printed can be read again; injecting it once more
 * changes nothing; taking the sidecar out of it leaves a text that injects to the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "inject/inject.h"

/* NULL = refused. */
static char *inject(const char *text, size_t len, bool take_out) {
    struct weir_inject_options o = { .image = "weir:1", .remove = take_out };
    struct weir_source source = { "t", text, len };
    struct weir_problems problems = { 0 };
    char *out = NULL;

    assert(weir_inject_text(&o, &source, &out, &problems) == 0);
    assert((out == NULL) == (problems.n > 0));
    weir_problems_deinit(&problems);
    return out;
}

static void review(const uint8_t *data, size_t size) {
    struct weir_inject_options o = { .image = "weir:1" };
    const char *why = NULL;
    char *answer = NULL;

    assert(weir_inject_review(&o, weir_slice_make((const char *)data, size), &answer, &why) == 0);
    assert((answer == NULL) == (why != NULL));
    free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = weir_calloc(size + 1, 1), *once, *twice, *out, *again;

    assert(text);
    memcpy(text, data, size);
    review(data, size);
    once = memchr(text, '\0', size) ? NULL : inject(text, size, false);
    /* A record of what was put in that somebody changed may leave an empty collection behind. */
    if (once && !strstr(text, "weir.dev/injected")) {
        twice = inject(once, strlen(once), false);
        out = inject(once, strlen(once), true);
        assert(twice && out && strcmp(once, twice) == 0);
        again = inject(out, strlen(out), false);
        assert(again && strcmp(again, once) == 0);
        weir_free(twice);
        weir_free(out);
        weir_free(again);
    }
    weir_free(once);
    weir_free(text);
    return 0;
}
