/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holdfast.conf and the command line: what is written is what is in force, and a typo starts nothing. */
#include "daemon/config.h"

#include "tests/unit/daemon/support.h"

typedef struct Place {
        Sandbox box;
        char path[96];
        Config c;
} Place;

static int setup(void **state)
{
        Place *p = calloc(1, sizeof(*p));

        sandbox_make(&p->box);
        snprintf(p->path, sizeof(p->path), "%s/holdfast.conf", p->box.path);
        config_init(&p->c);
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        Place *p = *state;

        sandbox_remove(&p->box);
        free(p);
        return 0;
}

static int read_text(Place *p, Bytes text)
{
        assert_int_equal(io_write_file(p->box.fd, "holdfast.conf", text, 0644), 0);
        return config_read_file(&p->c, p->path, true);
}

static int arguments(Config *c, const char *a, const char *b)
{
        char *argv[] = {(char *)"holdfastd", (char *)a, (char *)b, NULL};

        return config_from_arguments(c, b ? 3 : a ? 2 : 1, argv);
}

static void test_the_shipped_values_are_the_documented_ones(void **state)
{
        Place *p = *state;

        assert_string_equal(p->c.state_directory, "/var/lib/holdfast");
        assert_string_equal(p->c.signer_socket, "/run/holdfast-signer/socket");
        assert_int_equal(p->c.n_listen, 0);
        assert_false(p->c.import);
        assert_true(p->c.system_bus);
        assert_int_equal(p->c.policy_owner, 0);
        assert_int_equal(p->c.checkpoint_lines, 1024);
        assert_int_equal(p->c.checkpoint_seconds, 60);
        assert_int_equal(p->c.segment_size, 16 << 20);
        assert_int_equal(p->c.max_connections, 1024);
        assert_int_equal(p->c.max_connections_per_user, 256);
        assert_int_equal(p->c.max_jobs_per_user, 64);
}

static void test_lines_comments_and_blanks_are_read(void **state)
{
        Place *p = *state;

        assert_int_equal(read_text(p, bytes_str("# a comment\n"
                                                "; another\n"
                                                "[Holdfast]\n"
                                                "\n"
                                                "   \t\n"
                                                "state-directory=/srv/keys\n"
                                                "  listen  =  /run/x y/bus \t\r\n"
                                                "import=yes\n"
                                                "bus=none\n"
                                                "policy-owner=1000\n"
                                                "max-jobs-per-user=7")),
                        0);
        assert_string_equal(p->c.state_directory, "/srv/keys");
        assert_int_equal(p->c.n_listen, 1);
        assert_string_equal(p->c.listen[0], "/run/x y/bus");
        assert_true(p->c.import);
        assert_false(p->c.system_bus);
        assert_int_equal(p->c.policy_owner, 1000);
        assert_int_equal(p->c.max_jobs_per_user, 7);
        /* the field beside it is what it was */
        assert_int_equal(p->c.max_connections_per_user, 256);
}

static void test_a_value_may_hold_the_equals_sign_and_be_empty(void **state)
{
        Place *p = *state;

        assert_int_equal(read_text(p, bytes_str("signer-socket=/a=b\n")), 0);
        assert_string_equal(p->c.signer_socket, "/a=b");
        assert_int_equal(read_text(p, bytes_str("signer-socket=\n")), 0);
        assert_string_equal(p->c.signer_socket, "");
}

static void test_sockets_are_a_list_with_an_end_that_an_empty_line_begins_anew(void **state)
{
        Place *p = *state;
        char line[200];

        assert_int_equal(read_text(p, bytes_str("listen=/a\nlisten=\nlisten=/b\nlisten=/c\n")), 0);
        assert_int_equal(p->c.n_listen, 2);
        assert_string_equal(p->c.listen[0], "/b");
        assert_string_equal(p->c.listen[1], "/c");
        assert_int_equal(read_text(p, bytes_str("listen=bus\n")), HF_E_INVALID_ARGS);
        for (size_t i = 2; i < CONFIG_LIST_MAX; i++)
                assert_int_equal(read_text(p, bytes_str("listen=/x\n")), 0);
        assert_int_equal(read_text(p, bytes_str("listen=/x\n")), HF_E_INVALID_ARGS);
        assert_int_equal(read_text(p, bytes_str("listen=\n")), 0);
        snprintf(line, sizeof(line), "listen=/%0*d\n", CONFIG_PATH_SIZE - 2, 0);
        assert_int_equal(read_text(p, bytes_str(line)), 0);
        snprintf(line, sizeof(line), "listen=/%0*d\n", CONFIG_PATH_SIZE - 1, 0);
        assert_int_equal(read_text(p, bytes_str(line)), HF_E_INVALID_ARGS);
}

static void test_the_last_line_of_a_key_is_in_force(void **state)
{
        Place *p = *state;

        assert_int_equal(read_text(p, bytes_str("import=yes\nimport=no\n")), 0);
        assert_false(p->c.import);
}

static const struct {
        const char *value;
        uint64_t segment; /* 0: refused */
} sizes[] = {
                {"65536", 65536},
                {"64K", 64 << 10},
                {"1M", 1 << 20},
                {"1G", 1 << 30},
                {"1024M", 1 << 30},
                {"65535", 0},
                {"63K", 0},
                {"2G", 0},
                {"1073741825", 0},
                {"", 0},
                {"M", 0},
                {"1m", 0},
                {"1MB", 0},
                {"1 M", 0},
                {"1T", 0},
                {"-1M", 0},
                {"+1M", 0},
                {"1.5M", 0},
                {"0x100000", 0},
                {"18446744073709551615", 0},
                {"18446744073709551616", 0},
                {"18446744073709551617", 0},
                {"17179869185G", 0}, /* 2^64 + 2^30 when shifted */
                {"99999999999999999999999999", 0},
                {"yes", 0},
};

static void test_sizes_are_exact_or_refused(void **state)
{
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                int r;

                p->c.segment_size = 4711;
                r = config_set(&p->c, "segment-size", sizes[i].value, "here");
                if (r != (sizes[i].segment ? 0 : HF_E_INVALID_ARGS))
                        fail_msg("`%s`: %d", sizes[i].value, r);
                assert_int_equal(p->c.segment_size, sizes[i].segment ? sizes[i].segment : 4711);
        }
}

static void test_numbers_below_or_above_their_range_are_refused(void **state)
{
        static const struct {
                const char *key;
                uint64_t min, max;
        } rows[] = {
                        {"checkpoint-lines", 1, 1024},
                        {"checkpoint-seconds", 1, 86400},
                        {"max-keys", 1, 1000000},
                        {"max-connections", 4, 65536},
                        {"max-connections-per-user", 1, 65536},
                        {"max-jobs-per-user", 1, 4096},
        };
        Place *p = *state;
        char text[32];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const uint64_t good[] = {rows[i].min, rows[i].max},
                               bad[] = {rows[i].min - 1, rows[i].max + 1};

                for (size_t k = 0; k < 2; k++) {
                        snprintf(text, sizeof(text), "%llu", (unsigned long long)good[k]);
                        assert_int_equal(config_set(&p->c, rows[i].key, text, "here"), 0);
                        snprintf(text, sizeof(text), "%llu", (unsigned long long)bad[k]);
                        assert_int_equal(config_set(&p->c, rows[i].key, text, "here"), HF_E_INVALID_ARGS);
                }
        }
        assert_int_equal(config_set(&p->c, "policy-owner", "4294967295", "here"),
                        HF_E_INVALID_ARGS); /* nobody */
        assert_int_equal(config_set(&p->c, "policy-owner", "4294967294", "here"), 0);
        assert_int_equal(p->c.policy_owner, 4294967294u);
}

static void test_unknown_keys_and_bad_lines_are_refused(void **state)
{
        static const char *const texts[] = {
                        "imports=yes\n",
                        "Import=yes\n",
                        "import\n",
                        "=yes\n",
                        "import yes\n",
                        "import=\n",
                        "import=true\n",
                        "import=Yes\n",
                        "import=yes # really\n",
                        "bus=session\n",
                        "bus=yes\n",
                        "key\0import=yes\n",
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                if (read_text(p, bytes_str(texts[i])) != HF_E_INVALID_ARGS)
                        fail_msg("taken: %s", texts[i]);
                assert_false(p->c.import);
                assert_true(p->c.system_bus);
        }
}

static void test_nothing_hides_behind_a_nul(void **state)
{
        static const char text[] = "import=no\n\0\nnonsense\nimport=yes\n";
        Place *p = *state;

        assert_int_not_equal(read_text(p, BYTES(text, sizeof(text) - 1)), 0);
}

static void test_texts_that_do_not_fit_are_refused_whole(void **state)
{
        Place *p = *state;
        char text[CONFIG_TEXT_MAX + 1] = {0};

        memset(text, '/', CONFIG_TEXT_MAX);
        assert_int_equal(config_set(&p->c, "state-directory", text, "here"), HF_E_INVALID_ARGS);
        assert_string_equal(p->c.state_directory, "/var/lib/holdfast");
        text[CONFIG_TEXT_MAX - 1] = '\0';
        assert_int_equal(config_set(&p->c, "state-directory", text, "here"), 0);
        assert_string_equal(p->c.state_directory, text);
        /* the next field is whole */
        assert_string_equal(p->c.signer_socket, "/run/holdfast-signer/socket");
}

static void test_a_missing_file_is_only_fine_where_it_need_not_be(void **state)
{
        Place *p = *state;

        assert_int_equal(config_read_file(&p->c, p->path, false), 0);
        assert_int_equal(config_read_file(&p->c, p->path, true), -ENOENT);
        assert_int_not_equal(config_read_file(&p->c, p->box.path, false), 0);
}

static void test_an_endless_file_is_refused(void **state)
{
        Place *p = *state;
        _cleanup_free_ char *text = malloc(70000);

        memset(text, '\n', 70000);
        assert_int_not_equal(read_text(p, BYTES(text, 70000)), 0);
        assert_int_equal(read_text(p, BYTES(text, 60000)), 0);
}

/* ---- command line ---- */

static void test_the_command_line_wins_over_the_file(void **state)
{
        Place *p = *state;
        char file[128];

        assert_int_equal(
                        io_write_file(p->box.fd, "holdfast.conf", bytes_str("import=no\nmax-keys=5\n"), 0644),
                        0);
        snprintf(file, sizeof(file), "--config=%s", p->path);
        assert_int_equal(arguments(&p->c, "--import=yes", file), 0);
        assert_true(p->c.import);
        assert_int_equal(p->c.max_keys, 5);
}

static void test_a_file_that_was_asked_for_must_be_there(void **state)
{
        Place *p = *state;

        assert_int_equal(arguments(&p->c, "--config=/nonexistent/holdfast.conf", NULL), -ENOENT);
}

static void test_arguments_that_are_none_are_refused(void **state)
{
        static const char *const bad[] = {
                        "import=yes",
                        "-import=yes",
                        "--import",
                        "--imports=yes",
                        "--",
                        "",
                        "--=yes",
                        "yes",
                        "--a-key-name-of-more-than-sixty-four-characters-which-none-of-ours-has-at-all=yes",
        };
        Place *p = *state;
        char file[128];

        assert_int_equal(io_write_file(p->box.fd, "holdfast.conf", BYTES_NULL, 0644), 0);
        snprintf(file, sizeof(file), "--config=%s", p->path);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (arguments(&p->c, file, bad[i]) != HF_E_INVALID_ARGS)
                        fail_msg("taken: `%s`", bad[i]);
        assert_false(p->c.import);
}

static void test_help_and_version_start_nothing(void **state)
{
        Place *p = *state;

        assert_int_equal(arguments(&p->c, "--help", NULL), HF_E_NOTHING_TO_DO);
        assert_int_equal(arguments(&p->c, "--version", "--nonsense"), HF_E_NOTHING_TO_DO);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_the_shipped_values_are_the_documented_ones),
                        T(test_lines_comments_and_blanks_are_read),
                        T(test_a_value_may_hold_the_equals_sign_and_be_empty),
                        T(test_sockets_are_a_list_with_an_end_that_an_empty_line_begins_anew),
                        T(test_the_last_line_of_a_key_is_in_force),
                        T(test_sizes_are_exact_or_refused),
                        T(test_numbers_below_or_above_their_range_are_refused),
                        T(test_unknown_keys_and_bad_lines_are_refused),
                        T(test_nothing_hides_behind_a_nul),
                        T(test_texts_that_do_not_fit_are_refused_whole),
                        T(test_a_missing_file_is_only_fine_where_it_need_not_be),
                        T(test_an_endless_file_is_refused),
                        T(test_the_command_line_wins_over_the_file),
                        T(test_a_file_that_was_asked_for_must_be_there),
                        T(test_arguments_that_are_none_are_refused),
                        T(test_help_and_version_start_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
