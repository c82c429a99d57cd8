/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The channel to the signer, against a scripted one on a real socket: every call is answered once, whatever
 * the other end does. */
#include "daemon/signer-client.h"

#include <sys/socket.h>

#include "tests/unit/daemon/support.h"

typedef struct Place {
        Sandbox box;
        char path[96];
        sd_event *event;
        SignerClient *client;
        int listener, peer; /* the scripted end */
        uint8_t packet[LINK_MESSAGE_MAX];
        unsigned up, down, room;
        SignerHello hello; /* as `up` was told */
} Place;

typedef struct Call {
        unsigned answers;
        int result;
        char body[32];
        size_t body_len;
} Call;

static void on_up(void *userdata, const SignerHello *hello)
{
        Place *p = userdata;

        p->up++;
        p->hello = *hello;
}

static void on_down(void *userdata)
{
        ((Place *)userdata)->down++;
}

static void on_room(void *userdata)
{
        ((Place *)userdata)->room++;
}

static void on_answer(void *userdata, int result, Bytes body)
{
        Call *c = userdata;

        c->answers++;
        c->result = result;
        c->body_len = body.len;
        if (body.len)
                memcpy(c->body, body.data, body.len < sizeof(c->body) ? body.len : sizeof(c->body));
}

static int setup(void **state)
{
        Place *p = calloc(1, sizeof(*p));

        sandbox_make(&p->box);
        snprintf(p->path, sizeof(p->path), "%s/socket", p->box.path);
        assert_true(sd_event_new(&p->event) >= 0);
        p->listener = p->peer = -EBADF;
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        Place *p = *state;

        signer_client_free(p->client);
        safe_close(p->peer);
        safe_close(p->listener);
        sd_event_unref(p->event);
        sandbox_remove(&p->box);
        free(p);
        return 0;
}

static void make_client(Place *p)
{
        assert_int_equal(signer_client_new(p->event,
                                         &(SignerClientParams){.path = p->path,
                                                         .up = on_up,
                                                         .down = on_down,
                                                         .room = on_room,
                                                         .userdata = p},
                                         &p->client),
                        0);
}

/* Turns the loop until the client is at the door. */
static void let_in(Place *p)
{
        uint64_t end = clock_monotonic() + LOOP_PATIENCE;

        safe_close(p->peer);
        assert_true(fcntl(p->listener, F_SETFL, O_NONBLOCK) == 0);
        while ((p->peer = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) < 0) {
                assert_int_equal(errno, EAGAIN);
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(p->event, USEC_PER_SEC) >= 0);
        }
}

static void take(Place *p, LinkMessage *ret)
{
        assert_int_equal(link_receive(p->peer, 0, p->packet, ret), 0);
}

static void reply(Place *p, uint64_t job, uint32_t result, Bytes body)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LINK_MESSAGE_MAX);

        assert_int_equal(link_begin(&b, SIGNER_REPLY, job), 0);
        assert_int_equal(wire_put_u32(&b, result), 0);
        assert_int_equal(buffer_append(&b, body.data, body.len), 0);
        assert_int_equal(link_send(p->peer, buffer_bytes(&b), NULL, 0), 0);
}

static void answer_hello(Place *p, uint8_t life)
{
        SignerHello hello = {.version = LINK_VERSION, .served = 17, .ops = 4, .open = true, .life = {life}};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(256);
        unsigned up = p->up;
        LinkMessage m;

        take(p, &m);
        assert_int_equal(m.header.type, SIGNER_HELLO);
        assert_int_equal(signer_hello_encode(&hello, &b), 0);
        reply(p, m.header.job, 0, buffer_bytes(&b));
        loop_until(p->event, &p->up, up + 1);
}

static void start(Place *p)
{
        assert_int_equal(link_listen(p->path, &p->listener), 0);
        make_client(p);
        let_in(p);
        answer_hello(p, 1);
}

static int call(Place *p, Call *c, const char *text)
{
        Buffer *b = signer_begin(p->client, SIGNER_RANDOM);

        assert_int_equal(wire_put_string(b, text), 0);
        return signer_call(p->client, NULL, 0, on_answer, c);
}

/* ---- hello ---- */

static void test_the_client_says_hello_and_is_up_with_what_the_signer_says(void **state)
{
        Place *p = *state;

        assert_int_equal(link_listen(p->path, &p->listener), 0);
        make_client(p);
        assert_false(signer_client_is_up(p->client));
        let_in(p);
        assert_false(signer_client_is_up(p->client));
        answer_hello(p, 42);
        assert_true(signer_client_is_up(p->client));
        assert_true(signer_client_has_room(p->client));
        assert_int_equal(p->hello.life[0], 42);
        assert_int_equal(p->hello.served, 17);
        assert_int_equal(p->hello.ops, 4);
        assert_true(p->hello.open);
        assert_int_equal(signer_client_hello(p->client)->served, 17);
        assert_int_equal(p->up, 1);
        assert_int_equal(p->down, 0);
}

/* The other end goes on listening: the client must hang up and come again by itself. */
static void expect_other_version(Place *p)
{
        char byte;

        loop_drain(p->event);
        assert_int_equal(signer_client_state(p->client), SIGNER_OTHER_VERSION);
        assert_string_equal(signer_state_to_string(signer_client_state(p->client)), "other-version");
        assert_int_equal(recv(p->peer, &byte, 1, MSG_DONTWAIT), 0);
        let_in(p);
}

static void test_a_signer_of_another_version_is_named_and_tried_again_until_it_is_ours(void **state)
{
        Place *p = *state;
        _cleanup_buffer_ Buffer b = BUFFER_INIT(256);
        SignerHello other = {.version = LINK_VERSION + 1};
        Call c = {0};
        LinkMessage m;

        assert_int_equal(link_listen(p->path, &p->listener), 0);
        make_client(p);
        let_in(p);
        take(p, &m);
        assert_int_equal(signer_hello_encode(&other, &b), 0);
        reply(p, m.header.job, 0, buffer_bytes(&b));
        expect_other_version(p);

        take(p, &m);
        reply(p, m.header.job, 0, BYTES("short", 5));
        expect_other_version(p);

        take(p, &m);
        reply(p, m.header.job, HF_E_VERSION_MISMATCH, BYTES_NULL);
        expect_other_version(p);

        take(p, &m);
        assert_int_equal(link_begin(&b, SIGNER_REPLY, 0), 0);
        b.data[2]++; /* the version of the header */
        assert_int_equal(link_send(p->peer, buffer_bytes(&b), NULL, 0), 0);
        expect_other_version(p);

        assert_int_equal(call(p, &c, "x"), HF_E_SIGNER_UNAVAILABLE);
        assert_int_equal(p->up, 0);
        assert_int_equal(p->down, 0);
        answer_hello(p, 1);
        assert_int_equal(signer_client_state(p->client), SIGNER_UP);
        assert_int_equal(call(p, &c, "x"), 0);
}

static void test_nothing_is_asked_of_a_signer_that_has_not_said_hello(void **state)
{
        Place *p = *state;
        Call c = {0};

        assert_int_equal(link_listen(p->path, &p->listener), 0);
        make_client(p);
        let_in(p);
        assert_int_equal(call(p, &c, "x"), HF_E_SIGNER_UNAVAILABLE);
        answer_hello(p, 1);
        assert_int_equal(c.answers, 0);
        assert_int_equal(call(p, &c, "x"), 0);
}

static void test_without_a_signer_calls_are_refused_and_not_called_back(void **state)
{
        Place *p = *state;
        Call c = {0};

        make_client(p);
        assert_int_equal(call(p, &c, "x"), HF_E_SIGNER_UNAVAILABLE);
        assert_int_equal(sd_event_run(p->event, 0) >= 0, 1);
        assert_int_equal(call(p, &c, "x"), HF_E_SIGNER_UNAVAILABLE);
        assert_int_equal(c.answers, 0);
        /* and it is found when it comes */
        assert_int_equal(link_listen(p->path, &p->listener), 0);
        let_in(p);
        answer_hello(p, 1);
        assert_int_equal(call(p, &c, "x"), 0);
}

/* ---- answers ---- */

static void test_answers_out_of_order_find_their_calls(void **state)
{
        Place *p = *state;
        uint64_t jobs[20];
        Call calls[20] = {0};
        LinkMessage m;
        char text[16];

        start(p);
        for (unsigned i = 0; i < 20; i++) {
                WireReader r;
                char got[16];

                snprintf(text, sizeof(text), "call %u", i);
                assert_int_equal(call(p, &calls[i], text), 0);
                take(p, &m);
                assert_int_equal(m.header.type, SIGNER_RANDOM);
                r = wire_reader(m.body);
                wire_get_string(&r, got, sizeof(got));
                assert_string_equal(got, text);
                jobs[i] = m.header.job;
        }
        for (unsigned i = 0; i < 20; i++) {
                unsigned k = (i * 7 + 3) % 20;

                snprintf(text, sizeof(text), "answer %u", k);
                reply(p, jobs[k], 0, bytes_str(text));
        }
        loop_until(p->event, &calls[(19 * 7 + 3) % 20].answers, 1);
        for (unsigned i = 0; i < 20; i++) {
                snprintf(text, sizeof(text), "answer %u", i);
                assert_int_equal(calls[i].answers, 1);
                assert_int_equal(calls[i].result, 0);
                assert_memory_equal(calls[i].body, text, strlen(text));
        }
        assert_int_equal(p->down, 0);
}

static void test_results_come_as_they_are_and_unknown_ones_as_a_failure(void **state)
{
        static const struct {
                uint32_t sent;
                int got;
        } rows[] = {{0, 0}, {HF_E_UNLOCK_FAILED, HF_E_UNLOCK_FAILED}, {_HF_E_MAX - 1, _HF_E_MAX - 1},
                        {_HF_E_MAX, HF_E_SIGNER_FAILED}, {UINT32_MAX, HF_E_SIGNER_FAILED}};
        Place *p = *state;
        LinkMessage m;

        start(p);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Call c = {0};

                assert_int_equal(call(p, &c, "x"), 0);
                take(p, &m);
                reply(p, m.header.job, rows[i].sent, bytes_str("why"));
                loop_until(p->event, &c.answers, 1);
                assert_int_equal(c.result, rows[i].got);
                assert_memory_equal(c.body, "why", 3);
        }
}

static void test_room_is_for_so_many_and_is_told_again(void **state)
{
        Place *p = *state;
        Call calls[SIGNER_IN_FLIGHT_MAX] = {0};
        uint64_t first = 0;
        unsigned room;
        LinkMessage m;

        start(p);
        for (unsigned i = 0; i < SIGNER_IN_FLIGHT_MAX; i++) {
                assert_true(signer_client_has_room(p->client));
                assert_int_equal(call(p, &calls[i], "x"), 0);
                take(p, &m);
                if (i == 0)
                        first = m.header.job;
        }
        assert_false(signer_client_has_room(p->client));
        room = p->room;
        reply(p, first, 0, BYTES_NULL);
        loop_until(p->event, &p->room, room + 1);
        assert_true(signer_client_has_room(p->client));
}

/* ---- a peer that misbehaves ---- */

typedef enum Mischief {
        SHORT_PACKET,
        WRONG_MAGIC,
        UNKNOWN_JOB,
        SAME_PLACE_IN_THE_TABLE,
        JOB_ZERO,
        NO_REPLY,
        NO_RESULT,
        TOO_LONG,
        TWICE,
        _MISCHIEF_MAX,
} Mischief;

static void misbehave(Place *p, Mischief what, uint64_t job)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(2 * LINK_MESSAGE_MAX);

        switch (what) {
        case SHORT_PACKET:
                assert_int_equal(send(p->peer, "KH", 2, MSG_NOSIGNAL), 2);
                return;
        case WRONG_MAGIC:
                assert_int_equal(send(p->peer, "XX\1\0\200\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0", 20, MSG_NOSIGNAL),
                                20);
                return;
        case UNKNOWN_JOB:
                reply(p, job + 1, 0, BYTES_NULL);
                return;
        case SAME_PLACE_IN_THE_TABLE:
                reply(p, job + 4096, 0, BYTES_NULL);
                return;
        case JOB_ZERO:
                reply(p, 0, 0, BYTES_NULL);
                return;
        case NO_REPLY:
                assert_int_equal(link_begin(&b, SIGNER_RANDOM, job), 0);
                assert_int_equal(wire_put_u32(&b, 0), 0);
                assert_int_equal(link_send(p->peer, buffer_bytes(&b), NULL, 0), 0);
                return;
        case NO_RESULT:
                assert_int_equal(link_begin(&b, SIGNER_REPLY, job), 0);
                assert_int_equal(buffer_append(&b, "abc", 3), 0);
                assert_int_equal(link_send(p->peer, buffer_bytes(&b), NULL, 0), 0);
                return;
        case TOO_LONG:
                assert_int_equal(link_begin(&b, SIGNER_REPLY, job), 0);
                assert_int_equal(buffer_reserve(&b, LINK_MESSAGE_MAX), 0);
                assert_true(send(p->peer, b.data, LINK_MESSAGE_MAX + 1, MSG_NOSIGNAL) > 0);
                return;
        case TWICE:
                reply(p, job, 0, BYTES_NULL);
                reply(p, job, 0, BYTES_NULL);
                return;
        case _MISCHIEF_MAX:
                break;
        }
}

static void test_garbage_ends_the_connection_and_everybody_is_told_once(void **state)
{
        Place *p = *state;
        unsigned down = 0;

        start(p);
        for (Mischief what = 0; what < _MISCHIEF_MAX; what++) {
                Call a = {0}, b = {0};
                LinkMessage m;

                assert_int_equal(call(p, &a, "a"), 0);
                take(p, &m);
                assert_int_equal(call(p, &b, "b"), 0);
                misbehave(p, what, m.header.job + (what == UNKNOWN_JOB));
                loop_until(p->event, &p->down, ++down);
                assert_false(signer_client_is_up(p->client));
                assert_int_equal(a.answers, 1);
                assert_int_equal(a.result, what == TWICE ? 0 : HF_E_SIGNER_UNAVAILABLE);
                assert_int_equal(b.answers, 1);
                assert_int_equal(b.result, HF_E_SIGNER_UNAVAILABLE);
                assert_int_equal(b.body_len, 0);

                /* it comes back, and the connection is a new one */
                let_in(p);
                answer_hello(p, (uint8_t)(2 + what));
                assert_int_equal(p->hello.life[0], 2 + what);
        }
}

static void test_a_signer_that_dies_answers_everybody_exactly_once(void **state)
{
        enum { N = 1000 };
        _cleanup_free_ Call *calls = calloc(N, sizeof(*calls));
        Place *p = *state;
        LinkMessage m;

        start(p);
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(call(p, &calls[i], "x"), 0); /* most of them do not fit into the socket */
        take(p, &m);
        reply(p, m.header.job, 0, BYTES_NULL);
        loop_until(p->event, &calls[0].answers, 1);
        p->peer = safe_close(p->peer);
        loop_until(p->event, &p->down, 1);
        let_in(p);
        answer_hello(p, 2);
        loop_drain(p->event);
        for (unsigned i = 0; i < N; i++) {
                assert_int_equal(calls[i].answers, 1);
                assert_int_equal(calls[i].result, i == 0 ? 0 : HF_E_SIGNER_UNAVAILABLE);
        }
        assert_int_equal(p->down, 1);
        assert_int_equal(p->up, 2);
        /* nothing of the old connection is sent on the new one */
        assert_int_equal(link_receive(p->peer, MSG_DONTWAIT, p->packet, &m), -EAGAIN);
}

static void test_a_signer_that_died_is_not_there_before_the_loop_knows(void **state)
{
        Place *p = *state;

        start(p);
        assert_true(signer_client_is_there(p->client));
        p->peer = safe_close(p->peer);
        assert_true(signer_client_is_up(p->client));
        assert_false(signer_client_is_there(p->client));
        loop_until(p->event, &p->down, 1);
        assert_false(signer_client_is_there(p->client));
        let_in(p);
        assert_false(signer_client_is_there(p->client));
        answer_hello(p, 2);
        assert_true(signer_client_is_there(p->client));
}

/* A late answer of the former life must not be taken for one of the new. */
static void test_an_answer_of_the_former_connection_is_no_answer(void **state)
{
        Place *p = *state;
        Call old = {0}, new = {0};
        LinkMessage m;
        uint64_t job;

        start(p);
        assert_int_equal(call(p, &old, "x"), 0);
        take(p, &m);
        job = m.header.job;
        p->peer = safe_close(p->peer);
        loop_until(p->event, &p->down, 1);
        let_in(p);
        answer_hello(p, 2);
        assert_int_equal(call(p, &new, "y"), 0);
        reply(p, job, 0, bytes_str("stale"));
        loop_until(p->event, &p->down, 2);
        assert_int_equal(old.answers, 1);
        assert_int_equal(new.answers, 1);
        assert_int_equal(new.result, HF_E_SIGNER_UNAVAILABLE);
}

typedef struct Stubborn {
        Place *place;
        unsigned answers;
        int again;
} Stubborn;

static void on_answer_again(void *userdata, int result, Bytes body)
{
        Stubborn *s = userdata;
        Call c = {0};

        (void)result;
        (void)body;
        s->answers++;
        s->again = call(s->place, &c, "again");
        assert_int_equal(c.answers, 0);
}

static void test_who_is_told_that_it_died_cannot_call_it_from_there(void **state)
{
        Place *p = *state;
        Stubborn s = {.place = p};

        start(p);
        (void)signer_begin(p->client, SIGNER_RANDOM);
        assert_int_equal(signer_call(p->client, NULL, 0, on_answer_again, &s), 0);
        p->peer = safe_close(p->peer);
        loop_until(p->event, &p->down, 1);
        assert_int_equal(s.answers, 1);
        assert_int_equal(s.again, HF_E_SIGNER_UNAVAILABLE);
}

/* ---- more than the socket takes ---- */

static void test_what_does_not_fit_waits_and_leaves_in_order_with_its_descriptors(void **state)
{
        enum { N = 40, SIZE = 100 * 1024 };
        _cleanup_free_ char *payload = malloc(SIZE);
        Place *p = *state;
        Call calls[N] = {0};
        uint64_t last = 0;

        start(p);
        memset(payload, 'p', SIZE);
        for (unsigned i = 0; i < N; i++) {
                Buffer *b = signer_begin(p->client, SIGNER_OPERATE);
                int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

                assert_int_equal(wire_put_u32(b, i), 0);
                assert_int_equal(buffer_append(b, payload, SIZE), 0);
                assert_int_equal(signer_call(p->client, &fd, 1, on_answer, &calls[i]), 0);
                close(fd); /* the caller's; a copy travels */
        }
        assert_false(signer_client_has_room(p->client));
        assert_true(fcntl(p->peer, F_SETFL, O_NONBLOCK) == 0);
        for (unsigned i = 0; i < N;) {
                struct stat st;
                WireReader r;
                LinkMessage m;
                int got = link_receive(p->peer, MSG_DONTWAIT, p->packet, &m);

                if (got == -EAGAIN) {
                        assert_true(sd_event_run(p->event, USEC_PER_SEC) > 0);
                        continue;
                }
                assert_int_equal(got, 0);
                r = wire_reader(m.body);
                assert_int_equal(wire_get_u32(&r), i++);
                assert_int_equal(m.body.len, SIZE + 4);
                assert_true(m.header.job > last);
                last = m.header.job;
                assert_int_equal(m.n_fds, 1);
                assert_int_equal(fstat(m.fds[0], &st), 0);
                assert_true(S_ISCHR(st.st_mode));
                link_message_close(&m);
                reply(p, m.header.job, 0, BYTES_NULL);
        }
        for (unsigned i = 0; i < N; i++)
                loop_until(p->event, &calls[i].answers, 1);
        assert_true(signer_client_has_room(p->client));
}

static void test_more_calls_than_the_table_holds_are_refused(void **state)
{
        enum { N = 5000 };
        _cleanup_free_ Call *calls = calloc(N, sizeof(*calls));
        Place *p = *state;
        unsigned taken = 0;

        start(p);
        while (taken < N && call(p, &calls[taken], "x") == 0)
                taken++;
        assert_in_range(taken, SIGNER_IN_FLIGHT_MAX, 4095);
        assert_int_equal(call(p, &calls[taken], "x"), HF_E_BUSY);
        p->peer = safe_close(p->peer);
        loop_until(p->event, &p->down, 1);
        for (unsigned i = 0; i < taken; i++)
                assert_int_equal(calls[i].answers, 1);
        assert_int_equal(calls[taken].answers, 0);
        /* and there is room for as many again */
        let_in(p);
        answer_hello(p, 2);
        assert_int_equal(call(p, &calls[taken], "x"), 0);
}

static void test_a_body_over_the_limit_is_refused_where_it_is_written(void **state)
{
        _cleanup_free_ char *payload = calloc(1, LINK_MESSAGE_MAX);
        Place *p = *state;
        Buffer *b;
        Call c = {0};
        LinkMessage m;

        start(p);
        b = signer_begin(p->client, SIGNER_RANDOM);
        assert_int_equal(buffer_append(b, payload, LINK_MESSAGE_MAX), -EMSGSIZE);
        /* what was begun and not sent leaves no trace */
        assert_int_equal(call(p, &c, "x"), 0);
        take(p, &m);
        reply(p, m.header.job, 0, BYTES_NULL);
        loop_until(p->event, &c.answers, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                        T(test_the_client_says_hello_and_is_up_with_what_the_signer_says),
                        T(test_a_signer_of_another_version_is_named_and_tried_again_until_it_is_ours),
                        T(test_nothing_is_asked_of_a_signer_that_has_not_said_hello),
                        T(test_without_a_signer_calls_are_refused_and_not_called_back),
                        T(test_answers_out_of_order_find_their_calls),
                        T(test_results_come_as_they_are_and_unknown_ones_as_a_failure),
                        T(test_room_is_for_so_many_and_is_told_again),
                        T(test_garbage_ends_the_connection_and_everybody_is_told_once),
                        T(test_a_signer_that_dies_answers_everybody_exactly_once),
                        T(test_a_signer_that_died_is_not_there_before_the_loop_knows),
                        T(test_an_answer_of_the_former_connection_is_no_answer),
                        T(test_who_is_told_that_it_died_cannot_call_it_from_there),
                        T(test_what_does_not_fit_waits_and_leaves_in_order_with_its_descriptors),
                        T(test_more_calls_than_the_table_holds_are_refused),
                        T(test_a_body_over_the_limit_is_refused_where_it_is_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
