/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The signer closes its system call filter after crypto_warm_up(). Here a child does the same, with a filter that kills
 * at every attempt to open a file, and then does everything the room can do, in a new thread as well.
 */
#include "support.h"

#include <openssl/crypto.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/wait.h>
#include <threads.h>

#include "crypto/digest.h"

static int use(KeyAlgorithm a)
{
        _cleanup_(privkey_freep) PrivKey *k = NULL, *again = NULL, *copy = NULL;
        uint8_t raw[PRIVKEY_RAW_MAX], out[SIGNATURE_MAX];
        size_t raw_len, len;
        Public p;

        if (privkey_generate(a, &k) || privkey_to_raw(k, raw, &raw_len) ||
                        privkey_public(k, p.data, sizeof(p.data), &p.len) ||
                        privkey_from_raw(a, BYTES(raw, raw_len), BYTES(p.data, p.len), &again) || privkey_dup(again, &copy))
                return 1;
        for (Scheme s = 1; s < _SCHEME_MAX; s++)
                if (scheme_check(s, a, PURPOSE_SIGN) == 0 &&
                                privkey_sign(copy, &(SignParams){.scheme = s}, bytes_str("m"), out, &len))
                        return 2;
        if (scheme_usual(a, PURPOSE_AGREE) && privkey_agree(copy, BYTES(p.data, p.len), BYTES_NULL, BYTES_NULL, out, 32))
                return 3;
        if (scheme_usual(a, PURPOSE_DECRYPT) &&
                        privkey_decrypt(copy, BYTES(out, key_algorithm_info(a)->bits / 8), BYTES_NULL, out, sizeof(out), &len) !=
                                        HF_E_DECRYPT_FAILED)
                return 4;
        if (a == KEY_HMAC256 && privkey_mac(copy, bytes_str("m"), out))
                return 5;
        if (a == KEY_AES256 && (privkey_seal(copy, bytes_str("m"), BYTES_NULL, out, sizeof(out), &len) ||
                                               privkey_unseal(copy, BYTES(out, len), BYTES_NULL, raw, sizeof(raw), &len)))
                return 6;
        return 0;
}

static int use_all(void *arg)
{
        static const KeyAlgorithm all[] = {KEY_P256, KEY_P384, KEY_ED25519, KEY_RSA2048, KEY_X25519, KEY_HMAC256, KEY_AES256};

        (void)arg;
        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                if (use(all[i]))
                        return 10 * (int)i + use(all[i]);
        return 0;
}

static int close_filter(void)
{
        static const int opening[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(socket),
                SCMP_SYS(connect), SCMP_SYS(execve), SCMP_SYS(stat), SCMP_SYS(access)};
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int r = filter ? 0 : -1;

        for (size_t i = 0; !r && i < ELEMENTSOF(opening); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, opening[i], 0);
        if (!r)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r;
}

static int in_child(int (*what)(void))
{
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(what());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int warm_then_closed(void)
{
        thrd_t thread;
        int r = 99;

        if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) || crypto_warm_up() || close_filter())
                return 100;
        if (use_all(NULL))
                return 101;
        if (thrd_create(&thread, use_all, NULL) != thrd_success || thrd_join(thread, &r) != thrd_success)
                return 102;
        return r;
}

static int open_when_closed(void)
{
        if (close_filter())
                return 100;
        return fopen("/dev/null", "re") ? 0 : 1;
}

static void test_after_warm_up_no_file_is_opened(void **state)
{
        (void)state;
        assert_int_equal(in_child(warm_then_closed), 0);
}

static void test_the_filter_of_this_test_does_kill(void **state)
{
        (void)state;
        assert_int_equal(in_child(open_when_closed), 128 + SIGSYS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_after_warm_up_no_file_is_opened),
                cmocka_unit_test(test_the_filter_of_this_test_does_kill),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
