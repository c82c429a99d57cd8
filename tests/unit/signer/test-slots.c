/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real process: opening, shutting, slots, checkpoints, rekey, and who may talk to it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"
#include "crypto/digest.h"
#include "peer.h"
#include "seal/recovery.h"

static int setup(void **state)
{
        static Peer p;

        peer_setup(&p);
        peer_start(&p);
        *state = &p;
        return 0;
}

static int teardown(void **state)
{
        peer_teardown(*state);
        return 0;
}

static void take_slots(Peer *p, WireReader *reader)
{
        Bytes file = wire_get_block(reader, SLOTS_FILE_MAX);

        assert_int_equal(wire_done(reader), 0);
        buffer_clear(&p->slots);
        assert_int_equal(buffer_append(&p->slots, file.data, file.len), 0);
}

static int secret_fd(const char *text)
{
        int fd;

        assert_int_equal(secret_fd_new(text, strlen(text), &fd), 0);
        return fd;
}

/* INIT with a passphrase and a recovery slot; `code` gets the code as the pipe gave it. */
static int init_attended(
                Peer *p, const char *passphrase, char code[static RECOVERY_TEXT_LEN + 2], SignerOpened *ret)
{
        SignerInit init = {.store_id = p->store_id, .kind = SLOT_PASSPHRASE, .label = "admin"};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024);
        int fds[2], sent[2], r;
        WireReader reader;
        Bytes reply;

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(signer_init_encode(&init, &b), 0);
        sent[0] = secret_fd(passphrase);
        sent[1] = fds[1];
        r = peer_call(p, SIGNER_INIT, buffer_bytes(&b), sent, 2, &reply);
        close(sent[0]);
        close(fds[1]);
        memset(code, 0, RECOVERY_TEXT_LEN + 2);
        if (!r) {
                assert_int_equal(read(fds[0], code, RECOVERY_TEXT_LEN + 1), RECOVERY_TEXT_LEN + 1);
                assert_int_equal(code[RECOVERY_TEXT_LEN], '\n');
                reader = wire_reader(reply);
                assert_int_equal(signer_opened_decode(&reader, ret), 0);
                take_slots(p, &reader);
        }
        close(fds[0]);
        return r;
}

static int unlock_with(Peer *p, const char *secret, SignerOpened *ret)
{
        int fd = secret_fd(secret), r;

        r = peer_unlock(p, 1, fd, ret);
        close(fd);
        return r;
}

static void restart(Peer *p)
{
        peer_kill(p);
        peer_start(p);
}

static void test_a_restarted_signer_opens_again_by_its_credential(void **state)
{
        SignerOpened first, again;
        SignerHello before, after;
        Peer *p = *state;
        SignerOperation op;
        PeerKey k;
        Bytes out;

        peer_init(p, &first);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        assert_int_equal(peer_hello(p, &before), 0);
        assert_true(before.open);
        assert_true(before.machine_known);

        restart(p);
        assert_int_equal(peer_hello(p, &after), 0);
        assert_false(after.open);
        assert_memory_not_equal(before.life, after.life, 16);
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &out), HF_E_STORE_LOCKED);
        assert_int_equal(peer_unlock(p, 0, -1, &again), 0);
        assert_memory_equal(&first, &again, sizeof(first));
        op.seq = p->seq++;
        assert_int_equal(peer_operate(p, &op, &out), 0);
}

static void test_a_reconnecting_daemon_gets_the_same_keys(void **state)
{
        char code[RECOVERY_TEXT_LEN + 2];
        SignerOpened first, again;
        Peer *p = *state;

        assert_int_equal(init_attended(p, "correct horse", code, &first), 0);
        peer_connect(p);
        assert_int_equal(peer_unlock(p, 0, -1, &again), 0);
        assert_memory_equal(&first, &again, sizeof(first));
}

static void test_passphrase_and_recovery_code_open_and_others_do_not(void **state)
{
        char code[RECOVERY_TEXT_LEN + 2];
        SignerOpened first, again;
        Peer *p = *state;

        assert_int_equal(init_attended(p, "correct horse", code, &first), 0);
        restart(p);
        assert_int_equal(peer_unlock(p, 0, -1, &again), HF_E_UNLOCK_FAILED);
        assert_int_equal(unlock_with(p, "wrong horse", &again), HF_E_UNLOCK_FAILED);
        assert_int_equal(unlock_with(p, "correct horse", &again), 0);
        assert_memory_equal(first.database_key, again.database_key, 32);
        assert_memory_equal(first.log_key, again.log_key, 32);

        restart(p);
        assert_int_equal(unlock_with(p, code, &again), 0);
        assert_memory_equal(first.database_key, again.database_key, 32);
        assert_int_equal(again.slot, 2);
        /* While it is open a secret is still checked. */
        assert_int_equal(unlock_with(p, "wrong horse", &again), HF_E_UNLOCK_FAILED);
}

static void test_a_failed_unlock_says_why_for_each_slot(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 64);
        char code[RECOVERY_TEXT_LEN + 2], reasons[1024];
        SignerOpened opened;
        Peer *p = *state;
        WireReader reader;
        Bytes reply;

        assert_int_equal(init_attended(p, "correct horse", code, &opened), 0);
        restart(p);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
        assert_int_equal(wire_put_u8(&b, 0), 0);
        assert_int_equal(wire_put_block(&b, BYTES(NULL, 0)), 0);
        assert_int_equal(peer_call(p, SIGNER_UNLOCK, buffer_bytes(&b), NULL, 0, &reply), HF_E_UNLOCK_FAILED);
        reader = wire_reader(reply);
        wire_get_string(&reader, reasons, sizeof(reasons));
        assert_int_equal(wire_done(&reader), 0);
        assert_string_equal(reasons, "2 recovery: needs-secret; 1 passphrase: needs-secret");
}

static int recovery_check(Peer *p, const char *code)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 64);
        int fd = secret_fd(code), r;
        Bytes reply;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
        r = peer_call(p, SIGNER_RECOVERY_CHECK, buffer_bytes(&b), &fd, 1, &reply);
        close(fd);
        return r;
}

static void test_the_recovery_code_is_checked_when_typed_back(void **state)
{
        char code[RECOVERY_TEXT_LEN + 2], other[RECOVERY_TEXT_LEN + 1];
        uint8_t entropy[RECOVERY_ENTROPY] = {1};
        SignerOpened opened;
        Peer *p = *state;

        assert_int_equal(init_attended(p, "correct horse", code, &opened), 0);
        assert_int_equal(recovery_check(p, code), 0);
        recovery_format(entropy, other);
        assert_int_equal(recovery_check(p, other), HF_E_UNLOCK_FAILED);
        code[0] = code[0] == 'A' ? 'B' : 'A';
        assert_int_equal(recovery_check(p, code), HF_E_INVALID_ARGS);
}

static void test_after_lock_only_an_explicit_unlock_opens(void **state)
{
        SignerOpened opened, again;
        SignerOperation op;
        SignerHello hello;
        Peer *p = *state;
        PeerKey k;
        Bytes out;

        peer_init(p, &opened);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        assert_int_equal(peer_call(p, SIGNER_LOCK, BYTES("\1", 1), NULL, 0, &out), 0);
        assert_int_equal(peer_hello(p, &hello), 0);
        assert_false(hello.open);
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &out), HF_E_STORE_LOCKED);
        assert_int_equal(peer_unlock(p, 0, -1, &again), HF_E_UNLOCK_FAILED);
        assert_int_equal(peer_unlock(p, 1, -1, &again), 0);
        assert_memory_equal(&opened, &again, sizeof(opened));
        op.seq = p->seq++;
        assert_int_equal(peer_operate(p, &op, &out), 0);
}

static void test_making_room_for_another_store_is_no_order(void **state)
{
        SignerOpened opened, again;
        SignerHello hello;
        Peer *p = *state;
        Bytes out;

        peer_init(p, &opened);
        assert_int_equal(peer_call(p, SIGNER_LOCK, BYTES("\0", 1), NULL, 0, &out), 0);
        assert_int_equal(peer_hello(p, &hello), 0);
        assert_false(hello.open);
        assert_int_equal(peer_unlock(p, 0, -1, &again), 0);
        /* But it takes none back. */
        assert_int_equal(peer_call(p, SIGNER_LOCK, BYTES("\1", 1), NULL, 0, &out), 0);
        assert_int_equal(peer_call(p, SIGNER_LOCK, BYTES("\0", 1), NULL, 0, &out), 0);
        assert_int_equal(peer_unlock(p, 0, -1, &again), HF_E_UNLOCK_FAILED);
}

/* Else uses could be hidden by locking instead of by a crash. */
static void test_lock_ends_a_life_only_when_all_uses_are_sealed(void **state)
{
        SignerHello before, after;
        SignerOpened opened;
        SignerOperation op;
        Peer *p = *state;
        PeerKey k;
        Bytes out;

        peer_init(p, &opened);
        peer_key_init(&k, KEY_ED25519, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_EDDSA, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &out), 0);
        assert_int_equal(peer_hello(p, &before), 0);
        assert_int_equal(peer_call(p, SIGNER_LOCK, BYTES("\1", 1), NULL, 0, &out), 0);
        assert_int_equal(peer_hello(p, &after), 0);
        assert_memory_equal(before.life, after.life, 16);
        assert_int_equal(after.ops, 1);

        assert_int_equal(peer_unlock(p, 1, -1, &opened), 0);
        assert_int_equal(peer_checkpoint(p, p->seq, &out), 0);
        assert_int_equal(peer_call(p, SIGNER_LOCK, BYTES("\1", 1), NULL, 0, &out), 0);
        assert_int_equal(peer_hello(p, &after), 0);
        assert_memory_not_equal(before.life, after.life, 16);
        assert_int_equal(after.ops, 0);
}

static void test_a_store_of_another_machine_does_not_open_by_itself(void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 64);
        SignerOpened opened, again;
        char path[128];
        Peer *p = *state;
        WireReader reader;
        SlotList list;
        Bytes reply;
        FILE *f;

        peer_init(p, &opened);
        snprintf(path, sizeof(path), "%s/machine-id", p->dir);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs("99999999222222223333333344444444\n", f);
        fclose(f);
        restart(p);
        assert_int_equal(peer_unlock(p, 0, -1, &again), HF_E_STORE_FOREIGN);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
        assert_int_equal(peer_call(p, SIGNER_ADOPT, buffer_bytes(&b), NULL, 0, &reply), HF_E_STORE_LOCKED);
        assert_int_equal(peer_unlock(p, 1, -1, &again), 0);
        assert_int_equal(peer_call(p, SIGNER_ADOPT, buffer_bytes(&b), NULL, 0, &reply), 0);
        assert_int_equal(reply.data[--reply.len], 0); /* without a TPM none is another */
        reader = wire_reader(reply);
        take_slots(p, &reader);

        buffer_clear(&b);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
        assert_int_equal(peer_call(p, SIGNER_SLOTS, buffer_bytes(&b), NULL, 0, &reply), 0);
        reader = wire_reader(reply);
        assert_int_equal(slot_list_decode(&reader, &list), 0);
        assert_true(list.machine_matches);
        restart(p);
        assert_int_equal(peer_unlock(p, 0, -1, &again), 0);
        assert_memory_equal(opened.database_key, again.database_key, 32);
}

static int slot_add(Peer *p, SlotKind kind, const char *label, int fd)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 128);
        WireReader reader;
        Bytes reply;
        int r, id;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
        assert_int_equal(wire_put_u8(&b, (uint8_t)kind), 0);
        assert_int_equal(wire_put_string(&b, label), 0);
        assert_int_equal(wire_put_block(&b, BYTES(NULL, 0)), 0);
        r = peer_call(p, SIGNER_SLOT_ADD, buffer_bytes(&b), &fd, fd >= 0, &reply);
        if (r)
                return -r;
        reader = wire_reader(reply);
        id = (int)wire_get_u32(&reader);
        take_slots(p, &reader);
        return id;
}

static int slot_verb(Peer *p, SignerRequest verb, uint32_t id, int fd)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 128);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
        assert_int_equal(wire_put_u32(&b, id), 0);
        r = peer_call(p, verb, buffer_bytes(&b), &fd, fd >= 0, &reply);
        if (!r) {
                reader = wire_reader(reply);
                take_slots(p, &reader);
        }
        return r;
}

static void test_slots_are_added_changed_and_removed_but_never_the_last(void **state)
{
        SignerOpened opened, again;
        Peer *p = *state;
        int fd, id;

        peer_init(p, &opened);
        assert_int_equal(slot_verb(p, SIGNER_SLOT_REMOVE, 1, -1), HF_E_LAST_SLOT);
        fd = secret_fd("first passphrase");
        id = slot_add(p, SLOT_PASSPHRASE, "admin", fd);
        assert_int_equal(id, 2);
        assert_int_equal(slot_add(p, SLOT_PASSPHRASE, "admin", fd), -HF_E_SLOT_EXISTS);
        assert_int_equal(slot_add(p, SLOT_TPM2, "tpm", -1), -HF_E_TPM_UNAVAILABLE);
        assert_int_equal(slot_add(p, SLOT_PASSPHRASE, "no secret", fd), -HF_E_INVALID_NAME);
        assert_int_equal(slot_add(p, SLOT_PASSPHRASE, "nothing", -1), -HF_E_INVALID_FD);
        close(fd);
        fd = secret_fd("second passphrase");
        assert_int_equal(slot_verb(p, SIGNER_SLOT_CHANGE, 2, fd), 0);
        assert_int_equal(slot_verb(p, SIGNER_SLOT_CHANGE, 7, fd), HF_E_NO_SUCH_SLOT);
        close(fd);
        assert_int_equal(slot_verb(p, SIGNER_SLOT_REMOVE, 1, -1), 0);
        assert_int_equal(slot_verb(p, SIGNER_SLOT_REMOVE, 2, -1), HF_E_LAST_SLOT);
        restart(p);
        assert_int_equal(peer_unlock(p, 0, -1, &again), HF_E_UNLOCK_FAILED);
        assert_int_equal(unlock_with(p, "first passphrase", &again), HF_E_UNLOCK_FAILED);
        assert_int_equal(unlock_with(p, "second passphrase", &again), 0);
        assert_memory_equal(opened.database_key, again.database_key, 32);
}

static void test_only_sealed_small_memfds_are_taken_as_secrets(void **state)
{
        char path[128];
        SignerOpened opened;
        Peer *p = *state;
        int fd, fds[2];

        peer_init(p, &opened);
        snprintf(path, sizeof(path), "%s/machine-id", p->dir);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(slot_add(p, SLOT_PASSPHRASE, "a", fd), -HF_E_INVALID_FD);
        close(fd);
        fd = open(p->dir, O_RDONLY | O_CLOEXEC);
        assert_int_equal(slot_add(p, SLOT_PASSPHRASE, "a", fd), -HF_E_INVALID_FD);
        /* The code does not go where it would stay. */
        assert_int_equal(slot_add(p, SLOT_RECOVERY, "a", fd), -HF_E_INVALID_FD);
        close(fd);
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(slot_add(p, SLOT_PASSPHRASE, "a", fds[0]), -HF_E_INVALID_FD);
        close(fds[0]);
        close(fds[1]);
        assert_int_equal(slot_add(p, SLOT_RECOVERY, "a", -1), -HF_E_INVALID_FD);
}

static void test_a_second_store_is_refused_while_one_is_in_use(void **state)
{
        SignerInit init = {.kind = SLOT_CREDENTIAL, .unattended = true, .label = "device"};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024);
        SignerOpened opened;
        Peer *p = *state;
        Bytes reply;

        peer_init(p, &opened);
        assert_int_equal(peer_unlock(p, 0, -1, &opened), 0);
        assert_int_equal(peer_unlock(p, 1, -1, &opened), 0);
        uuid_generate(&init.store_id);
        assert_int_equal(signer_init_encode(&init, &b), 0);
        restart(p);
        assert_int_equal(peer_unlock(p, 0, -1, &opened), 0);
        assert_int_equal(
                        peer_call(p, SIGNER_INIT, buffer_bytes(&b), NULL, 0, &reply), HF_E_STORE_INITIALISED);
}

static void test_a_checkpoint_note_is_what_the_format_says(void **state)
{
        SignerCheckpoint c = {.size = 3, .head = {1, 2, 3}, .state = {0xab}, .counter = 17, .epoch = 4};
        char want[1024], id[UUID_TEXT_SIZE], life[33], head[64], text[CHECKPOINT_NOTE_MAX + 1];
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024);
        SignerHello hello;
        SignerOpened opened;
        uint8_t signature[128];
        size_t n, len;
        Peer *p = *state;
        WireReader reader;
        Bytes reply;
        char *line;

        peer_init(p, &opened);
        assert_int_equal(peer_hello(p, &hello), 0);
        assert_int_equal(signer_checkpoint_encode(&c, &b), 0);
        assert_int_equal(peer_call(p, SIGNER_CHECKPOINT, buffer_bytes(&b), NULL, 0, &reply), 0);
        reader = wire_reader(reply);
        wire_get_string(&reader, text, sizeof(text));
        assert_int_equal(wire_done(&reader), 0);

        uuid_format(&p->store_id, id);
        hex_encode(hello.life, 16, life);
        base64_encode(c.head, 32, head);
        n = (size_t)snprintf(want, sizeof(want),
                        "holdfast/log/%s\n3\n%s\nstate ab%062d\ncounter 17\nepoch 4\nlife %s\nops 0\n", id,
                        head, 0, life);
        assert_memory_equal(text, want, n);
        snprintf(want, sizeof(want), "\n\xe2\x80\x94 holdfast/log/%s ", id);
        line = strstr(text, want);
        assert_ptr_equal(line, text + n);
        line += strlen(want);
        len = strlen(line) - 1;
        assert_int_equal(line[len], '\n');
        assert_int_equal(base64_decode(line, len, signature, sizeof(signature), &len), 0);
        assert_int_equal(len, 68);
        assert_int_equal(ed25519_verify(opened.checkpoint_public, BYTES(text, n), signature + 4), 0);
        text[5] ^= 1;
        assert_int_equal(ed25519_verify(opened.checkpoint_public, BYTES(text, n), signature + 4),
                        HF_E_KEY_MISMATCH);
}

/* holdfastd died before it said which of the two masters stays, and asks again with the file that is in force. */
static void test_after_a_rekey_that_nobody_settled_the_slots_file_decides(void **state)
{
        SignerInit init = {.kind = SLOT_CREDENTIAL, .unattended = true, .label = "device"};
        SignerOpened old, new, again;
        uint8_t keep = 1;
        Peer *p = *state;
        Bytes reply;

        peer_init(p, &old);
        init.store_id = p->store_id;
        for (int exchanged = 0; exchanged < 2; exchanged++) {
                _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 1024), i = BUFFER_INIT(256),
                                        before = BUFFER_INIT(SLOTS_FILE_MAX);
                WireReader reader;

                assert_int_equal(buffer_append(&before, p->slots.data, p->slots.len), 0);
                assert_int_equal(signer_init_encode(&init, &i), 0);
                assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
                assert_int_equal(wire_put_block(&b, buffer_bytes(&i)), 0);
                assert_int_equal(peer_call(p, SIGNER_REKEY, buffer_bytes(&b), NULL, 0, &reply), 0);
                reader = wire_reader(reply);
                assert_int_equal(signer_opened_decode(&reader, &new), 0);
                take_slots(p, &reader);
                if (!exchanged) {
                        buffer_clear(&p->slots);
                        assert_int_equal(buffer_append(&p->slots, before.data, before.len), 0);
                }
                assert_int_equal(peer_unlock(p, 0, -1, &again), 0);
                assert_memory_equal(again.database_key, exchanged ? new.database_key : old.database_key, 32);
                assert_int_equal(peer_call(p, SIGNER_REKEY_COMMIT, BYTES(&keep, 1), NULL, 0, &reply),
                                HF_E_NOTHING_TO_DO);
        }
}

static void test_rekey_makes_everything_anew(void **state)
{
        SignerInit init = {.kind = SLOT_CREDENTIAL, .unattended = true, .label = "device"};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 1024), i = BUFFER_INIT(256),
                                old_slots = BUFFER_INIT(SLOTS_FILE_MAX);
        SignerOpened old, new, again;
        uint8_t keep = 1;
        PeerKey k, wrapped;
        Peer *p = *state;
        SignerOperation op;
        WireReader reader;
        Bytes reply, block;

        peer_init(p, &old);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        assert_int_equal(buffer_append(&old_slots, p->slots.data, p->slots.len), 0);

        init.store_id = p->store_id;
        assert_int_equal(signer_init_encode(&init, &i), 0);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&p->slots)), 0);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&i)), 0);
        assert_int_equal(peer_call(p, SIGNER_REKEY_COMMIT, BYTES(&keep, 1), NULL, 0, &reply),
                        HF_E_NOTHING_TO_DO);
        assert_int_equal(peer_call(p, SIGNER_REKEY, buffer_bytes(&b), NULL, 0, &reply), 0);
        reader = wire_reader(reply);
        assert_int_equal(signer_opened_decode(&reader, &new), 0);
        take_slots(p, &reader);
        assert_memory_not_equal(old.database_key, new.database_key, 32);
        assert_memory_not_equal(old.checkpoint_public, new.checkpoint_public, 32);
        assert_int_equal(new.slot, 2); /* ids are not used again */

        buffer_clear(&b);
        assert_int_equal(wire_put_block(&b, BYTES(k.encoded, k.encoded_len)), 0);
        assert_int_equal(wire_put_block(&b, BYTES(k.wrapped, k.wrapped_len)), 0);
        assert_int_equal(peer_call(p, SIGNER_REKEY_WRAP, buffer_bytes(&b), NULL, 0, &reply), 0);
        reader = wire_reader(reply);
        block = wire_get_block(&reader, sizeof(wrapped.wrapped));
        assert_int_equal(wire_done(&reader), 0);
        wrapped = k;
        memcpy(wrapped.wrapped, block.data, block.len);

        /* Until the commit the old one works, then the new one alone. */
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &block), 0);
        assert_int_equal(peer_call(p, SIGNER_REKEY_COMMIT, BYTES(&keep, 1), NULL, 0, &reply), 0);
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &block), HF_E_KEY_MISMATCH);
        op = peer_operation(p, &wrapped, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &block), 0);
        assert_int_equal(peer_unlock(p, 1, -1, &again), 0);
        assert_memory_equal(new.database_key, again.database_key, 32);
        restart(p);
        assert_int_equal(peer_unlock(p, 0, -1, &again), 0);
        assert_memory_equal(&new, &again, sizeof(new));
}

static void test_another_uid_is_refused(void **state)
{
        SignerHello hello;
        Peer *p = *state;
        int status;
        pid_t pid;

        if (getuid() != 0)
                skip();
        assert_int_equal(peer_hello(p, &hello), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int fd;
                char c;

                /* connect() may succeed: the listener's backlog takes anybody whom the mode of the path lets
                 * in. */
                if (setresuid(65534, 65534, 65534) < 0)
                        _exit(1);
                if (link_connect(p->socket_path, &fd) < 0)
                        _exit(2);
                _exit(read(fd, &c, 1) == 0 ? 0 : 3);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(peer_hello(p, &hello), 0); /* and the right one keeps its connection */
}

static void test_ld_variables_keep_it_from_starting(void **state)
{
        Peer *p = *state;
        int status;

        peer_kill(p);
        setenv("LD_BIND_NOW", "1", 1);
        peer_start(p);
        unsetenv("LD_BIND_NOW");
        assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
        p->pid = -1;
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
}

static void test_without_memfd_secret_it_works_and_says_so(void **state)
{
        SignerOpened opened;
        SignerHello hello;
        SignerOperation op;
        Peer *p = *state;
        PeerKey k;
        Bytes out;

        peer_kill(p);
        p->no_secret_memory = 1;
        peer_start(p);
        peer_init(p, &opened);
        assert_int_equal(peer_hello(p, &hello), 0);
        assert_int_equal(hello.memory, SECRET_MEMORY_LOCKED);
        peer_key_init(&k, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(p, &k), 0);
        op = peer_operation(p, &k, SIGNER_OP_SIGN, SCHEME_ES256, bytes_str("m"));
        assert_int_equal(peer_operate(p, &op, &out), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
                        TEST(test_a_restarted_signer_opens_again_by_its_credential),
                        TEST(test_a_reconnecting_daemon_gets_the_same_keys),
                        TEST(test_passphrase_and_recovery_code_open_and_others_do_not),
                        TEST(test_a_failed_unlock_says_why_for_each_slot),
                        TEST(test_the_recovery_code_is_checked_when_typed_back),
                        TEST(test_after_lock_only_an_explicit_unlock_opens),
                        TEST(test_making_room_for_another_store_is_no_order),
                        TEST(test_lock_ends_a_life_only_when_all_uses_are_sealed),
                        TEST(test_a_store_of_another_machine_does_not_open_by_itself),
                        TEST(test_slots_are_added_changed_and_removed_but_never_the_last),
                        TEST(test_only_sealed_small_memfds_are_taken_as_secrets),
                        TEST(test_a_second_store_is_refused_while_one_is_in_use),
                        TEST(test_a_checkpoint_note_is_what_the_format_says),
                        TEST(test_rekey_makes_everything_anew),
                        TEST(test_after_a_rekey_that_nobody_settled_the_slots_file_decides),
                        TEST(test_another_uid_is_refused),
                        TEST(test_without_memfd_secret_it_works_and_says_so),
                        TEST(test_ld_variables_keep_it_from_starting),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
