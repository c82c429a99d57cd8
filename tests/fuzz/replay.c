/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzz target over each file of the directories given, then over each of them cut short and with bytes
 * changed, from a fixed seed: what a fuzzer would try first, the same in each run.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX ((size_t)1024 * 1024)
#define CUTS 64U
#define CHANGES 256U

static uint64_t seed = 0x9e3779b97f4a7c15ULL;

static uint64_t next_random(void)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return seed;
}

/* In memory of exactly its size, so that a sanitizer sees a read beyond the end. */
static void run(const uint8_t *data, size_t size)
{
        uint8_t *exact = malloc(size ? size : 1);

        if (!exact)
                abort();
        memcpy(exact, data, size);
        (void)LLVMFuzzerTestOneInput(exact, size);
        free(exact);
}

static void run_variants(Buffer *b)
{
        run(b->data, b->len);
        for (unsigned i = 0; i < CUTS && b->len; i++)
                run(b->data, next_random() % b->len);
        for (unsigned i = 0; i < CHANGES && b->len; i++) {
                size_t at = next_random() % b->len, from = next_random() % b->len;
                uint8_t kept = b->data[at];

                b->data[at] = i % 2 ? b->data[from] : (uint8_t)next_random();
                run(b->data, b->len);
                if (i % 4)
                        b->data[at] = kept;
        }
}

static int replay_directory(const char *path, unsigned *ret_files)
{
        DIR *d = opendir(path);
        struct dirent *de;
        int r = 0;

        if (!d)
                return -errno;
        while (!r && (de = readdir(d))) {
                _cleanup_buffer_ Buffer b = BUFFER_INIT(INPUT_MAX);

                if (de->d_name[0] == '.')
                        continue;
                r = buffer_reserve(&b, 1);
                if (!r)
                        r = io_read_file(dirfd(d), de->d_name, &b);
                if (!r) {
                        run_variants(&b);
                        (*ret_files)++;
                }
        }
        closedir(d);
        return r;
}

int main(int argc, char **argv)
{
        unsigned files = 0;

        for (int i = 1; i < argc; i++) {
                int r = replay_directory(argv[i], &files);

                if (r) {
                        fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
                        return 1;
                }
        }
        printf("%u files replayed, each also cut and changed\n", files);
        return files ? 0 : 1;
}
