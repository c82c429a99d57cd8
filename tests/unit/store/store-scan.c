/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Not a test: makes a store of N keys (100,000) in a directory of its own and prints what filling, opening,
 * scanning and one change cost, and how much memory the catalogue takes. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "keystore/keystore.h"

static double since(uint64_t start)
{
        return (double)(clock_monotonic() - start) / 1e6;
}

static int fill(Store *s, unsigned n)
{
        static const uint8_t wrapped[120] = {1};
        KeyAttributes a = {.version = 1,
                        .algorithm = KEY_P256,
                        .purpose = PURPOSE_SIGN,
                        .protection = PROTECTION_SOFTWARE,
                        .created = 1,
                        .public_len = 91};
        const StoreKeyRow row = {.attributes = &a, .state = STORE_KEY_LIVE, .wrapped = BYTES_ARRAY(wrapped)};
        int r = store_begin(s);

        for (unsigned i = 0; i < n && !r; i++) {
                uuid_generate(&a.uuid);
                (void)snprintf(a.name, sizeof(a.name), "device-key-%06u", i);
                r = store_put_key(s, &row);
        }
        return r ? r : store_commit(s) == STORE_COMMITTED ? store_checkpoint(s) : -EIO;
}

static int measure(int fd, unsigned n)
{
        static const uint8_t key[32] = {1};
        const StoreParams params = {.database_key = key, .log_key = key, .id = {{1}}};
        _cleanup_(store_closep) Store *s = NULL;
        _cleanup_(catalogue_freep) Catalogue *c = NULL;
        StoreReason reason;
        struct rusage usage;
        uint64_t start;
        size_t before;
        int r;

        start = clock_monotonic();
        r = store_create(fd, &params, &reason, &s);
        if (!r)
                r = fill(s, n);
        if (r)
                return r;
        printf("fill      %8.3f s for %u keys in one transaction\n", since(start), n);
        s = store_close(s);

        start = clock_monotonic();
        r = store_open(fd, &params, &reason, &s);
        if (r)
                return r;
        printf("open      %8.3f s\n", since(start));
        before = mallinfo2().uordblks + mallinfo2().hblkhd;
        start = clock_monotonic();
        r = catalogue_new(1u << 30, &c);
        if (!r)
                r = keystore_load(s, c, NULL, NULL, NULL, NULL);
        if (r)
                return r;
        printf("load      %8.3f s for %zu keys\n", since(start), catalogue_count(c));
        printf("catalogue %8.0f bytes a key\n",
                        (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) / (double)(n ? n : 1));
        start = clock_monotonic();
        r = store_scan(s, NULL, NULL);
        printf("scan      %8.3f s without catalogue\n", since(start));
        start = clock_monotonic();
        for (unsigned i = 0; i < 100 && !r; i++) {
                r = store_begin(s);
                if (!r)
                        r = store_set_seq(s, i + 1);
                if (!r && store_commit(s) != STORE_COMMITTED)
                        r = -EIO;
        }
        printf("change    %8.3f ms (begin, one row, commit; mean of 100)\n", since(start) * 10);
        (void)getrusage(RUSAGE_SELF, &usage);
        printf("memory    %8ld KiB at most\n", usage.ru_maxrss);
        return r;
}

int main(int argc, char **argv)
{
        char path[] = "/tmp/holdfast-scan-XXXXXX";
        unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
        int fd, r;

        if (!mkdtemp(path))
                return 1;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = measure(fd, n);
        if (r)
                fprintf(stderr, "failed: %s\n", hf_error_name(r));
        (void)unlinkat(fd, "store.db", 0);
        (void)unlinkat(fd, "store.db-wal", 0);
        (void)unlinkat(fd, "lock", 0);
        (void)rmdir(path);
        return r != 0;
}
