/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files of a directory, without libFuzzer: the corpora as plain tests. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *dir, const char *name) {
    char path[4096];
    uint8_t *bytes = malloc(1 << 20);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!bytes || !f) {
        perror(path);
        exit(1);
    }
    size_t n = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    int r = LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
    return r;
}

int main(int argc, char **argv) {
    unsigned n = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && replay(argv[1], e->d_name) == 0)
            n++;
    closedir(dir);
    printf("%u inputs\n", n);
    return n == 0;
}
