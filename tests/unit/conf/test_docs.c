/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/configuration.md against the decoders' tables and against the decoder itself: every object's list of fields is
 * there word for word, and every example in it is accepted without a word.
 */
#include "conf/build.h"

#include "conf_test.h"

static char *read_docs(void) {
    FILE *f = fopen(WEIR_SOURCE_ROOT "/docs/configuration.md", "r");
    char *text = NULL;
    size_t len = 0;

    assert_non_null(f);
    assert_true(getdelim(&text, &len, '\0', f) > 0);
    fclose(f);
    return text;
}

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_fields(FILE *f, const struct weir_object *object, enum weir_field_use use,
                        const char *title) {
    const char *keys[64];
    size_t n = 0;

    for (uint32_t i = 0; i < object->n_fields; i++) {
        if (object->fields[i].use == use) {
            assert_true(n < WEIR_ARRAY_LEN(keys));
            keys[n++] = object->fields[i].key;
        }
    }
    if (n == 0) {
        return;
    }
    qsort(keys, n, sizeof(keys[0]), compare);
    fprintf(f, "- %s:", title);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, " `%s`%s", keys[i], i + 1 < n ? "," : "\n");
    }
}

/* What the document must say about one object; free() it. */
static char *section(const struct weir_object *object) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    fprintf(f, "`%s`\n", object->name);
    list_fields(f, object, WEIR_FIELD_DECODED, "read");
    list_fields(f, object, WEIR_FIELD_NO_EFFECT, "no effect");
    list_fields(f, object, WEIR_FIELD_UNSUPPORTED, "refused");
    if (object->lenient) {
        fprintf(f, "- no effect: every other field\n");
    }
    fprintf(f, "\n");
    fclose(f);
    return text;
}

static void the_lists_of_fields_are_those_of_the_tables(void **state) {
    const struct weir_object *const *const rooms[] = {
        weir_objects_meta(),    weir_objects_core(),   weir_objects_pod(),
        weir_objects_route(),   weir_objects_filter(), weir_objects_cors(),
        weir_objects_grpc(),    weir_objects_grant(),  weir_objects_gateway(),
        weir_objects_policy(),  weir_objects_weir(),   weir_objects_route_policy(),
        weir_objects_backend(), weir_objects_egress(), weir_objects_authz(),
        weir_objects_session(), weir_objects_tls(),    weir_objects_secret(),
    };
    char *docs = read_docs();
    unsigned missing = 0;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rooms); i++) {
        for (const struct weir_object *const *object = rooms[i]; *object != NULL; object++) {
            char *text = section(*object);
            if (strstr(docs, text) == NULL) {
                print_error("%s", text);
                missing++;
            }
            free(text);
        }
    }
    free(docs);
    if (missing > 0) {
        fail_msg("the sections above are not in docs/configuration.md as they should be");
    }
}

static void the_examples_are_accepted(void **state) {
    static const char fence[] = "\n```yaml\n";
    char *docs = read_docs();
    unsigned n = 0;

    for (char *p = strstr(docs, fence); p != NULL; p = strstr(p, fence)) {
        p += sizeof(fence) - 1;
        char *end = strstr(p, "\n```\n");
        assert_non_null(end);
        *end = '\0';
        weir_snapshot_unref(conf_build(p));
        p = end + 1;
        n++;
    }
    free(docs);
    assert_true(n >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lists_of_fields_are_those_of_the_tables),
        cmocka_unit_test(the_examples_are_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
