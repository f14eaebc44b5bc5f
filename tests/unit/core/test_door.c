/* SPDX-License-Identifier: Apache-2.0 */
#include "core/door.h"

#include "base/mem.h"
#include "weir_test.h"

static struct weir_documents *list_of(const char *letters) {
    struct weir_documents *d = weir_documents_new();

    assert_non_null(d);
    for (; *letters; letters++)
        assert_int_equal(weir_documents_add(d, weir_slice_make(letters, 1)), 0);
    assert_int_equal(weir_documents_seal(d), 0);
    return d;
}

/* What a sidecar that has `from` makes of the steps to `to`; how many documents were sent. */
static unsigned replay(const char *from, const char *to, char *ret) {
    struct weir_documents *old = list_of(from), *new_ = list_of(to);
    struct weir_documents_diff diff = { old, new_, 0, 0 };
    const struct weir_document *document;
    enum weir_documents_step step;
    unsigned at = 0, sent = 0;
    uint32_t n;

    while ((step = weir_documents_next(&diff, &n, &document)) != WEIR_DOCUMENTS_END) {
        if (step == WEIR_DOCUMENTS_ADD) {
            *ret++ = document->text[0];
            sent++;
            continue;
        }
        assert_true(n > 0 && at + n <= strlen(from));
        for (uint32_t i = 0; step == WEIR_DOCUMENTS_KEEP && i < n; i++)
            *ret++ = from[at + i];
        at += n;
    }
    *ret = '\0';
    weir_documents_unref(old);
    weir_documents_unref(new_);
    return sent;
}

static void only_what_is_new_is_sent_and_the_order_is_that_of_the_new_list(void **state) {
    static const struct {
        const char *from, *to;
        unsigned sent;
    } cases[] = {
        { "", "abc", 3 },      { "abc", "abc", 0 },  { "abc", "abxc", 1 }, { "abc", "ac", 0 },
        { "abc", "", 0 },      { "abcd", "axd", 1 }, { "abc", "xyz", 3 },  { "abc", "cab", 2 },
        { "abcdef", "fb", 1 }, { "aab", "aaab", 1 }, { "ab", "bbab", 3 },
    };
    char made[16];

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        assert_true(replay(cases[i].from, cases[i].to, made) <= cases[i].sent);
        assert_string_equal(made, cases[i].to);
    }
}

static int note(void *arg, unsigned kind, struct weir_slice content) {
    char *said = arg;

    sprintf(said + strlen(said), "%u:%.*s ", kind, WEIR_SLICE_ARG(content));
    return 0;
}

static void messages_are_read_however_they_are_cut(void **state) {
    char text[64], said[64];
    size_t len = 2 * WEIR_DOOR_HEADER + 3;

    (void)state;
    weir_door_header(text, WEIR_DOOR_PONG, 3);
    memcpy(text + WEIR_DOOR_HEADER, "abc", 3);
    weir_door_header(text + WEIR_DOOR_HEADER + 3, WEIR_DOOR_STATE, 0);
    for (size_t step = 1; step <= len; step++) {
        struct weir_door_reader in = { 0 };

        said[0] = '\0';
        for (size_t at = 0; at < len; at += step)
            assert_int_equal(
                weir_door_read(&in, weir_slice_make(text + at, len - at < step ? len - at : step),
                               note, said),
                0);
        assert_string_equal(said, "3:abc 2: ");
        assert_null(in.ptr); /* nothing is held for what is complete */
    }
}

static void what_is_announced_costs_no_memory_and_what_is_too_long_is_refused(void **state) {
    char header[WEIR_DOOR_HEADER], said[8] = "";
    struct weir_door_reader in = { .from_agent = true };

    (void)state;
    weir_door_header(header, WEIR_DOOR_DOCUMENT, WEIR_DOOR_DOCUMENT_MAX);
    assert_int_equal(weir_door_read(&in, weir_slice_make(header, sizeof(header)), note, said), 0);
    assert_true(in.cap <= 1024);
    weir_door_reader_deinit(&in);
    weir_door_header(header, WEIR_DOOR_DOCUMENT, WEIR_DOOR_DOCUMENT_MAX + 1);
    assert_int_equal(weir_door_read(&in, weir_slice_make(header, sizeof(header)), note, said),
                     -EPROTO);
    weir_door_reader_deinit(&in);
    in.from_agent = false; /* a sidecar sends none */
    weir_door_header(header, WEIR_DOOR_DOCUMENT, WEIR_DOOR_SMALL_MAX + 1);
    assert_int_equal(weir_door_read(&in, weir_slice_make(header, sizeof(header)), note, said),
                     -EPROTO);
    weir_door_reader_deinit(&in);
    assert_string_equal(said, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_new_is_sent_and_the_order_is_that_of_the_new_list),
        cmocka_unit_test(messages_are_read_however_they_are_cut),
        cmocka_unit_test(what_is_announced_costs_no_memory_and_what_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
