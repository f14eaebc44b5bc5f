/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#include "conf/node.h"

/* Prints the tree as one line with the place of every value and key: the loader's whole answer. */
static void print(FILE *f, const struct weir_node *n) {
    fprintf(f, "%u:%u", n->line, n->col);
    switch (n->type) {
    case WEIR_NODE_LIST:
        fprintf(f, "[");
        WEIR_NODE_FOREACH(it, n) {
            fprintf(f, " ");
            print(f, it);
        }
        fprintf(f, " ]");
        break;
    case WEIR_NODE_MAP:
        fprintf(f, "{");
        WEIR_NODE_FOREACH(it, n) {
            fprintf(f, " %u:%u%s=", it->key_line, it->key_col, it->key);
            print(f, it);
        }
        fprintf(f, " }");
        break;
    default:
        fprintf(f, "(%s)%s", weir_node_type_name(n), n->text);
    }
}

static int on_document(const struct weir_node *root, void *arg) {
    print(arg, root);
    fprintf(arg, "\n");
    return 0;
}

/* What the text loads as, with the problems behind it; free() it. */
static char *load(const char *text, size_t len) {
    struct weir_source source = { "t", text, len };
    struct weir_problem_sink sink = { 0 };
    struct weir_problems problems;
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    struct weir_load params = {
        .source = &source, .file = "t", .problems = &sink, .fn = on_document, .arg = f
    };

    assert_int_equal(weir_load(&params), 0);
    assert_int_equal(weir_problem_finish(&sink, &problems), 0);
    char *report = conf_report(&problems);
    fprintf(f, "%s", report);
    fclose(f);
    free(report);
    weir_problems_deinit(&problems);
    return out;
}

static void assert_load(const char *text, const char *expected) {
    char *out = load(text, strlen(text));

    assert_string_equal(out, expected);
    free(out);
}

static void every_key_and_value_knows_its_place(void **state) {
    assert_load(
        "a: 1\nb:\n  - x\n  - c: true\n",
        "1:1{ 1:1a=1:4(an integer)1 2:1b=3:3[ 3:5(a string)x 4:5{ 4:5c=4:8(a boolean)true } ] }\n");
}

static void json_is_read_as_it_is(void **state) {
    assert_load(
        "{\n\t\"a\": [1, -2.5, \"3\", null, true],\n\t\"b\": {\"c\": \"\\u00e4\\/\\n\"}\n}\n",
        "1:1{ 2:2a=2:7[ 2:8(an integer)1 2:11(a number)-2.5 2:17(a string)3 2:22(null)null "
        "2:28(a boolean)true ] 3:2b=3:7{ 3:8c=3:13(a string)\xc3\xa4/\n } }\n");
}

static void empty_documents_say_nothing(void **state) {
    assert_load("", "");
    assert_load("---\n---\n# nothing\n---\na: 1\n---\n", "5:1{ 5:1a=5:4(an integer)1 }\n");
}

static void a_duplicate_key_is_named_with_the_first(void **state) {
    assert_load("a: 1\nb: 2\na: 3\n",
                "1:1{ 1:1a=1:4(an integer)1 2:1b=2:4(an integer)2 }\n"
                "t:3:1: error: : duplicate key \"a\", first given on line 1\n");
    assert_load("a: 1\na: 2\na: 3\n",
                "1:1{ 1:1a=1:4(an integer)1 }\n"
                "t:2:1: error: : duplicate key \"a\", first given on line 1\n"
                "t:3:1: error: : duplicate key \"a\", first given on line 1\n");
}

static void duplicates_are_found_among_many_keys(void **state) {
    char text[4096] = "";
    size_t n = 0;

    for (int i = 0; i < 200; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "k%d: 0\n", i == 150 ? 7 : i);
    }
    char *out = load(text, n);
    assert_non_null(strstr(out, "t:151:1: error: : duplicate key \"k7\", first given on line 8\n"));
    free(out);
}

static void anchors_and_aliases_are_refused(void **state) {
    assert_load("a: &x [1]\nb: *x\n",
                "t:1:4: error: : YAML anchors and aliases are not accepted; write the value out\n");
    assert_load("a: *x\n",
                "t:1:4: error: : YAML anchors and aliases are not accepted; write the value out\n");
}

static void nesting_is_bounded(void **state) {
    char text[400];

    memset(text, '[', 200);
    memset(text + 200, ']', 200);
    char *out = load(text, sizeof(text));
    assert_string_equal(out, "t:1:101: error: : nested deeper than 100 levels\n");
    free(out);
}

static void syntax_errors_say_where(void **state) {
    assert_load("a: [1, 2\nb: 3\n", "t:2:2: error: : did not find expected ',' or ']' (while "
                                    "parsing a flow sequence that begins on "
                                    "line 1)\n");
    assert_load(
        "a: \"x\n",
        "t:2:1: error: : found unexpected end of stream (while scanning a quoted scalar that "
        "begins on line 1)\n");
    assert_load("a: b: c\n", "t:1:5: error: : mapping values are not allowed in this context\n");
}

static void documents_before_a_syntax_error_are_still_read(void **state) {
    assert_load("a: 1\n---\n]\n",
                "1:1{ 1:1a=1:4(an integer)1 }\n"
                "t:3:1: error: : did not find expected node content (while parsing a block node "
                "that begins on line 3)\n");
}

static void only_utf_8_is_text(void **state) {
    assert_load("a: 1\nb: \xff\n", "t:2:4: error: : not UTF-8 text: invalid leading UTF-8 octet\n");
    assert_load("\xc3\xa4: \xc3\n",
                "t:1:5: error: : not UTF-8 text: invalid trailing UTF-8 octet\n");
    /* UTF-16 with its mark. */
    char *out = load("\xff\xfe\x61\x00", 4);
    assert_string_equal(out, "t:1:1: error: : not UTF-8 text: invalid leading UTF-8 octet\n");
    free(out);
    assert_load("\xef\xbb\xbf"
                "a: 1\n",
                "1:1{ 1:1a=1:4(an integer)1 }\n");
}

static void nul_is_not_text(void **state) {
    assert_load("a: \"x\\0y\"\n", "t:1:4: error: : a text may not contain the character NUL\n");
    assert_load("\"x\\0y\": 1\n", "t:1:1: error: : a text may not contain the character NUL\n");
    char *out = load("a: \0b", 5);
    assert_non_null(strstr(out, "control characters are not allowed"));
    free(out);
}

static void keys_are_scalars(void **state) {
    assert_load("? [a]\n: 1\n", "t:1:3: error: : a key must be a string\n");
    assert_load("80: a\ntrue: b\n", "1:1{ 1:180=1:5(a string)a 2:1true=2:7(a string)b }\n");
}

static void tags_beyond_json_are_refused(void **state) {
    assert_load("a: !!set {b}\n",
                "t:1:4: error: : the tag tag:yaml.org,2002:set is not accepted here\n");
    assert_load("a: !!str 80\n", "1:1{ 1:1a=1:4(a string)80 }\n");
}

static int load_quietly(const struct weir_node *root, void *arg) {
    return 0;
}

static int load_once(void *arg) {
    static const char text[] = "a: [1, {b: c, d: {}}]\nb: x\n---\nc: c\nc: d\n";
    struct weir_source source = { "t", text, sizeof(text) - 1 };
    struct weir_problem_sink sink = { 0 };
    struct weir_load params = {
        .source = &source, .file = "t", .problems = &sink, .fn = load_quietly
    };
    int r = weir_load(&params);

    weir_problem_sink_deinit(&sink);
    return r;
}

static void lack_of_memory_is_passed_on(void **state) {
    assert_int_not_equal(weir_test_sweep(load_once, NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_and_value_knows_its_place),
        cmocka_unit_test(json_is_read_as_it_is),
        cmocka_unit_test(empty_documents_say_nothing),
        cmocka_unit_test(a_duplicate_key_is_named_with_the_first),
        cmocka_unit_test(duplicates_are_found_among_many_keys),
        cmocka_unit_test(anchors_and_aliases_are_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(syntax_errors_say_where),
        cmocka_unit_test(documents_before_a_syntax_error_are_still_read),
        cmocka_unit_test(only_utf_8_is_text),
        cmocka_unit_test(nul_is_not_text),
        cmocka_unit_test(keys_are_scalars),
        cmocka_unit_test(tags_beyond_json_are_refused),
        cmocka_unit_test(lack_of_memory_is_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
