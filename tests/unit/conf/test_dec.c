/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/dec.h"

#include "conf_test.h"

/* A small vocabulary of the test's own, so that the engine is tested apart from any resource. */
struct leaf {
    const char *word;
    bool flag;
    uint16_t port;
    uint64_t time_us;
    struct weir_ip ip;
    struct weir_cidr cidr;
};

struct tree {
    struct leaf *leaves;
    uint32_t n_leaves;
    struct weir_kv *tags;
    uint32_t n_tags;
    struct leaf only;
};

static const struct weir_field leaf_fields[] = {
    WEIR_F_REQ("word", struct leaf, word, weir_dec_string),
    WEIR_F("flag", struct leaf, flag, weir_dec_bool),
    WEIR_F("port", struct leaf, port, weir_dec_port),
    WEIR_F("time", struct leaf, time_us, weir_dec_duration),
    WEIR_F("ip", struct leaf, ip, weir_dec_ip),
    WEIR_F("cidr", struct leaf, cidr, weir_dec_cidr),
    WEIR_F_NONE("colour"),
    WEIR_F_UNSUP("later"),
};
static const struct weir_object leaf_object = WEIR_OBJECT("leaf", leaf_fields);

static int decode_leaf(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct leaf *leaf = out;

    leaf->word = "";
    return weir_dec_object(d, n, &leaf_object, leaf);
}

static const struct weir_field tree_fields[] = {
    WEIR_F_LIST("leaves", struct tree, leaves, n_leaves, decode_leaf),
    WEIR_F_LIST("tags", struct tree, tags, n_tags, NULL),
    WEIR_F("only", struct tree, only, decode_leaf),
};
static const struct weir_object tree_object = WEIR_OBJECT("tree", tree_fields);

struct decoding {
    struct weir_dec dec;
    struct tree tree;
};

static int on_document(const struct weir_node *root, void *arg) {
    struct decoding *decoding = arg;

    return weir_dec_object(&decoding->dec, root, &tree_object, &decoding->tree);
}

/* Decodes into *tree, whose lists lie in the arena; the report is the caller's to free. */
static char *decode(struct weir_arena *arena, const char *text, struct tree *tree) {
    struct weir_source source = { "t", text, strlen(text) };
    struct weir_problem_sink sink = { 0 };
    struct weir_problems problems;
    struct decoding decoding = { .dec = { .arena = arena, .problems = &sink, .file = "t" } };
    struct weir_load load = {
        .source = &source, .file = "t", .problems = &sink, .fn = on_document, .arg = &decoding
    };

    assert_int_equal(weir_load(&load), 0);
    assert_int_equal(weir_problem_finish(&sink, &problems), 0);
    char *report = conf_report(&problems);
    weir_problems_deinit(&problems);
    assert_int_equal(decoding.dec.depth, 0);
    *tree = decoding.tree;
    return report;
}

static void assert_decode(const char *text, const char *expected) {
    struct weir_arena arena;
    struct tree tree;

    weir_arena_init(&arena, 1024);
    char *report = decode(&arena, text, &tree);
    assert_string_equal(report, expected);
    free(report);
    weir_arena_deinit(&arena);
}

static void values_land_in_their_members(void **state) {
    struct weir_arena arena;
    struct tree tree;
    char buf[46];

    weir_arena_init(&arena, 1024);
    char *report =
        decode(&arena,
               "leaves:\n- {word: a, flag: true, port: 80}\n- {word: b, time: 1s, ip: 10.0.0.1}\n"
               "tags: {x: y, z: \"\"}\nonly: {word: c, cidr: 10.0.0.0/8, colour: {any: thing}}\n",
               &tree);
    assert_string_equal(report, "");
    free(report);
    assert_int_equal(tree.n_leaves, 2);
    assert_string_equal(tree.leaves[0].word, "a");
    assert_true(tree.leaves[0].flag);
    assert_int_equal(tree.leaves[0].port, 80);
    assert_int_equal(tree.leaves[1].time_us, 1000000);
    assert_string_equal(weir_ip_format(&tree.leaves[1].ip, buf, sizeof(buf)), "10.0.0.1");
    assert_int_equal(tree.n_tags, 2);
    assert_string_equal(tree.tags[0].key, "x");
    assert_string_equal(tree.tags[0].value, "y");
    assert_string_equal(tree.only.word, "c");
    assert_int_equal(tree.only.cidr.prefix, 104);
    weir_arena_deinit(&arena);
}

static void wrong_types_are_told_with_what_was_expected(void **state) {
    assert_decode(
        "leaves: {}\nonly: {word: [], flag: yes, port: \"80\", time: 10, ip: 7, cidr: true}\n",
        "t:1:9: error: leaves: expected a list, not an object\n"
        "t:2:14: error: only.word: expected a string, not a list\n"
        "t:2:24: error: only.flag: expected true or false, not a string \"yes\"\n"
        "t:2:35: error: only.port: expected an integer, not a string \"80\"\n"
        "t:2:47: error: only.time: 10 is not a duration; expected something like \"10s\", "
        "\"1m30s\" or \"500ms\"\n"
        "t:2:55: error: only.ip: expected a string, not an integer 7; write it in quotes\n"
        "t:2:64: error: only.cidr: expected a string, not a boolean true; write it in quotes\n");
}

static void wrong_values_are_told_with_what_would_be_right(void **state) {
    assert_decode(
        "only: {word: a, port: 65536, time: 10sec, ip: 10.0.0, cidr: 10.0.0.0}\n",
        "t:1:23: error: only.port: 65536 is out of range; expected 1 to 65535\n"
        "t:1:36: error: only.time: \"10sec\" is not a duration; expected something like \"10s\", "
        "\"1m30s\" "
        "or \"500ms\"\n"
        "t:1:47: error: only.ip: \"10.0.0\" is not an IP address\n"
        "t:1:61: error: only.cidr: \"10.0.0.0\" is not an address range; expected something like "
        "\"10.0.0.0/8\"\n");
    assert_decode("only: {word: a, port: 010}\n",
                  "t:1:23: error: only.port: 010 has a leading zero, which YAML 1.1 "
                  "reads as octal; leave the zero out\n");
    assert_decode(
        "only: {word: a, port: 99999999999999999999}\n",
        "t:1:23: error: only.port: expected an integer, not a number 99999999999999999999\n");
}

static void required_unknown_and_unsupported_fields(void **state) {
    assert_decode("leaves:\n- {wrod: a}\n- {word: null}\n- {word: a, later: [1]}\n- {word: b, "
                  "later: []}\n- null\n",
                  "t:2:3: error: leaves[0].word: required, but not given\n"
                  "t:2:4: error: leaves[0].wrod: unknown field \"wrod\"; did you mean \"word\"?\n"
                  "t:3:4: error: leaves[1].word: required, but not given\n"
                  "t:4:20: error: leaves[2].later: not supported by this version\n"
                  "t:6:3: error: leaves[4]: an element of a list may not be null\n");
}

static void what_is_shown_is_clipped_and_harmless(void **state) {
    assert_decode("only: {word: a, ip: \"\\e[31m\\n\"}\n",
                  "t:1:21: error: only.ip: \" [31m \" is not an IP address\n");
    assert_decode("only: {word: a, ip: "
                  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}\n",
                  "t:1:21: error: only.ip: "
                  "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\" is not "
                  "an IP address\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_land_in_their_members),
        cmocka_unit_test(wrong_types_are_told_with_what_was_expected),
        cmocka_unit_test(wrong_values_are_told_with_what_would_be_right),
        cmocka_unit_test(required_unknown_and_unsupported_fields),
        cmocka_unit_test(what_is_shown_is_clipped_and_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
