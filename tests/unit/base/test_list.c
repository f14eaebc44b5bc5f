/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include "weir_test.h"

struct item {
    int n;
    struct weir_list link;
};

static int numbers(struct weir_list *head) {
    int digits = 0;
    WEIR_LIST_FOREACH (it, head)
        digits = digits * 10 + WEIR_CONTAINER_OF(it, struct item, link)->n;
    return digits;
}

static void order_is_kept_at_both_ends(void **state) {
    struct weir_list head;
    struct item a = { .n = 1 }, b = { .n = 2 }, c = { .n = 3 };
    weir_list_init(&head);
    assert_true(weir_list_empty(&head));
    weir_list_push_back(&head, &b.link);
    weir_list_push_back(&head, &c.link);
    weir_list_push_front(&head, &a.link);
    assert_int_equal(numbers(&head), 123);
    weir_list_unlink(&b.link);
    assert_int_equal(numbers(&head), 13);
    assert_true(weir_list_empty(&b.link));
    weir_list_unlink(&b.link); /* once more does no harm */
    assert_int_equal(numbers(&head), 13);
}

static void the_current_node_may_go_while_walking(void **state) {
    struct weir_list head;
    struct item items[4] = { { .n = 1 }, { .n = 2 }, { .n = 3 }, { .n = 4 } };
    weir_list_init(&head);
    for (size_t i = 0; i < 4; i++)
        weir_list_push_back(&head, &items[i].link);
    WEIR_LIST_FOREACH_SAFE (it, next, &head) {
        if (WEIR_CONTAINER_OF(it, struct item, link)->n % 2)
            weir_list_unlink(it);
    }
    assert_int_equal(numbers(&head), 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_kept_at_both_ends),
        cmocka_unit_test(the_current_node_may_go_while_walking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
