/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * verify: hf_verify() over the same bytes again and again, everything read anew each time
 *
 *   verify SECONDS CHAIN ROOTS CRLS
 */
#include <err.h>
#include <fcntl.h>
#include <holdfast-verify.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "measure.h"

static HfSpan file_of(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        void *data;

        if (fd < 0 || fstat(fd, &st) < 0)
                err(1, "%s", path);
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
                err(1, "%s", path);
        return (HfSpan){data, (size_t)st.st_size};
}

int main(int argc, char **argv)
{
        Measure m = {.n_pids = 0};
        HfVerification what;

        if (argc != 5)
                errx(2, "verify SECONDS CHAIN ROOTS CRLS");
        m.seconds = atof(argv[1]);
        what = (HfVerification){.certificates = file_of(argv[2]), .roots = file_of(argv[3]), .crls = file_of(argv[4])};
        for (measure_begin(&m); measure_goes_on(&m);) {
                double begin = measure_now();

                if (hf_verify(&what) != HF_OK)
                        errx(1, "%s", hf_error_sentence());
                measure_call(&m, begin, 1);
        }
        measure_end(&m);
        return 0;
}
