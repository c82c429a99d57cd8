/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files with a wrong owner or mode are found, each with the one command after which it is found no more. */
#include "daemon/files.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/daemon/support.h"

#define STRANGER 61009

typedef struct Place {
        Sandbox box;
        FilesUsers users;
        size_t seen, found;
        char detail[1024], command[4096];
} Place;

static int on_found(void *userdata, const char *detail, const char *command)
{
        Place *p = userdata;

        p->found++;
        snprintf(p->detail, sizeof(p->detail), "%s", detail);
        snprintf(p->command, sizeof(p->command), "%s", command);
        return 0;
}

static int setup(void **state)
{
        Place *p = calloc(1, sizeof(*p));

        sandbox_make(&p->box);
        p->users = (FilesUsers){.self = geteuid(), .admin = geteuid()};
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

static const char *path_of(const Place *p, const char *name)
{
        static char path[256];

        snprintf(path, sizeof(path), "%s%s%s", p->box.path, *name ? "/" : "", name);
        return path;
}

static void make(Place *p, const char *name, mode_t mode)
{
        int fd = openat(p->box.fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}

static void make_dir(Place *p, const char *name, mode_t mode)
{
        assert_int_equal(mkdirat(p->box.fd, name, 0700), 0);
        assert_int_equal(fchmodat(p->box.fd, name, mode, 0), 0);
}

static void make_socket(Place *p, const char *name, mode_t mode)
{
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s", path_of(p, name));
        assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
        assert_int_equal(chmod(sa.sun_path, mode), 0);
        close(fd);
}

static size_t check(Place *p, FileKind kind, const char *name)
{
        p->seen = p->found = 0;
        p->command[0] = '\0';
        assert_int_equal(files_check(kind, path_of(p, name), &p->users, on_found, p, &p->seen), 0);
        return p->found;
}

/* What is found has a command, and behind that command it is found no more. */
static void expect_mended(Place *p, FileKind kind, const char *name, const char *says)
{
        assert_int_equal(check(p, kind, name), 1);
        if (!strstr(p->detail, says))
                fail_msg("\"%s\" does not say %s", p->detail, says);
        assert_int_equal(system(p->command), 0);
        assert_int_equal(check(p, kind, name), 0);
}

static void test_what_is_as_it_should_be_is_no_finding(void **state)
{
        Place *p = *state;

        make_dir(p, "state", 0700);
        make(p, "state/db", 0600);
        make(p, "rules", 0640);
        make(p, "program", 0755);
        make_socket(p, "signer", 0600);
        make_socket(p, "bus", 0666);
        assert_int_equal(check(p, FILE_OWN, "state"), 0);
        assert_int_equal(p->seen, 2);
        assert_int_equal(check(p, FILE_ADMINS, "rules"), 0);
        assert_int_equal(check(p, FILE_PROGRAM, "program"), 0);
        assert_int_equal(check(p, FILE_SOCKET_SIGNER, "signer"), 0);
        assert_int_equal(check(p, FILE_SOCKET_CALLERS, "bus"), 0);
        assert_int_equal(check(p, FILE_OWN, "not there"), 0);
        assert_int_equal(p->seen, 0);
}

static void test_modes_are_found_and_mended(void **state)
{
        static const struct {
                FileKind kind;
                const char *name;
                mode_t wrong;
                const char *says;
        } cases[] = {
                {FILE_OWN, "own", 0640, "mode 0640; it should be"},
                {FILE_OWN, "own", 0604, "mode 0604"},
                {FILE_OWN, "own", 04600, "mode 4600"},
                {FILE_ADMINS, "rules", 0664, "mode 0664"},
                {FILE_ADMINS, "rules", 0646, "mode 0646"},
                {FILE_PROGRAM, "program", 0775, "mode 0775"},
                {FILE_CREDENTIAL, "credential", 0644, "mode 0644"},
        };
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                make(p, cases[i].name, cases[i].wrong);
                expect_mended(p, cases[i].kind, cases[i].name, cases[i].says);
        }
        make_dir(p, "place", 0777);
        expect_mended(p, FILE_PLACE, "place", "mode 0777");
        assert_int_equal(fchmodat(p->box.fd, "place", 0700, 0), 0); /* callers do not come through */
        expect_mended(p, FILE_PLACE, "place", "mode 0700");
        make_dir(p, "copy", 0750);
        expect_mended(p, FILE_CREDENTIAL_COPY, "copy", "mode 0750");
}

static void test_sockets_are_found_and_mended(void **state)
{
        Place *p = *state;

        make_socket(p, "signer", 0660);
        expect_mended(p, FILE_SOCKET_SIGNER, "signer", "mode 0660");
        make_socket(p, "bus", 0600);
        expect_mended(p, FILE_SOCKET_CALLERS, "bus", "mode 0600; it should be");
        make(p, "no socket", 0600);
        expect_mended(p, FILE_SOCKET_SIGNER, "no socket", "is no socket");
}

static void test_owners_are_found_and_mended(void **state)
{
        static const FileKind kinds[] = {FILE_OWN, FILE_ADMINS, FILE_PROGRAM, FILE_CREDENTIAL};
        Place *p = *state;

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                make(p, "file", 0600);
                assert_int_equal(fchownat(p->box.fd, "file", STRANGER, STRANGER, 0), 0);
                expect_mended(p, kinds[i], "file", "belongs to uid 61009");
        }
        make_socket(p, "bus", 0666);
        assert_int_equal(fchownat(p->box.fd, "bus", STRANGER, STRANGER, 0), 0);
        expect_mended(p, FILE_SOCKET_CALLERS, "bus", "belongs to uid 61009");
        p->users.self = STRANGER; /* what is in the state must not be root's either */
        make(p, "file", 0600);
        expect_mended(p, FILE_OWN, "file", "belongs to uid 0");
}

static void test_everything_in_a_directory_is_looked_at_and_nothing_behind_a_link(void **state)
{
        Place *p = *state;

        make_dir(p, "state", 0700);
        make_dir(p, "state/store", 0700);
        make_dir(p, "state/store/audit", 0700);
        make(p, "state/store/audit/000001.jsonl", 0600);
        make(p, "state/store/audit/000002.jsonl", 0620);
        expect_mended(p, FILE_OWN, "state", "000002.jsonl");
        make(p, "elsewhere", 0666);
        assert_int_equal(symlinkat("../elsewhere", p->box.fd, "state/link"), 0);
        expect_mended(p, FILE_OWN, "state", "state/link is no file of ours");
        assert_int_equal(faccessat(p->box.fd, "elsewhere", F_OK, 0), 0);
}

static void test_of_a_policy_directory_only_the_rule_files_count(void **state)
{
        Place *p = *state;

        make_dir(p, "policy.d", 0755);
        make(p, "policy.d/README", 0666);
        make(p, "policy.d/10-a.conf", 0644);
        assert_int_equal(symlinkat("/dev/null", p->box.fd, "policy.d/20-b.conf"), 0);
        assert_int_equal(check(p, FILE_ADMINS, "policy.d"), 0);
        make(p, "policy.d/10-a.conf", 0666);
        expect_mended(p, FILE_ADMINS, "policy.d", "10-a.conf");
        assert_int_equal(fchmodat(p->box.fd, "policy.d", 0777, 0), 0);
        expect_mended(p, FILE_ADMINS, "policy.d", "policy.d belongs");
}

static void test_a_name_does_not_become_a_command(void **state)
{
        Place *p = *state;

        make_dir(p, "state", 0700);
        make(p, "state/a'; touch $(pwd)x; '", 0666);
        expect_mended(p, FILE_OWN, "state", "touch");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_what_is_as_it_should_be_is_no_finding),
                        T(test_modes_are_found_and_mended),
                        T(test_sockets_are_found_and_mended),
                        T(test_owners_are_found_and_mended),
                        T(test_everything_in_a_directory_is_looked_at_and_nothing_behind_a_link),
                        T(test_of_a_policy_directory_only_the_rule_files_count),
                        T(test_a_name_does_not_become_a_command),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
