/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * context: hf_ssl_ctx_new() again and again
 *
 *   context SECONDS CALLS NAME         CALLS 0: as many as the time allows; 1: the first of a process, which loads OpenSSL's
 *                                      module and reads the files
 */
#include <err.h>
#include <holdfast-ssl.h>
#include <stdlib.h>

#include "measure.h"

int main(int argc, char **argv)
{
        Measure m = {.n_pids = 0};

        if (argc != 4)
                errx(2, "context SECONDS CALLS NAME");
        m.seconds = atof(argv[1]);
        m.calls_max = strtoull(argv[2], NULL, 10);
        for (measure_begin(&m); measure_goes_on(&m);) {
                double begin = measure_now();
                SSL_CTX *ctx = hf_ssl_ctx_new(argv[3], HF_TLS_CLIENT);

                if (!ctx)
                        errx(1, "%s", hf_error_sentence());
                measure_call(&m, begin, 1);
                SSL_CTX_free(ctx);
        }
        measure_end(&m);
        return 0;
}
