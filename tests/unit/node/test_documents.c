/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/documents.h"
#include "node/tenants.h"
#include "sys/files.h"
#include "weir_test.h"

static const char text[] =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {tls.key: c2VjcmV0}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: \"caf\\u00e9 \\\"x\\\"\"}\n"
    "spec: {ports: [{port: 80, on: true, none: null, half: 0.5}]}\n---\n"
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, data: {tls.key: "
    "c2VjcmV0}}\n"
    "- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n---\n"
    "apiVersion: v1\nkind: SecretList\nitems: [{kind: Secret, data: {tls.key: c2VjcmV0}}]\n---\n"
    "apiVersion: weir.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: e}\nspec: {}\n---\n"
    "apiVersion: weir.dev/v1alpha1\nkind: Agent\nmetadata: {name: a}\nspec: {cgroup: /x}\n";

static int make(void) {
    const struct weir_source source = { "t", text, sizeof(text) - 1 };
    struct weir_documents *list;
    int fd;

    assert_int_equal(weir_documents_build(&source, 1, &list), 0);
    fd = weir_documents_open(list);
    weir_documents_unref(list);
    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void keys_and_what_is_the_nodes_own_stay_here(void **state) {
    char *got;
    size_t n;
    int fd = make();

    assert_int_equal(weir_file_read_fd(fd, 65536, &got, &n), 0);
    assert_string_equal(
        got, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"caf\xc3\xa9 "
             "\\u0022x\\u0022\"},\"spec\":{\"ports\":[{\"port\":80,\"on\":true,\"none\":null,"
             "\"half\":0.5}]}}\n"
             "---\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}}\n---\n");
    weir_free(got);
    close(fd);
}

static void nobody_can_write_to_what_all_tenants_read(void **state) {
    int fd = make();

    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_ptr_equal(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_what_is_the_nodes_own_stay_here),
        cmocka_unit_test(nobody_can_write_to_what_all_tenants_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
