/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a path on the command line to texts in memory. It knows which names in a directory are
 * documents and how Kubernetes lays out a mounted ConfigMap; it does not know what a document is.
 */
#include "sys/texts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/slice.h"
#include "sys/files.h"

void weir_texts_init(struct weir_texts *texts, size_t max) {
    *texts = (struct weir_texts){ .max = max };
}

void weir_texts_deinit(struct weir_texts *texts) {
    for (size_t i = 0; i < texts->n; i++) {
        weir_free(texts->items[i].name);
        weir_free(texts->items[i].text);
    }
    weir_free(texts->items);
    weir_free(texts->failed);
    *texts = (struct weir_texts){ .max = texts->max };
}

bool weir_texts_takes(const char *name) {
    struct weir_slice s = weir_slice_from_str(name);
    return name[0] != '.' && (weir_slice_ends_with(s, WEIR_SLICE(".yaml")) ||
                              weir_slice_ends_with(s, WEIR_SLICE(".yml")) ||
                              weir_slice_ends_with(s, WEIR_SLICE(".json")));
}

static int fail(struct weir_texts *texts, const char *name, int error) {
    weir_free(texts->failed);
    texts->failed = weir_strndup(name, strlen(name));
    return error;
}

static int append_fd(struct weir_texts *texts, const char *name, int fd) {
    struct weir_text *items = weir_reallocarray(texts->items, texts->n + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    texts->items = items;
    struct weir_text text = { .name = weir_strndup(name, strlen(name)) };
    if (!text.name)
        return -ENOMEM;
    int r = weir_file_read_fd(fd, texts->max - texts->bytes, &text.text, &text.len);
    if (r < 0) {
        weir_free(text.name);
        return r;
    }
    texts->bytes += text.len;
    items[texts->n++] = text;
    return 0;
}

static char *join(const char *dir, const char *name) {
    size_t n = strlen(dir) + 1 + strlen(name) + 1;
    char *path = weir_malloc(n);
    if (path)
        snprintf(path, n, "%s%s%s", dir, *dir && dir[strlen(dir) - 1] == '/' ? "" : "/", name);
    return path;
}

/* Opens a document of a directory; 1 = it is not a regular file and is passed over. */
static int open_entry(int dir_fd, int data_fd, const char *name, int *ret_fd) {
    /* O_NONBLOCK: a FIFO of that name must not hang us. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, fd = -1;
    if (data_fd >= 0)
        fd = openat(data_fd, name, flags);
    if (fd < 0)
        fd = openat(dir_fd, name, flags);
    if (fd < 0)
        return errno == ENXIO ? 1 : -errno;
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : 1;
    if (r == 0)
        *ret_fd = fd;
    else
        close(fd);
    return r;
}

static int read_entry(struct weir_texts *texts, const char *dir, const char *name, int dir_fd,
                      int data_fd) {
    WEIR_CLEANUP(weir_freep)
    char *path = join(dir, name);
    if (!path)
        return -ENOMEM;
    int fd = -1, r = open_entry(dir_fd, data_fd, name, &fd);
    if (r > 0)
        return 0;
    if (r == 0) {
        r = append_fd(texts, path, fd);
        close(fd);
    }
    return r < 0 ? fail(texts, path, r) : 0;
}

static int takes_entry(const struct dirent *entry) {
    return weir_texts_takes(entry->d_name);
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name); /* alphasort would follow the locale */
}

/* Takes over dir_fd. */
static int read_dir(struct weir_texts *texts, const char *dir, int dir_fd) {
    struct dirent **entries = NULL;
    int data_fd = openat(dir_fd, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int n = scandirat(dir_fd, ".", &entries, takes_entry, by_bytes);
    int r = n < 0 ? fail(texts, dir, -errno) : 0;
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = read_entry(texts, dir, entries[i]->d_name, dir_fd, data_fd);
        free(entries[i]); /* scandir's own malloc */
    }
    free(entries);
    if (data_fd >= 0)
        close(data_fd);
    close(dir_fd);
    return r;
}

int weir_texts_read(struct weir_texts *texts, const char *path) {
    if (strcmp(path, "-") == 0) {
        int r = append_fd(texts, "-", STDIN_FILENO);
        return r < 0 ? fail(texts, "-", r) : 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return fail(texts, path, -errno);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return read_dir(texts, path, fd);
    int r = append_fd(texts, path, fd);
    close(fd);
    return r < 0 ? fail(texts, path, r) : 0;
}
