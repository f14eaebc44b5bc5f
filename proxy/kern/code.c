/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A linked-in TLS is known by what its own source files leave in every build: the name of one, in its error messages, or a function's in the
 * tables of a Go program. A program that uses the shared library has none of them.
 */
#include "kern/code.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define FUSE_MAGIC    0x65735546
#define WINDOW        65536u
#define MARK_MAX      32u
#define SCANNED_BYTES (256u << 20) /* of one file; what lies behind is not looked for */

struct weir_code {
    Elf *elf;
    int fd;
};

int weir_code_open(int fd, struct weir_code **ret_code) {
    struct weir_code *c;
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && fs.f_type == FUSE_MAGIC)
        return -EMEDIUMTYPE;
    c = weir_calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    (void)elf_version(EV_CURRENT);
    c->fd = fd;
    c->elf = elf_begin(fd, ELF_C_READ, NULL);
    if (!c->elf || elf_kind(c->elf) != ELF_K_ELF) {
        weir_code_close(c);
        return -ENOEXEC;
    }
    *ret_code = c;
    return 0;
}

struct weir_code *weir_code_close(struct weir_code *c) {
    if (c && c->elf)
        elf_end(c->elf);
    return weir_free(c);
}

/* --- functions --- */

/* Where an address lies in the file; 0 = in no code. */
static uint64_t place_in(Elf *elf, uint64_t address) {
    size_t n = 0;

    if (elf_getphdrnum(elf, &n))
        return 0;
    for (size_t i = 0; i < n; i++) {
        GElf_Phdr p;

        if (gelf_getphdr(elf, (int)i, &p) && p.p_type == PT_LOAD && (p.p_flags & PF_X) &&
            address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz)
            return address - p.p_vaddr + p.p_offset;
    }
    return 0;
}

static uint64_t symbol_in(Elf *elf, Elf_Scn *section, const char *name) {
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Shdr header;
    GElf_Sym sym;

    if (!data || !gelf_getshdr(section, &header) || header.sh_entsize == 0)
        return 0;
    for (size_t i = 0; i < header.sh_size / header.sh_entsize; i++) {
        const char *found;

        if (!gelf_getsym(data, (int)i, &sym) || GELF_ST_TYPE(sym.st_info) != STT_FUNC ||
            sym.st_shndx == SHN_UNDEF)
            continue;
        found = elf_strptr(elf, header.sh_link, sym.st_name);
        if (found && strcmp(found, name) == 0)
            return place_in(elf, sym.st_value);
    }
    return 0;
}

uint64_t weir_code_export(struct weir_code *c, const char *function) {
    Elf_Scn *section = NULL;
    uint64_t at = 0;
    GElf_Shdr header;

    while (at == 0 && (section = elf_nextscn(c->elf, section)))
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_DYNSYM)
            at = symbol_in(c->elf, section, function);
    return at;
}

/* --- linked-in TLS --- */

/* Longer ones first where one begins with another. */
static const struct mark {
    const char *text;
    const char *tls;
} marks[] = {
    { "ssl/ssl_lib.cc", "BoringSSL" },
    { "ssl/ssl_lib.c", "OpenSSL" },
    { "crypto/tls.(*Conn).Read", "Go" },
    { "/rustls-0.", "rustls" },
};

static const char *mark_in(const char *bytes, size_t n) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(marks); i++)
        if (memmem(bytes, n, marks[i].text, strlen(marks[i].text)))
            return marks[i].tls;
    return NULL;
}

/* Window by window, each with the last bytes of the one before it. */
static const char *scan(int fd, uint64_t offset, uint64_t size, char *window) {
    const char *tls = NULL;
    size_t kept = 0;

    while (!tls && size > 0) {
        size_t want = size < WINDOW - kept ? size : WINDOW - kept;
        ssize_t n = pread(fd, window + kept, want, (off_t)offset);

        if (n <= 0)
            return NULL;
        tls = mark_in(window, kept + (size_t)n);
        offset += (uint64_t)n;
        size -= (uint64_t)n;
        n += (ssize_t)kept;
        kept = n < (ssize_t)MARK_MAX ? (size_t)n : MARK_MAX;
        memmove(window, window + n - kept, kept);
    }
    return tls;
}

static bool is_text(const char *name) {
    return name && (strcmp(name, ".rodata") == 0 || strcmp(name, ".gopclntab") == 0);
}

const char *weir_code_tls(struct weir_code *c) {
    char *window = weir_malloc(WINDOW);
    uint64_t left = SCANNED_BYTES;
    Elf_Scn *section = NULL;
    const char *tls = NULL;
    GElf_Shdr header;
    size_t names;

    if (!window || elf_getshdrstrndx(c->elf, &names)) {
        weir_free(window);
        return NULL;
    }
    while (!tls && left > 0 && (section = elf_nextscn(c->elf, section))) {
        uint64_t size;

        if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS ||
            !is_text(elf_strptr(c->elf, names, header.sh_name)))
            continue;
        size = header.sh_size < left ? header.sh_size : left;
        tls = scan(c->fd, header.sh_offset, size, window);
        left -= size;
    }
    weir_free(window);
    return tls;
}
