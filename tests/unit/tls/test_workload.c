/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include <openssl/pem.h>

#include "tls/ca.h"
#include "tls/workload.h"

/* An X509SVID of four fields of two bytes, and the hint. */
#define SVID                                                                                       \
    "\x0a\x02id"                                                                                   \
    "\x12\x02"                                                                                     \
    "cc"                                                                                           \
    "\x1a\x02kk"                                                                                   \
    "\x22\x02"                                                                                     \
    "bb"                                                                                           \
    "\x2a\x01h"
#define SVID_LEN "\x13"

static const char *why_not(struct weir_slice message) {
    struct weir_workload_svid svid;
    const char *why = NULL;
    int r;

    /* In memory of its own, so that a byte too many is seen. */
    char *copy = malloc(message.len + (message.len == 0));
    if (message.len > 0)
        memcpy(copy, message.ptr, message.len);
    r = weir_workload_read(weir_slice_make(copy, message.len), &svid, &why);
    free(copy);
    assert_true(r == 0 || r == WEIR_WORKLOAD_BAD);
    return r ? why : NULL;
}

static void the_first_svid_counts_and_the_unknown_is_passed_over(void **state) {
    static const char message[] = "\x12\x03"
                                  "crl"
                                  "\x0a" SVID_LEN SVID "\x1a\x04"
                                  "\x0a\x02td"
                                  "\x0a\x03"
                                  "odd"
                                  "\x38\xff\x01"                          /* field 7, a number */
                                  "\x3d\x01\x02\x03\x04"                  /* field 7, 4 bytes */
                                  "\x39\x01\x02\x03\x04\x05\x06\x07\x08"; /* and 8 */
    struct weir_workload_svid svid;
    const char *why;

    assert_int_equal(weir_workload_read(weir_slice_make(message, sizeof(message) - 1), &svid, &why),
                     0);
    weir_assert_slice(svid.id, "id");
    weir_assert_slice(svid.chain, "cc");
    weir_assert_slice(svid.key, "kk");
    weir_assert_slice(svid.bundle, "bb");
    assert_int_equal(svid.others, 1);
}

static void what_is_missing_or_malformed_is_named(void **state) {
    assert_string_equal(why_not(WEIR_SLICE("")), "its message holds no SVID");
    assert_string_equal(why_not(WEIR_SLICE("\x12\x01x")), "its message holds no SVID");
    assert_string_equal(why_not(WEIR_SLICE("garbage")), "its message is not protobuf");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\x05x")), "its message is not protobuf");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x")),
                        "its message is not protobuf");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02x")),
                        "its message is not protobuf");
    assert_string_equal(why_not(WEIR_SLICE("\x02\x01x")), "its message is not protobuf");
    assert_string_equal(why_not(WEIR_SLICE("\x0b\x0c")), "its message is not protobuf");
    assert_string_equal(why_not(WEIR_SLICE("\x08\x01")),
                        "a field of its message is of another type");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\x02\x12\x09")), "its SVID is not protobuf");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\x02\x10\x01")),
                        "a field of its SVID is of another type");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\x00")),
                        "its SVID has no SPIFFE id of 1 to 2048 bytes");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\x04\x0a\x02i\0")),
                        "its SVID has no SPIFFE id of 1 to 2048 bytes");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\x04\x0a\x02id")), "its SVID has no certificate");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\x08\x0a\x02id\x12\x02"
                                           "cc")),
                        "its SVID has no key");
    assert_string_equal(why_not(WEIR_SLICE("\x0a\x0c\x0a\x02id\x12\x02"
                                           "cc\x1a\x02kk")),
                        "its SVID has no trust bundle");
}

static void every_cut_is_an_error(void **state) {
    static const char message[] = "\x0a" SVID_LEN SVID;

    assert_null(why_not(weir_slice_make(message, sizeof(message) - 1)));
    for (size_t n = 0; n < sizeof(message) - 1; n++)
        assert_non_null(why_not(weir_slice_make(message, n)));
}

static void certificates_become_pem(void **state) {
    struct weir_pem ca = { 0 };
    const char *why;
    BIO *bio;
    X509 *x;
    unsigned char *der = NULL, *two;
    char *pem = NULL;
    int n;

    assert_int_equal(weir_ca_new("cluster.local", 1000, 3600, &ca, &why), 0);
    bio = BIO_new_mem_buf(ca.cert, -1);
    x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    n = i2d_X509(x, &der);
    two = malloc(2 * (size_t)n + 1);
    memcpy(two, der, (size_t)n);
    memcpy(two + n, der, (size_t)n);
    two[2 * n] = 'x';
    assert_int_equal(weir_workload_pem(weir_slice_make((char *)two, 2 * (size_t)n), &pem), 0);
    assert_int_equal(strlen(pem), 2 * strlen(ca.cert));
    assert_memory_equal(pem, ca.cert, strlen(ca.cert));
    weir_free(pem);
    assert_int_equal(weir_workload_pem(weir_slice_make((char *)two, 2 * (size_t)n + 1), &pem),
                     -EINVAL);
    assert_int_equal(weir_workload_pem(weir_slice_make((char *)two, (size_t)n - 1), &pem), -EINVAL);
    assert_int_equal(weir_workload_pem(WEIR_SLICE(""), &pem), -EINVAL);
    free(two);
    OPENSSL_free(der);
    X509_free(x);
    BIO_free(bio);
    weir_pem_deinit(&ca);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_svid_counts_and_the_unknown_is_passed_over),
        cmocka_unit_test(what_is_missing_or_malformed_is_named),
        cmocka_unit_test(every_cut_is_an_error),
        cmocka_unit_test(certificates_become_pem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
