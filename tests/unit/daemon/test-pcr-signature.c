/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signatures as systemd-measure writes them; files of other forms and of other people. */
#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "daemon/pcr-signature.h"

#define POL "53a4afdd2e1e5c4a1ab1cc0aae3bf7eb5f6a4fcf9aa49c4efb7e4e5fbb43a37b"
#define KEY "c0535e4be2b79ffd93291305436bf889314e4a3faec05ecffcbb7df31ad9e51a"
#define ENTRY_OF(pcrs, key, pol, sig) "{\"pcrs\":" pcrs ",\"pkfp\":\"" key "\",\"pol\":\"" pol "\",\"sig\":\"" sig "\"}"
#define ENTRY ENTRY_OF("[11]", KEY, POL, "AAEC")

static int parse(const char *text, PcrSignatures *ret)
{
        return pcr_signatures_parse(bytes_str(text), ret);
}

static void test_signatures_of_both_banks_are_read_with_what_they_are_for(void **state)
{
        PcrSignatures s;

        (void)state;
        assert_int_equal(parse("{\"sha1\":[{}],\"sha384\":[" ENTRY_OF("[0,7]", KEY, POL, "/w==") "],\"sha256\":[" ENTRY "]}", &s), 0);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.items[0].bank, TPM_BANK_SHA256);
        assert_int_equal(s.items[0].mask, 1u << 11);
        assert_int_equal(s.items[0].key_fingerprint[0], 0xc0);
        assert_int_equal(s.items[0].approval.digest[0], 0x53);
        assert_int_equal(s.items[0].approval.signature.len, 3);
        assert_int_equal(s.items[1].bank, TPM_BANK_SHA384);
        assert_int_equal(s.items[1].mask, 1u << 7 | 1);
        assert_int_equal(s.items[1].approval.signature.len, 1);
        assert_int_equal(s.items[1].approval.signature.data[0], 0xff);
        assert_int_equal(parse("{}", &s), 0);
        assert_int_equal(s.n, 0);
}

static void test_other_forms_are_refused_whole(void **state)
{
        static const char *const bad[] = {
                        "", "x", "[]", "null", "{\"sha256\":{}}", "{\"sha256\":[1]}", "{\"sha256\":[{}]}",
                        "{\"sha256\":[" ENTRY "," ENTRY_OF("[11]", KEY, "00", "AAEC") "]}",
                        "{\"sha256\":[" ENTRY_OF("[11]", KEY, POL "00", "AAEC") "]}",
                        "{\"sha256\":[" ENTRY_OF("[11]", "00", POL, "AAEC") "]}",
                        "{\"sha256\":[" ENTRY_OF("[]", KEY, POL, "AAEC") "]}",
                        "{\"sha256\":[" ENTRY_OF("[24]", KEY, POL, "AAEC") "]}",
                        "{\"sha256\":[" ENTRY_OF("[-1]", KEY, POL, "AAEC") "]}",
                        "{\"sha256\":[" ENTRY_OF("[true]", KEY, POL, "AAEC") "]}",
                        "{\"sha256\":[" ENTRY_OF("11", KEY, POL, "AAEC") "]}",
                        "{\"sha256\":[" ENTRY_OF("[11]", KEY, POL, "") "]}",
                        "{\"sha256\":[" ENTRY_OF("[11]", KEY, POL, "A") "]}",
                        "{\"sha256\":[{\"pcrs\":[11],\"pol\":\"" POL "\",\"sig\":\"AAEC\"}]}",
                        "{\"sha256\":[{\"pcrs\":[11],\"pkfp\":\"" KEY "\",\"pol\":7,\"sig\":\"AAEC\"}]}",
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
        static char text[2048] = "{\"sha256\":[{\"pcrs\":[11],\"pkfp\":\"" KEY "\",\"pol\":\"" POL "\",\"sig\":\"";
        PcrSignatures s;

        (void)state;
        for (int i = 0; i < TPM_NUMBER_MAX / 3; i++)
                strcat(text, "AAAA");
        strcpy(text + strlen(text), "\"}]}");
        assert_int_equal(parse(text, &s), 0);
        strcpy(text + strlen(text) - 4, "AAAA\"}]}");
        assert_int_equal(parse(text, &s), HF_E_INVALID_ARGS);
}

static void test_a_full_file_is_read_to_its_end_and_a_fuller_one_refused(void **state)
{
        static char text[(SIGNER_SIGNATURES + 1) * sizeof(ENTRY) + 64] = "{\"sha256\":[" ENTRY;
        PcrSignatures s;

        (void)state;
        for (int i = 1; i < SIGNER_SIGNATURES; i++)
                strcat(text, "," ENTRY);
        strcat(text, "]}");
        assert_int_equal(parse(text, &s), 0);
        assert_int_equal(s.n, SIGNER_SIGNATURES);
        strcpy(text + strlen(text) - 2, "," ENTRY "]}");
        assert_int_equal(parse(text, &s), HF_E_LIMIT_EXCEEDED);
        assert_int_equal(s.n, 0);
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
                        cmocka_unit_test(test_signatures_of_both_banks_are_read_with_what_they_are_for),
                        cmocka_unit_test(test_other_forms_are_refused_whole),
                        cmocka_unit_test(test_a_signature_longer_than_any_key_of_ours_is_refused),
                        cmocka_unit_test(test_a_full_file_is_read_to_its_end_and_a_fuller_one_refused),
                        cmocka_unit_test(test_the_first_file_there_is_counts_and_others_people_s_do_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
