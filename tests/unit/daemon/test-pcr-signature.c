/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signatures as systemd-measure writes them; files of other forms and of other people. */
#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "daemon/pcr-signature.h"

#define POL "53a4afdd2e1e5c4a1ab1cc0aae3bf7eb5f6a4fcf9aa49c4efb7e4e5fbb43a37b"
#define ENTRY "{\"pcrs\":[11],\"pkfp\":\"00\",\"pol\":\"" POL "\",\"sig\":\"AAEC\"}"

static int parse(const char *text, PcrSignatures *ret)
{
        return pcr_signatures_parse(bytes_str(text), ret);
}

static void test_signatures_of_both_banks_are_read_sha256_first(void **state)
{
        PcrSignatures s;

        (void)state;
        assert_int_equal(parse("{\"sha1\":[{}],\"sha384\":[{\"pol\":\"" POL "\",\"sig\":\"/w==\"}],\"sha256\":[" ENTRY "]}", &s),
                        0);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.items[0].digest[0], 0x53);
        assert_int_equal(s.items[0].signature.len, 3);
        assert_int_equal(s.items[1].signature.len, 1);
        assert_int_equal(s.items[1].signature.data[0], 0xff);
        assert_int_equal(parse("{}", &s), 0);
        assert_int_equal(s.n, 0);
}

static void test_other_forms_are_refused_whole(void **state)
{
        static const char *const bad[] = {
                        "", "x", "[]", "null", "{\"sha256\":{}}", "{\"sha256\":[1]}", "{\"sha256\":[{}]}",
                        "{\"sha256\":[" ENTRY ",{\"pol\":\"00\",\"sig\":\"AAEC\"}]}",
                        "{\"sha256\":[{\"pol\":\"" POL "00\",\"sig\":\"AAEC\"}]}",
                        "{\"sha256\":[{\"pol\":\"" POL "\",\"sig\":\"\"}]}",
                        "{\"sha256\":[{\"pol\":\"" POL "\",\"sig\":\"A\"}]}",
                        "{\"sha256\":[{\"pol\":7,\"sig\":\"AAEC\"}]}",
                        "{\"sha256\":[],\"sha256\":[]}",
        };
        PcrSignatures s;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(parse(bad[i], &s), HF_E_INVALID_ARGS);
                assert_int_equal(s.n, 0);
        }
}

static void test_a_signature_longer_than_any_key_of_ours_is_refused(void **state)
{
        static char text[2048] = "{\"sha256\":[{\"pol\":\"" POL "\",\"sig\":\"";
        PcrSignatures s;

        (void)state;
        for (int i = 0; i < TPM_NUMBER_MAX / 3 + 1; i++)
                strcat(text, "AAAA");
        strcat(text, "\"}]}");
        assert_int_equal(parse(text, &s), HF_E_INVALID_ARGS);
}

static void test_more_than_there_is_room_for_are_left_out(void **state)
{
        static char text[16384] = "{\"sha256\":[" ENTRY;
        PcrSignatures s;

        (void)state;
        for (int i = 0; i < 3 * TPM_POLICY_SIGNATURES_MAX; i++)
                strcat(text, "," ENTRY);
        strcat(text, "]}");
        assert_int_equal(parse(text, &s), 0);
        assert_int_equal(s.n, TPM_POLICY_SIGNATURES_MAX);
}

static void test_the_first_file_there_is_counts_and_others_people_s_do_not(void **state)
{
        char paths[512], first[128], second[128];
        const Bytes one = bytes_str("{\"sha256\":[" ENTRY "]}"), none = bytes_str("{}");
        PcrSignatures s;
        Sandbox box;

        (void)state;
        sandbox_make(&box);
        snprintf(first, sizeof(first), "%s/first", box.path);
        snprintf(second, sizeof(second), "%s/second", box.path);
        snprintf(paths, sizeof(paths), "  %s/absent %s  %s", box.path, first, second);
        pcr_signatures_read(paths, &s);
        assert_int_equal(s.n, 0);

        assert_int_equal(io_write_file(box.fd, "second", one, 0644), 0);
        pcr_signatures_read(paths, &s);
        assert_int_equal(s.n, 1);
        assert_int_equal(io_write_file(box.fd, "first", none, 0644), 0);
        pcr_signatures_read(paths, &s);
        assert_int_equal(s.n, 0);

        assert_int_equal(io_write_file(box.fd, "first", one, 0666), 0);
        pcr_signatures_read(paths, &s);
        assert_int_equal(s.n, 0);
        assert_int_equal(unlink(first), 0);
        assert_int_equal(symlink(second, first), 0);
        pcr_signatures_read(paths, &s);
        assert_int_equal(s.n, 0);
        assert_int_equal(unlink(first), 0);
        assert_int_equal(mkfifo(first, 0600), 0);
        pcr_signatures_read(paths, &s); /* and does not wait for its other end */
        assert_int_equal(s.n, 0);
        sandbox_remove(&box);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_signatures_of_both_banks_are_read_sha256_first),
                        cmocka_unit_test(test_other_forms_are_refused_whole),
                        cmocka_unit_test(test_a_signature_longer_than_any_key_of_ours_is_refused),
                        cmocka_unit_test(test_more_than_there_is_room_for_are_left_out),
                        cmocka_unit_test(test_the_first_file_there_is_counts_and_others_people_s_do_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
