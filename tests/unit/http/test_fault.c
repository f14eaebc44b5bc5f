/* SPDX-License-Identifier: Apache-2.0 */
#include "http/fault.h"

#include <stdio.h>

#include "weir_test.h"

static struct weir_fault fault_of(unsigned side, unsigned kind) {
    return (struct weir_fault){ (uint8_t)side, (uint8_t)kind };
}

static void every_kind_has_an_answer_on_every_side(void **state) {
    for (unsigned side = 0; side < 3; side++) {
        for (unsigned kind = 0; kind < WEIR_FAULT_KINDS; kind++) {
            const struct weir_fault_answer *a = weir_fault_answer(fault_of(side, kind));
            assert_non_null(a);
            assert_non_null(a->name);
            assert_true(strlen(a->name) > 0);
            assert_true(strspn(a->name, "abcdefghijklmnopqrstuvwxyz_") == strlen(a->name));
            assert_non_null(a->flag);
            assert_true(strlen(a->flag) > 0);
            /* Whoever reads an access line finds out why. */
            assert_true(a->status == 0 || strcmp(a->flag, "-") != 0);
            assert_non_null(a->text);
            assert_true(a->status == 0 || (a->status >= 400 && a->status < 600));
            if (kind == WEIR_FAULT_NONE)
                continue;
            size_t len = strlen(a->text);
            assert_true(len > 10 && a->text[len - 1] == '.');
            /* An answer that says nothing to the client must at least end the connection. */
            assert_true(a->status != 0 || a->close);
        }
    }
}

static void names_are_stable_and_unique(void **state) {
    for (unsigned a = 0; a < WEIR_FAULT_KINDS; a++)
        for (unsigned b = 0; b < WEIR_FAULT_KINDS; b++)
            for (unsigned side = 1; side < 3; side++)
                if (a != b)
                    assert_string_not_equal(
                        weir_fault_answer(fault_of(WEIR_SIDE_DOWNSTREAM, a))->name,
                        weir_fault_answer(fault_of(side, b))->name);
}

static void what_the_upstream_did_never_blames_the_client(void **state) {
    for (unsigned kind = 1; kind < WEIR_FAULT_KINDS; kind++) {
        const struct weir_fault_answer *a = weir_fault_answer(fault_of(WEIR_SIDE_UPSTREAM, kind));
        if (strncmp(a->name, "upstream_", 9) == 0) {
            assert_true(a->status >= 500 || a->status == 403);
            assert_false(a->close);
        }
    }
}

static void doubtful_messages_close_the_connection(void **state) {
    static const enum weir_fault_kind kinds[] = {
        WEIR_FAULT_BAD_REQUEST_LINE, WEIR_FAULT_BAD_FIELD,  WEIR_FAULT_BAD_FRAMING,
        WEIR_FAULT_BAD_AUTHORITY,    WEIR_FAULT_BAD_TARGET, WEIR_FAULT_BAD_VERSION,
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++) {
        const struct weir_fault_answer *a =
            weir_fault_answer(fault_of(WEIR_SIDE_DOWNSTREAM, kinds[i]));
        assert_int_equal(a->status, 400);
        assert_true(a->close);
        assert_int_equal(weir_fault_answer(fault_of(WEIR_SIDE_UPSTREAM, kinds[i]))->close,
                         kinds[i] == WEIR_FAULT_BAD_REQUEST_LINE ||
                             kinds[i] == WEIR_FAULT_BAD_AUTHORITY ||
                             kinds[i] == WEIR_FAULT_BAD_TARGET);
    }
}

static void statuses_are_the_agreed_ones(void **state) {
    static const struct {
        unsigned side, kind, status;
        const char *flag;
    } rows[] = {
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_METHOD_UNKNOWN, 501, "DPE" },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_EXPECTATION, 417, "DPE" },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TARGET_TOO_LONG, 414, "DPE" },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_HEAD_TOO_LARGE, 431, "DPE" },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_BODY_TOO_LARGE, 413, "BL" },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_MISDIRECTED, 421, "MD" },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TIMEOUT_HEAD, 408, "DPE" },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_NO_ROUTE, 404, "NR" },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_NO_BACKEND, 500, "NC" },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_NO_ENDPOINT, 503, "UH" },
        { WEIR_SIDE_UPSTREAM, WEIR_FAULT_CONNECT_FAILED, 503, "UF" },
        { WEIR_SIDE_UPSTREAM, WEIR_FAULT_RESET, 502, "UC" },
        { WEIR_SIDE_UPSTREAM, WEIR_FAULT_BAD_FRAMING, 502, "UPE" },
        { WEIR_SIDE_UPSTREAM, WEIR_FAULT_TIMEOUT_BACKEND, 504, "UT" },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_TIMEOUT_REQUEST, 504, "UT" },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const struct weir_fault_answer *a = weir_fault_answer(fault_of(rows[i].side, rows[i].kind));
        assert_int_equal(a->status, rows[i].status);
        assert_string_equal(a->flag, rows[i].flag);
    }
}

static void a_grpc_client_is_told_the_same_in_its_own_numbers(void **state) {
    static const struct {
        uint8_t side, kind;
        unsigned status;
    } rows[] = {
        { WEIR_SIDE_LOCAL, WEIR_FAULT_NO_ROUTE, 12 },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_NO_ENDPOINT, 14 },
        { WEIR_SIDE_UPSTREAM, WEIR_FAULT_RESET, 14 },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_TIMEOUT_REQUEST, 4 },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_DENIED, 7 },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_BAD_FIELD, 13 },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_NO_BACKEND, 14 },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_INTERNAL, 13 },
        { WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_HEAD_TOO_LARGE, 8 },
        { WEIR_SIDE_LOCAL, WEIR_FAULT_LOOP, 2 },
    };
    struct weir_fault_answer a = { 0 };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++)
        assert_int_equal(
            weir_fault_grpc_status(weir_fault_answer(fault_of(rows[i].side, rows[i].kind))),
            rows[i].status);
    a.status = 401;
    assert_int_equal(weir_fault_grpc_status(&a), 16);
    a.status = 429;
    assert_int_equal(weir_fault_grpc_status(&a), 8);
}

static void a_number_that_is_no_kind_is_an_internal_error(void **state) {
    assert_string_equal(weir_fault_answer(fault_of(0, 255))->name, "internal");
    assert_string_equal(weir_fault_answer(fault_of(200, WEIR_FAULT_KINDS))->name, "internal");
}

/* docs/limits.md lists every answer as it is. */
static void the_documentation_lists_every_answer(void **state) {
    static char docs[65536];
    FILE *f = fopen(WEIR_SOURCE_ROOT "/docs/limits.md", "r");
    assert_non_null(f);
    docs[fread(docs, 1, sizeof(docs) - 1, f)] = '\0';
    fclose(f);
    for (unsigned kind = 1; kind < WEIR_FAULT_KINDS; kind++) {
        for (unsigned side = 1; side < 3; side++) {
            const struct weir_fault_answer *a = weir_fault_answer(fault_of(side, kind));
            char row[512], status[16] = "none";
            if (a->status)
                snprintf(status, sizeof(status), "%u", a->status);
            snprintf(row, sizeof(row), "| `%s` | %s | `%s` | %s |\n", a->name, status, a->flag,
                     a->text);
            if (!strstr(docs, row))
                fail_msg("docs/limits.md has no row\n%s", row);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_an_answer_on_every_side),
        cmocka_unit_test(the_documentation_lists_every_answer),
        cmocka_unit_test(names_are_stable_and_unique),
        cmocka_unit_test(what_the_upstream_did_never_blames_the_client),
        cmocka_unit_test(doubtful_messages_close_the_connection),
        cmocka_unit_test(statuses_are_the_agreed_ones),
        cmocka_unit_test(a_grpc_client_is_told_the_same_in_its_own_numbers),
        cmocka_unit_test(a_number_that_is_no_kind_is_an_internal_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
