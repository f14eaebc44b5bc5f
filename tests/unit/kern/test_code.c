/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/code.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "weir_test.h"

#define TEXT_AT 512u

/* An ELF file in memory with one section of data, .rodata unless named otherwise, that says it has `size` bytes and has those of `text`
 * at `at`. */
static int file_with(const char *section, const char *text, uint64_t at, uint64_t size) {
    static const char names[] = "\0.shstrtab\0.rodata\0.gopclntab\0.text\0";
    Elf64_Ehdr head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                                     EV_CURRENT },
                        .e_type = ET_DYN,
                        .e_machine = EM_X86_64,
                        .e_version = EV_CURRENT,
                        .e_ehsize = sizeof(head),
                        .e_shentsize = sizeof(Elf64_Shdr),
                        .e_shoff = sizeof(head),
                        .e_shnum = 3,
                        .e_shstrndx = 1 };
    Elf64_Shdr sections[3] = {
        { 0 },
        { .sh_name = 1, .sh_type = SHT_STRTAB, .sh_offset = 384, .sh_size = sizeof(names) },
        { .sh_type = SHT_PROGBITS, .sh_offset = TEXT_AT, .sh_size = size },
    };
    int fd = memfd_create("code", MFD_CLOEXEC);

    for (Elf64_Word i = 1; i < sizeof(names); i++)
        if (strcmp(names + i, section) == 0)
            sections[2].sh_name = i;
    assert_true(fd >= 0 && sections[2].sh_name > 1);
    assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
    assert_int_equal(pwrite(fd, sections, sizeof(sections), sizeof(head)), sizeof(sections));
    assert_int_equal(pwrite(fd, names, sizeof(names), 384), sizeof(names));
    assert_int_equal(pwrite(fd, text, strlen(text), (off_t)(TEXT_AT + at)), strlen(text));
    return fd;
}

static const char *tls_of(const char *section, const char *text, uint64_t at, uint64_t size) {
    int fd = file_with(section, text, at, size);
    struct weir_code *code;
    const char *tls;

    assert_int_equal(weir_code_open(fd, &code), 0);
    tls = weir_code_tls(code);
    assert_null(weir_code_close(code));
    close(fd);
    return tls ? tls : "none";
}

static void what_was_linked_in_is_known_by_its_sources(void **state) {
    assert_string_equal(tls_of(".rodata", "../ssl/ssl_lib.c", 0, 4096), "OpenSSL");
    assert_string_equal(tls_of(".rodata", "boringssl/src/ssl/ssl_lib.cc", 0, 4096), "BoringSSL");
    assert_string_equal(tls_of(".gopclntab", "crypto/tls.(*Conn).Read", 0, 4096), "Go");
    assert_string_equal(tls_of(".rodata", "/index/rustls-0.23.5/src/", 0, 4096), "rustls");
    assert_string_equal(tls_of(".rodata", "OpenSSL 3.0.2 15 Mar 2022", 0, 4096), "none");
    assert_string_equal(tls_of(".text", "ssl/ssl_lib.c", 0, 4096), "none");
}

static void it_is_found_wherever_it_lies(void **state) {
    for (uint64_t at = 65536 - 40; at < 65536 + 4; at++)
        assert_string_equal(tls_of(".rodata", "ssl/ssl_lib.c!", at, 200000), "OpenSSL");
    assert_string_equal(tls_of(".rodata", "ssl/ssl_lib.c", 199986, 200000), "OpenSSL");
    assert_string_equal(tls_of(".rodata", "ssl/ssl_lib.c", 200000, 200000), "none"); /* behind it */
}

static void a_section_that_is_not_there_is_nothing(void **state) {
    assert_string_equal(tls_of(".rodata", "", 0, UINT64_MAX), "none");
    assert_string_equal(tls_of(".rodata", "", 0, 1ull << 40), "none");
}

static void what_is_no_machine_code_is_said_to_be_none(void **state) {
    int fd = memfd_create("text", MFD_CLOEXEC);
    struct weir_code *code = NULL;

    assert_int_equal(weir_code_open(fd, &code), -ENOEXEC);
    assert_int_equal(write(fd, "#!/bin/sh\nssl/ssl_lib.c\n", 24), 24);
    assert_int_equal(weir_code_open(fd, &code), -ENOEXEC);
    assert_null(code);
    close(fd);
}

static void an_exported_function_is_where_its_code_is(void **state) {
    char found[16];
    struct weir_code *code;
    Dl_info info;
    uint64_t at;
    int fd;

    assert_true(dladdr((void *)(uintptr_t)strtol, &info) != 0);
    fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
    assert_int_equal(weir_code_open(fd, &code), 0);
    at = weir_code_export(code, "strtol");
    assert_true(at != 0);
    assert_int_equal(pread(fd, found, sizeof(found), (off_t)at), sizeof(found));
    assert_memory_equal(found, (void *)(uintptr_t)strtol, sizeof(found));
    assert_int_equal(weir_code_export(code, "strtol_of_nobody"), 0);
    weir_code_close(code);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_linked_in_is_known_by_its_sources),
        cmocka_unit_test(it_is_found_wherever_it_lies),
        cmocka_unit_test(a_section_that_is_not_there_is_nothing),
        cmocka_unit_test(what_is_no_machine_code_is_said_to_be_none),
        cmocka_unit_test(an_exported_function_is_where_its_code_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
