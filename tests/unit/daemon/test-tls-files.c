/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TLS directory: what is in it, that a switch is one step, that what somebody changed is put right, and that nothing is
 * left by whatever stopped half-way.
 */
#include "daemon/tls-files.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/daemon/support.h"

#define LEAF \
        "-----BEGIN CERTIFICATE-----\n" \
        "MIIBbjCCARWgAwIBAgIUPqfzuRzCXFAX1Q2e8oIsyiKPFHgwCgYIKoZIzj0EAwIw\n" \
        "DDEKMAgGA1UEAwwBYTAgFw0yNjExMjExMDM5MzRaGA8yMTI2MTAyODEwMzkzNFow\n" \
        "DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN+9mxINIMG7\n" \
        "f/M1FX+y7mEjZWADb6GkGhraq6qH28qdc9PK8m5ia37ZNF60E5EgJdfYbfHE6Kjd\n" \
        "5FhOQ7VgjfejUzBRMB0GA1UdDgQWBBQdNo8a6pMlmClFYW3ouI2I8IUS6DAfBgNV\n" \
        "HSMEGDAWgBQdNo8a6pMlmClFYW3ouI2I8IUS6DAPBgNVHRMBAf8EBTADAQH/MAoG\n" \
        "CCqGSM49BAMCA0cAMEQCIAz5RXZisWmFSn3Mo3d5sEdJ+Rrl0KS8IQWZLLLEBHsK\n" \
        "AiA3UF0yM8ezU6HK+8nqi+8yvfhBkdKkzcwuMk0mhNyHmw==\n" \
        "-----END CERTIFICATE-----\n"
#define OTHER "-----BEGIN CERTIFICATE-----\nb3RoZXI=\n-----END CERTIFICATE-----\n"
#define FINGERPRINT "0B:63:16:1F:98:00:34:E0:93:93:3D:D8:76:8D:7D:C0:A0:91:88:54:61:03:DB:E0:1E:C0:48:A0:AD:39:FA:F1\n"
#define BEGIN_REFERENCE "-----BEGIN HOLDFAST KEY REFERENCE-----\n"

typedef struct Place {
        Sandbox box;
        char told[512]; /* what settling has said, a word a line */
} Place;

static int setup(void **state)
{
        Place *p = calloc(1, sizeof(*p));

        sandbox_make(&p->box);
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

static TlsContent content(const char *name, const char *layout, const char *chain)
{
        static const uint8_t spki[91] = {0x30, 0x59}, pins[64] = {1};

        return (TlsContent){.name = name,
                        .layout = layout,
                        .chain = bytes_str(chain),
                        .trust = bytes_str(OTHER),
                        .pins = BYTES_ARRAY(pins),
                        .key_name = "device",
                        .key = {{7}},
                        .spki = BYTES_ARRAY(spki)};
}

static void put(Place *p, const TlsContent *c)
{
        char generation[TLS_GENERATION_SIZE];

        assert_int_equal(tls_files_write(p->box.fd, c, generation), 0);
        assert_int_equal(tls_files_switch(p->box.fd, c->name, generation), 0);
}

static char *content_of(Place *p, const char *path)
{
        static char text[16384];
        int fd = openat(p->box.fd, path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return NULL;
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        assert_true(n >= 0);
        text[n] = '\0';
        return text;
}

static void expect(Place *p, const char *path, const char *text)
{
        const char *found = content_of(p, path);

        assert_non_null(found);
        assert_string_equal(found, text);
}

/* Entries of a directory, without . and .. */
static unsigned count(Place *p, const char *path)
{
        int fd = openat(p->box.fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fdopendir(fd);
        unsigned n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n - 2;
}

static void on_difference(void *userdata, const char *name, TlsDifference difference, int result)
{
        static const char *const words[] = {"missing", "changed", "removed", "failed"};
        Place *p = userdata;
        size_t n = strlen(p->told);

        assert_true((result == 0) == (difference != TLS_FAILED));
        snprintf(p->told + n, sizeof(p->told) - n, "%s %s\n", words[difference], name);
}

static void settle(Place *p, const TlsContent *items, size_t n, const char *told)
{
        p->told[0] = '\0';
        assert_int_equal(tls_files_settle(p->box.fd, items, n, on_difference, p), 0);
        assert_string_equal(p->told, told);
        p->told[0] = '\0';
        assert_int_equal(tls_files_settle(p->box.fd, items, n, on_difference, p), 0);
        assert_string_equal(p->told, "");
}

/* ---- what is in it ---- */

static void test_the_usual_layout_has_these_files_and_no_others(void **state)
{
        TlsContent c = content("web", "pem", LEAF OTHER);
        Place *p = *state;
        struct stat st;
        char reference[4096];

        put(p, &c);
        assert_int_equal(count(p, "web/"), 7);
        expect(p, "web/cert.pem", LEAF);
        expect(p, "web/chain.pem", OTHER);
        expect(p, "web/fullchain.pem", LEAF OTHER);
        expect(p, "web/ca.pem", OTHER);
        expect(p, "web/pins.txt", "sha256//AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
                                  "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
        snprintf(reference, sizeof(reference), "%s", content_of(p, "web/key.pem"));
        assert_non_null(strstr(reference, BEGIN_REFERENCE));
        assert_ptr_equal(strstr(reference, "# Not a secret"), reference);
        assert_non_null(strstr(content_of(p, "web/bundle.pem"), LEAF OTHER "# Not a secret"));
        assert_int_equal(strlen(content_of(p, "web/bundle.pem")), strlen(LEAF OTHER) + strlen(reference));
        assert_int_equal(fstatat(p->box.fd, "web", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(fstatat(p->box.fd, "web/key.pem", &st, 0), 0);
        assert_int_equal(st.st_mode, S_IFREG | 0644);
        assert_int_equal(fstatat(p->box.fd, "web/", &st, 0), 0);
        assert_int_equal(st.st_mode, S_IFDIR | 0755);
        assert_int_equal(tls_files_compare(p->box.fd, &c), 0);
}

static void test_what_was_not_given_has_no_file(void **state)
{
        TlsContent c = content("web", "named", LEAF);
        Place *p = *state;

        c.trust = c.pins = BYTES_NULL;
        put(p, &c);
        assert_int_equal(count(p, "web/"), 8);
        expect(p, "web/chain.pem", "");
        assert_null(content_of(p, "web/ca.pem"));
        assert_null(content_of(p, "web/ca.crt"));
        assert_null(content_of(p, "web/pins.txt"));
}

static void test_revocation_lists_come_and_go_with_a_new_generation(void **state)
{
        TlsContent c = content("web", "pem", LEAF);
        char before[TLS_GENERATION_SIZE] = "", after[TLS_GENERATION_SIZE] = "";
        Place *p = *state;

        put(p, &c);
        assert_null(content_of(p, "web/crl.pem"));
        assert_int_equal(tls_files_refresh(p->box.fd, &c), HF_E_NOTHING_TO_DO);
        assert_true(readlinkat(p->box.fd, "web", before, sizeof(before) - 1) > 0);
        c.lists = bytes_str("one list\n");
        assert_int_equal(tls_files_refresh(p->box.fd, &c), 0);
        assert_true(readlinkat(p->box.fd, "web", after, sizeof(after) - 1) > 0);
        assert_string_not_equal(before, after);
        assert_int_equal(count(p, "web/"), 8);
        expect(p, "web/crl.pem", "one list\n");
        assert_int_equal(tls_files_refresh(p->box.fd, &c), HF_E_NOTHING_TO_DO);
        c.lists = bytes_str("one list\nanother\n");
        assert_int_equal(tls_files_refresh(p->box.fd, &c), 0);
        expect(p, "web/crl.pem", "one list\nanother\n");
        c.lists = BYTES_NULL;
        assert_int_equal(tls_files_refresh(p->box.fd, &c), 0);
        assert_null(content_of(p, "web/crl.pem"));
}

/* The store does not know them, so they are no reason to call the files changed. */
static void test_settling_leaves_revocation_lists_alone(void **state)
{
        TlsContent c = content("web", "pem", LEAF);
        Place *p = *state;

        c.lists = bytes_str("one list\n");
        put(p, &c);
        c.lists = BYTES_NULL;
        assert_int_equal(tls_files_compare(p->box.fd, &c), 0);
        settle(p, &c, 1, "");
        expect(p, "web/crl.pem", "one list\n");
}

static void test_the_other_layouts_add_the_names_programs_insist_on(void **state)
{
        TlsContent local = content("a", "local", LEAF OTHER), named = content("web.1", "named", LEAF);
        Place *p = *state;

        put(p, &local);
        put(p, &named);
        assert_int_equal(count(p, "a/"), 10);
        expect(p, "a/local.crt", LEAF OTHER);
        expect(p, "a/ca.crt", OTHER);
        assert_non_null(strstr(content_of(p, "a/local.key"), BEGIN_REFERENCE));
        assert_int_equal(count(p, "web.1/"), 11);
        expect(p, "web.1/web.1.crt", LEAF);
        expect(p, "web.1/fingerprint.txt", FINGERPRINT);
        assert_non_null(strstr(content_of(p, "web.1/web.1.key"), BEGIN_REFERENCE));
}

static void test_what_is_no_chain_or_no_layout_is_refused_and_leaves_nothing(void **state)
{
        TlsContent bad[] = {content("web", "pem", ""), content("web", "pem", "no certificate"), content("web", "other", LEAF),
                        content("../web", "pem", LEAF), content("web", "named", OTHER),
                        content("ca", "named", LEAF)}; /* its certificate would have the name of the anchors */
        char generation[TLS_GENERATION_SIZE];
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(tls_files_write(p->box.fd, &bad[i], generation), HF_E_INVALID_ARGS);
        assert_int_equal(count(p, "."), 0);
        assert_true(tls_layout_fits("named", "web") && tls_layout_fits("local", "ca") && tls_layout_fits("pem", "ca"));
}

/* ---- switching ---- */

static void test_a_generation_is_not_seen_before_the_switch_and_the_one_before_stays_for_a_while(void **state)
{
        TlsContent first = content("web", "pem", LEAF), second = content("web", "pem", LEAF OTHER);
        char generation[TLS_GENERATION_SIZE], text[4096];
        Place *p = *state;
        int before;

        put(p, &first);
        before = openat(p->box.fd, "web", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(tls_files_write(p->box.fd, &second, generation), 0);
        expect(p, "web/fullchain.pem", LEAF);
        assert_int_equal(tls_files_compare(p->box.fd, &second), HF_E_CERTIFICATE_UNUSABLE);
        assert_int_equal(tls_files_switch(p->box.fd, "web", generation), 0);
        expect(p, "web/fullchain.pem", LEAF OTHER);
        int fd = openat(before, "fullchain.pem", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, text, sizeof(text)), strlen(LEAF));
        close(fd);
        assert_int_equal(count(p, "."), 3);
        for (int i = 0; i < 5; i++)
                put(p, i % 2 ? &first : &second);
        assert_int_equal(count(p, "."), 3);
        assert_true(openat(before, "fullchain.pem", O_RDONLY | O_CLOEXEC) < 0);
        close(before);
}

typedef struct Reader {
        Place *place;
        atomic_bool stop;
        unsigned long reads, torn;
} Reader;

/* Each generation's chain says which one it is in its length, and its key in its name. */
static void *read_bundles(void *userdata)
{
        Reader *r = userdata;
        char text[16384];

        while (!r->stop) {
                int fd = openat(r->place->box.fd, "web/bundle.pem", O_RDONLY | O_CLOEXEC);
                ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
                bool first;

                safe_close(fd);
                text[n < 0 ? 0 : n] = '\0';
                first = strstr(text, LEAF OTHER "# Not a secret: key first ");
                r->torn += !first && !strstr(text, LEAF "# Not a secret: key second ");
                r->reads++;
        }
        return NULL;
}

static void test_who_reads_while_it_is_switched_finds_one_generation_or_the_other(void **state)
{
        TlsContent first = content("web", "pem", LEAF OTHER), second = content("web", "pem", LEAF);
        Place *p = *state;
        Reader reader = {.place = p};
        pthread_t thread;

        first.key_name = "first";
        second.key_name = "second";
        put(p, &first);
        assert_int_equal(pthread_create(&thread, NULL, read_bundles, &reader), 0);
        for (int i = 0; i < 100; i++)
                put(p, i % 2 ? &first : &second);
        reader.stop = true;
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(reader.reads > 0);
        assert_int_equal(reader.torn, 0);
}

static void test_names_that_contain_each_other_are_kept_apart(void **state)
{
        TlsContent a = content("a", "pem", LEAF), a1 = content("a.1", "pem", LEAF OTHER), a12 = content("a.1.2", "pem", LEAF);
        Place *p = *state;

        put(p, &a);
        put(p, &a1);
        put(p, &a12);
        for (int i = 0; i < 3; i++)
                put(p, &a);
        expect(p, "a.1/fullchain.pem", LEAF OTHER);
        assert_int_equal(tls_files_remove(p->box.fd, "a"), 0);
        expect(p, "a.1/fullchain.pem", LEAF OTHER);
        expect(p, "a.1.2/fullchain.pem", LEAF);
        assert_int_equal(count(p, "."), 4);
}

static void test_a_removed_one_leaves_nothing_and_may_be_removed_again(void **state)
{
        TlsContent c = content("web", "pem", LEAF);
        Place *p = *state;

        put(p, &c);
        put(p, &c);
        assert_int_equal(tls_files_remove(p->box.fd, "web"), 0);
        assert_int_equal(count(p, "."), 0);
        assert_int_equal(tls_files_remove(p->box.fd, "web"), 0);
        assert_int_equal(tls_files_compare(p->box.fd, &c), HF_E_NOTHING_TO_DO);
}

/* ---- settling ---- */

static void test_what_is_right_is_left_as_it_is(void **state)
{
        TlsContent items[] = {content("a", "local", LEAF), content("b", "pem", LEAF OTHER)};
        Place *p = *state;
        struct stat before, after;

        put(p, &items[0]);
        put(p, &items[1]);
        assert_int_equal(fstatat(p->box.fd, "a/", &before, 0), 0);
        settle(p, items, 2, "");
        assert_int_equal(fstatat(p->box.fd, "a/", &after, 0), 0);
        assert_int_equal(before.st_ino, after.st_ino);
}

static void test_what_is_missing_is_written(void **state)
{
        TlsContent items[] = {content("a", "pem", LEAF), content("b", "pem", LEAF)};
        Place *p = *state;

        settle(p, items, 2, "missing a\nmissing b\n");
        expect(p, "b/cert.pem", LEAF);
}

static void test_whatever_somebody_changed_is_put_right(void **state)
{
        static const char *const ways[] = {
                        "echo >> web/cert.pem", "rm web/chain.pem", "touch web/more", "mkdir web/more", "chmod 666 web/key.pem",
                        "chmod 777 web/", "ln -sf /etc/passwd web/key.pem", "rm web && mkdir web && touch web/cert.pem && false",
                        "ln -sfn / web", "ln -sfn .other.1 web", "rm web/ca.pem && mkfifo web/ca.pem",
                        "mv web/ca.pem web/ca", "cp web/cert.pem web/ca.pem"};
        TlsContent c = content("web", "pem", LEAF OTHER);
        char command[256];
        Place *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                put(p, &c);
                snprintf(command, sizeof(command), "cd %s && %s", p->box.path, ways[i]);
                if (system(command)) { /* not in the way of a link */
                        snprintf(command, sizeof(command), "rm -r %s/web", p->box.path);
                        assert_int_equal(system(command), 0);
                        settle(p, &c, 1, "missing web\n");
                        continue;
                }
                settle(p, &c, 1, "changed web\n");
                assert_int_equal(tls_files_compare(p->box.fd, &c), 0);
                assert_int_equal(tls_files_remove(p->box.fd, "web"), 0);
        }
}

static void test_what_no_identity_has_goes_and_what_is_not_ours_stays(void **state)
{
        TlsContent a = content("a", "pem", LEAF), b = content("b", "pem", LEAF);
        Place *p = *state;

        put(p, &a);
        put(p, &b);
        assert_int_equal(mkdirat(p->box.fd, "c", 0755), 0);
        assert_int_equal(mkdirat(p->box.fd, ".hidden", 0755), 0);
        assert_int_equal(symlinkat("/nowhere", p->box.fd, "link"), 0);
        settle(p, &a, 1, "removed b\n");
        assert_int_equal(count(p, "."), 5);
        settle(p, NULL, 0, "removed a\n");
        assert_int_equal(count(p, "."), 3);
}

static void test_what_a_stop_left_half_made_goes_unsaid(void **state)
{
        TlsContent c = content("web", "pem", LEAF);
        char generation[TLS_GENERATION_SIZE];
        Place *p = *state;

        put(p, &c);
        assert_int_equal(tls_files_write(p->box.fd, &c, generation), 0);
        assert_int_equal(mkdirat(p->box.fd, ".web.5", 0700), 0);
        assert_int_equal(mkdirat(p->box.fd, ".gone.5", 0700), 0);
        assert_int_equal(symlinkat(generation, p->box.fd, ".web.6~"), 0);
        assert_int_equal(symlinkat(".gone.5", p->box.fd, ".gone.5~"), 0);
        for (int i = 1000; i < 1100; i++) {
                char name[32];

                snprintf(name, sizeof(name), ".web.%d", i);
                assert_int_equal(mkdirat(p->box.fd, name, 0700), 0);
        }
        settle(p, &c, 1, "");
        assert_int_equal(count(p, "."), 2);
        expect(p, "web/cert.pem", LEAF);
}

/* "NAME.replaced-NUMBER"; empty: there is none. */
static void find_aside(Place *p, char ret[static 256])
{
        DIR *d = fdopendir(openat(p->box.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct dirent *e;

        assert_non_null(d);
        ret[0] = '\0';
        while ((e = readdir(d)))
                if (strstr(e->d_name, ".replaced-"))
                        snprintf(ret, 256, "%s", e->d_name);
        closedir(d);
}

static void test_a_directory_in_the_place_of_an_identity_is_moved_aside_and_kept(void **state)
{
        TlsContent c = content("web", "pem", LEAF);
        char aside[256], path[300];
        Place *p = *state;
        int fd;

        assert_int_equal(mkdirat(p->box.fd, "web", 0700), 0);
        fd = openat(p->box.fd, "web/mine", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "words", 5), 5);
        close(fd);
        assert_int_equal(tls_files_compare(p->box.fd, &c), HF_E_CERTIFICATE_UNUSABLE);
        settle(p, &c, 1, "changed web\n");
        expect(p, "web/cert.pem", LEAF);
        find_aside(p, aside);
        assert_memory_equal(aside, "web.replaced-", strlen("web.replaced-"));
        snprintf(path, sizeof(path), "%s/mine", aside);
        expect(p, path, "words");
        settle(p, NULL, 0, "removed web\n");
        expect(p, path, "words");
}

static void test_removing_an_identity_leaves_a_directory_of_others_alone(void **state)
{
        TlsContent c = content("web", "pem", LEAF);
        Place *p = *state;

        put(p, &c);
        assert_int_equal(unlinkat(p->box.fd, "web", 0), 0);
        assert_int_equal(mkdirat(p->box.fd, "web", 0700), 0);
        assert_int_equal(tls_files_remove(p->box.fd, "web"), 0);
        assert_int_equal(count(p, "."), 1);
        assert_int_equal(count(p, "web"), 0);
}

static void test_a_directory_that_others_may_write_in_is_not_used(void **state)
{
        Place *p = *state;
        int fd = -EBADF;

        assert_int_equal(tls_files_open(p->box.path, &fd), 0);
        close(fd);
        assert_int_equal(chmod(p->box.path, 0777), 0);
        assert_int_equal(tls_files_open(p->box.path, &fd), HF_E_STORE_UNSAFE);
        assert_int_equal(chmod(p->box.path, 0775), 0);
        assert_int_equal(tls_files_open(p->box.path, &fd), HF_E_STORE_UNSAFE);
        if (geteuid() == 0) {
                assert_int_equal(chmod(p->box.path, 0755), 0);
                assert_int_equal(chown(p->box.path, 61009, 61009), 0);
                assert_int_equal(tls_files_open(p->box.path, &fd), HF_E_STORE_UNSAFE);
        }
        assert_int_equal(tls_files_open("/nowhere", &fd), -ENOENT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_the_usual_layout_has_these_files_and_no_others),
                        T(test_what_was_not_given_has_no_file),
                        T(test_revocation_lists_come_and_go_with_a_new_generation),
                        T(test_settling_leaves_revocation_lists_alone),
                        T(test_the_other_layouts_add_the_names_programs_insist_on),
                        T(test_what_is_no_chain_or_no_layout_is_refused_and_leaves_nothing),
                        T(test_a_generation_is_not_seen_before_the_switch_and_the_one_before_stays_for_a_while),
                        T(test_who_reads_while_it_is_switched_finds_one_generation_or_the_other),
                        T(test_names_that_contain_each_other_are_kept_apart),
                        T(test_a_removed_one_leaves_nothing_and_may_be_removed_again),
                        T(test_what_is_right_is_left_as_it_is),
                        T(test_what_is_missing_is_written),
                        T(test_whatever_somebody_changed_is_put_right),
                        T(test_what_no_identity_has_goes_and_what_is_not_ours_stays),
                        T(test_what_a_stop_left_half_made_goes_unsaid),
                        T(test_a_directory_in_the_place_of_an_identity_is_moved_aside_and_kept),
                        T(test_removing_an_identity_leaves_a_directory_of_others_alone),
                        T(test_a_directory_that_others_may_write_in_is_not_used),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
