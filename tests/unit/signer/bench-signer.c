/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How fast the real signer signs: P-256 with 1 and 16 in flight, and what a signature costs it in CPU time,
 * as the kernel accounts it to its process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "peer.h"

#define CHECKPOINT_EVERY 1024

static double cpu_us(pid_t pid)
{
        char path[64], line[1024];
        unsigned long user, system;
        char *after;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = fopen(path, "r");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof(line), f));
        fclose(f);
        after = strrchr(line, ')');
        assert_int_equal(sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                                         &system),
                        2);
        return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static void run(Peer *p, const PeerKey *k, Scheme scheme, unsigned in_flight, unsigned total)
{
        static const uint8_t message[300] = "a message of ordinary length";
        unsigned sent = 0, done = 0;
        double cpu = cpu_us(p->pid);
        uint64_t start = clock_monotonic(), elapsed, job;
        Bytes reply;

        while (done < total) {
                while (sent < total && sent - done < in_flight) {
                        SignerOperation op =
                                        peer_operation(p, k, SIGNER_OP_SIGN, scheme, BYTES_ARRAY(message));

                        (void)peer_send_operation(p, &op);
                        if (++sent % CHECKPOINT_EVERY == 0)
                                break;
                }
                assert_int_equal(peer_receive(p, &job, &reply), 0);
                done++;
                if (sent % CHECKPOINT_EVERY == 0 && sent < total) {
                        while (done < sent) {
                                assert_int_equal(peer_receive(p, &job, &reply), 0);
                                done++;
                        }
                        assert_int_equal(peer_checkpoint(p, p->seq, &reply), 0);
                }
        }
        elapsed = clock_monotonic() - start;
        cpu = cpu_us(p->pid) - cpu;
        printf("%-8s %2u in flight: %8.0f/s, %6.1f us each, signer CPU %6.1f us\n", scheme_info(scheme)->name,
                        in_flight, total * 1e6 / (double)elapsed, (double)elapsed / total, cpu / total);
}

int main(void)
{
        SignerOpened opened;
        PeerKey k, ed;
        Peer p;

        peer_setup(&p);
        peer_start(&p);
        peer_init(&p, &opened);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(&p, &k), 0);
        peer_key_init(&ed, KEY_ED25519, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(&p, &ed), 0);
        for (int round = 0; round < 2; round++) {
                run(&p, &k, SCHEME_ES256, 1, 10240);
                run(&p, &k, SCHEME_ES256, 16, 20480);
                run(&p, &ed, SCHEME_EDDSA, 1, 10240);
                run(&p, &ed, SCHEME_EDDSA, 16, 20480);
        }
        peer_teardown(&p);
        return 0;
}
