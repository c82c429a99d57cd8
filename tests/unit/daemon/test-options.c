/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of a call: real messages, over a connection without a bus daemon, as the direct socket has them. */
#include "daemon/options.h"

#include <sys/socket.h>

#include "tests/unit/daemon/support.h"

typedef struct Road {
        sd_bus *server, *client;
        sd_bus_message *call; /* as it came out at the server */
} Road;

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Road *r = userdata;

        (void)error;
        if (sd_bus_message_is_method_call(m, NULL, "Try"))
                r->call = sd_bus_message_ref(m);
        return 1;
}

static sd_bus *make_end(int fd, bool server)
{
        sd_bus *bus = NULL;

        assert_true(sd_bus_new(&bus) >= 0);
        assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
        if (server)
                assert_true(sd_bus_set_server(bus, 1, (sd_id128_t){.bytes = {1}}) >= 0);
        assert_true(sd_bus_set_anonymous(bus, 1) >= 0);
        assert_true(sd_bus_negotiate_fds(bus, 1) >= 0);
        assert_true(sd_bus_start(bus) >= 0);
        return bus;
}

static int setup(void **state)
{
        Road *r = calloc(1, sizeof(*r));
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        r->server = make_end(fds[0], true);
        r->client = make_end(fds[1], false);
        assert_true(sd_bus_add_filter(r->server, NULL, on_call, r) >= 0);
        /* descriptors may only be sent once both have agreed to it */
        for (int i = 0; i < 1000 && !(sd_bus_is_ready(r->client) > 0 && sd_bus_is_ready(r->server) > 0);
                        i++) {
                assert_true(sd_bus_process(r->client, NULL) >= 0);
                assert_true(sd_bus_process(r->server, NULL) >= 0);
        }
        *state = r;
        return 0;
}

static int teardown(void **state)
{
        Road *r = *state;

        sd_bus_message_unref(r->call);
        sd_bus_close_unref(r->client);
        sd_bus_close_unref(r->server);
        free(r);
        return 0;
}

static sd_bus_message *new_call(Road *r)
{
        sd_bus_message *m = NULL;

        assert_true(sd_bus_message_new_method_call(r->client, &m, NULL, "/x", "org.example.X", "Try") >= 0);
        return m;
}

/* Sends it and gives it back as the server got it; borrowed. */
static sd_bus_message *deliver(Road *r, sd_bus_message *m)
{
        r->call = sd_bus_message_unref(r->call);
        assert_true(sd_bus_send(r->client, m, NULL) >= 0);
        sd_bus_message_unref(m);
        for (int i = 0; i < 1000 && !r->call; i++) {
                assert_true(sd_bus_process(r->client, NULL) >= 0);
                assert_true(sd_bus_process(r->server, NULL) >= 0);
        }
        assert_non_null(r->call);
        return r->call;
}

/* ---- the table under test ---- */

typedef struct Target {
        const char *string;
        bool flag;
        uint32_t u32;
        uint64_t u64;
        int fd;
        Bytes bytes, numbers;
        char **strings;
} Target;

static const OptionSpec specs[] = {
                {"string", OPTION_STRING, offsetof(Target, string)},
                {"flag", OPTION_BOOL, offsetof(Target, flag)},
                {"u32", OPTION_U32, offsetof(Target, u32)},
                {"u64", OPTION_U64, offsetof(Target, u64)},
                {"fd", OPTION_FD, offsetof(Target, fd)},
                {"bytes", OPTION_BYTES, offsetof(Target, bytes)},
                {"strings", OPTION_STRINGS, offsetof(Target, strings)},
                {"numbers", OPTION_U32S, offsetof(Target, numbers)},
                {NULL, 0, 0},
};

enum { STRING, FLAG, U32, U64, FD, BYTES_, STRINGS, NUMBERS };

static void test_every_type_arrives(void **state)
{
        static const uint32_t numbers[] = {7, UINT32_MAX};
        Target t = {.fd = -EBADF};
        uint32_t given = 0;
        char bad[64] = "left over";
        sd_bus_message *m = new_call(*state);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct stat a, b;

        assert_true(sd_bus_message_append(m, "a{sv}", 7, "string", "s", "text", "flag", "b", 1, "u32", "u",
                                    42, "u64", "t", UINT64_MAX, "fd", "h", null, "strings", "as", 2, "one",
                                    "two", "numbers", "au", 2, numbers[0], numbers[1]) >= 0);
        m = deliver(*state, m);
        assert_int_equal(options_read(m, specs, &t, &given, bad), 0);
        assert_string_equal(bad, "");
        assert_int_equal(given, 1u << STRING | 1u << FLAG | 1u << U32 | 1u << U64 | 1u << FD | 1u << STRINGS |
                                                1u << NUMBERS);
        assert_string_equal(t.string, "text");
        assert_true(t.flag);
        assert_int_equal(t.u32, 42);
        assert_true(t.u64 == UINT64_MAX);
        assert_int_equal(fstat(null, &a), 0);
        assert_int_equal(fstat(t.fd, &b), 0);
        assert_int_equal(a.st_rdev, b.st_rdev);
        assert_string_equal(t.strings[0], "one");
        assert_string_equal(t.strings[1], "two");
        assert_null(t.strings[2]);
        assert_int_equal(t.numbers.len, sizeof(numbers));
        assert_memory_equal(t.numbers.data, numbers, sizeof(numbers));
        options_strings_free(&t.strings);
        assert_null(t.strings);
        close(null);
}

static void append_bytes(sd_bus_message *m, const char *name, const void *data, size_t len)
{
        assert_true(sd_bus_message_open_container(m, 'e', "sv") >= 0);
        assert_true(sd_bus_message_append_basic(m, 's', name) >= 0);
        assert_true(sd_bus_message_open_container(m, 'v', "ay") >= 0);
        assert_true(sd_bus_message_append_array(m, 'y', data, len) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
}

static void test_bytes_arrive_as_they_are(void **state)
{
        static const uint8_t data[] = {0, 255, 10, 0};
        sd_bus_message *m = new_call(*state);
        Target t = {0};
        char bad[64];

        assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        append_bytes(m, "bytes", data, sizeof(data));
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_int_equal(options_read(deliver(*state, m), specs, &t, NULL, bad), 0);
        assert_true(bytes_equal(t.bytes, BYTES_ARRAY(data)));
}

static void test_what_is_not_given_keeps_its_value(void **state)
{
        Target t = {.string = "default", .flag = true, .u32 = 5, .u64 = 6, .fd = -EBADF};
        uint32_t given = 99;
        char bad[64] = "left over";
        sd_bus_message *m = new_call(*state);

        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        assert_int_equal(options_read(deliver(*state, m), specs, &t, &given, bad), 0);
        assert_int_equal(given, 0);
        assert_string_equal(bad, "");
        assert_string_equal(t.string, "default");
        assert_true(t.flag);
        assert_int_equal(t.u32, 5);
        assert_int_equal(t.u64, 6);
        assert_int_equal(t.fd, -EBADF);
        assert_null(t.strings);
}

static void test_arguments_before_the_options_are_left_to_the_method(void **state)
{
        Target t = {0};
        const char *first;
        char bad[64];
        sd_bus_message *m = new_call(*state);

        assert_true(sd_bus_message_append(m, "sa{sv}", "first", 1, "u32", "u", 9) >= 0);
        m = deliver(*state, m);
        assert_true(sd_bus_message_read(m, "s", &first) > 0);
        assert_int_equal(options_read(m, specs, &t, NULL, bad), 0);
        assert_string_equal(first, "first");
        assert_int_equal(t.u32, 9);
        assert_true(sd_bus_message_at_end(m, true) > 0);
}

/* ---- refusals ---- */

static void refuse(void **state, sd_bus_message *m, const char *want)
{
        Target t = {0};
        uint32_t given = 77;
        char bad[64] = "left over";

        assert_int_equal(options_read(deliver(*state, m), specs, &t, &given, bad), HF_E_INVALID_ARGS);
        assert_string_equal(bad, want);
        assert_int_equal(given, 77);
        options_strings_free(&t.strings);
}

static void test_an_unknown_option_is_refused_by_name(void **state)
{
        sd_bus_message *m = new_call(*state);

        assert_true(sd_bus_message_append(m, "a{sv}", 2, "u32", "u", 1, "flagg", "b", 1) >= 0);
        refuse(state, m, "flagg");
        m = new_call(*state);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "", "b", 1) >= 0);
        refuse(state, m, "");
}

static void test_an_option_given_twice_is_refused(void **state)
{
        sd_bus_message *m = new_call(*state);

        assert_true(sd_bus_message_append(m, "a{sv}", 2, "flag", "b", 0, "flag", "b", 1) >= 0);
        refuse(state, m, "flag");
        m = new_call(*state);
        assert_true(sd_bus_message_append(m, "a{sv}", 2, "strings", "as", 1, "a", "strings", "as", 1, "b") >=
                        0);
        refuse(state, m, "strings");
}

static void test_an_option_of_another_type_is_refused(void **state)
{
        sd_bus_message *m;

        static const char *const names[] = {"flag", "u32", "u64", "fd", "bytes", "strings", "numbers"};
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                m = new_call(*state);
                assert_true(sd_bus_message_append(m, "a{sv}", 1, names[i], "s", "1") >= 0);
                refuse(state, m, names[i]);
        }
        m = new_call(*state);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "u32", "t", (uint64_t)1) >= 0);
        refuse(state, m, "u32");
        m = new_call(*state);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "u64", "u", 1) >= 0);
        refuse(state, m, "u64");
        m = new_call(*state);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "string", "v", "s", "x") >= 0);
        refuse(state, m, "string");
}

static void test_a_long_name_is_cut_in_the_answer(void **state)
{
        char name[300] = {0};
        sd_bus_message *m = new_call(*state);

        memset(name, 'n', sizeof(name) - 1);
        assert_true(sd_bus_message_append(m, "a{sv}", 1, name, "b", 1) >= 0);
        name[63] = '\0';
        refuse(state, m, name);
}

static void test_a_body_that_is_no_options_is_refused(void **state)
{
        sd_bus_message *m = new_call(*state);

        refuse(state, m, "");
        m = new_call(*state);
        assert_true(sd_bus_message_append(m, "s", "flag") >= 0);
        refuse(state, m, "");
        m = new_call(*state);
        assert_true(sd_bus_message_append(m, "a{ss}", 1, "flag", "yes") >= 0);
        refuse(state, m, "");
        m = new_call(*state);
        assert_true(sd_bus_message_append(m, "a{ov}", 1, "/flag", "b", 1) >= 0);
        refuse(state, m, "");
}

static void test_two_options_of_every_kind_leave_nothing_behind_when_refused(void **state)
{
        sd_bus_message *m = new_call(*state);
        Target t = {0};
        char bad[64];

        /* what was read before the refusal is the caller's to free, and can be */
        assert_true(sd_bus_message_append(m, "a{sv}", 2, "strings", "as", 1, "a", "nonsense", "b", 1) >= 0);
        assert_int_equal(options_read(deliver(*state, m), specs, &t, NULL, bad), HF_E_INVALID_ARGS);
        options_strings_free(&t.strings);
        options_strings_free(&t.strings);
        assert_null(t.strings);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_every_type_arrives, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_bytes_arrive_as_they_are, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_what_is_not_given_keeps_its_value, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_arguments_before_the_options_are_left_to_the_method, setup,
                                        teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_an_unknown_option_is_refused_by_name, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_an_option_given_twice_is_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_an_option_of_another_type_is_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_long_name_is_cut_in_the_answer, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_body_that_is_no_options_is_refused, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_two_options_of_every_kind_leave_nothing_behind_when_refused,
                                        setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
