/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "chip.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "crypto/pubkey.h"

static void setup_rig(Rig *rig)
{
        *rig = (Rig){.fd = -EBADF, .listening = -EBADF};
        strcpy(rig->dir, "/tmp/hf-chip-XXXXXX");
        assert_non_null(mkdtemp(rig->dir));
        snprintf(rig->state, sizeof(rig->state), "%s/state", rig->dir);
        snprintf(rig->tpm_socket, sizeof(rig->tpm_socket), "%s/tpm", rig->dir);
        snprintf(rig->control, sizeof(rig->control), "%s/tpm.ctrl", rig->dir);
        snprintf(rig->tcti, sizeof(rig->tcti), "swtpm:path=%s", rig->tpm_socket);
        assert_int_equal(mkdir(rig->state, 0700), 0);
        rig_start_swtpm(rig);
}

void chip_start_program(Chip *c)
{
        char socket[128], tcti[160], uid[64];

        snprintf(socket, sizeof(socket), "--socket=%s", c->peer.tpm_path);
        snprintf(tcti, sizeof(tcti), "--tcti=%s", c->rig.tcti);
        snprintf(uid, sizeof(uid), "--peer-uid=%u", (unsigned)getuid());
        c->program = fork();
        assert_true(c->program >= 0);
        if (c->program == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                setenv("TSS2_LOG", "all+NONE", 1);
                if (!getenv("SIGNER_TEST_VERBOSE"))
                        assert_non_null(freopen("/dev/null", "w", stderr));
                execl(TPM_PATH, TPM_PATH, socket, tcti, uid, "--allow-ld-environment", NULL);
                _exit(127);
        }
}

void chip_end_program(Chip *c, int signal)
{
        if (c->program > 0) {
                kill(c->program, signal);
                waitpid(c->program, NULL, 0);
        }
        c->program = 0;
}

int chip_setup(void **state)
{
        Chip *c = calloc(1, sizeof(*c));

        assert_non_null(c);
        signal(SIGPIPE, SIG_IGN);
        setup_rig(&c->rig);
        peer_setup(&c->peer);
        c->peer.has_tpm_socket = 1;
        peer_start(&c->peer);
        chip_start_program(c);
        *state = c;
        return 0;
}

int chip_teardown(void **state)
{
        char command[128];
        Chip *c = *state;

        chip_end_program(c, SIGTERM);
        rig_kill_swtpm(&c->rig);
        peer_teardown(&c->peer);
        snprintf(command, sizeof(command), "rm -rf '%s'", c->rig.dir);
        assert_int_equal(system(command), 0);
        free(c);
        return 0;
}

void chip_reboot(Chip *c)
{
        chip_end_program(c, SIGTERM);
        peer_kill(&c->peer);
        rig_reset_tpm(&c->rig);
        peer_start(&c->peer);
        chip_start_program(c);
}

void chip_tool(Chip *c, const char *command)
{
        if (!rig_tool(&c->rig, command))
                fail_msg("%s", command);
}

static void keep_slots(Peer *p, WireReader *reader)
{
        Bytes file = wire_get_block(reader, SLOTS_FILE_MAX);

        assert_int_equal(wire_done(reader), 0);
        buffer_clear(&p->slots);
        assert_int_equal(buffer_append(&p->slots, file.data, file.len), 0);
}

static int secret_of(const char *text)
{
        int fd = -EBADF;

        if (text)
                assert_int_equal(secret_fd_new(text, strlen(text), &fd), 0);
        return fd;
}

static SignerSlotTpm asked(const ChipSlot *slot)
{
        SignerSlotTpm t = {.pin = slot->kind == SLOT_TPM2 && slot->secret, .policy = slot->policy};

        if (slot->pcrs)
                assert_int_equal(tpm_pcrs_parse(slot->pcrs, &t.pcrs), 0);
        if (slot->device_key)
                memcpy(t.device_key, slot->device_key, sizeof(t.device_key));
        return t;
}

static SignerInit init_of(const Chip *c, const ChipSlot *slot)
{
        SignerInit init = {.store_id = c->peer.store_id, .kind = slot->kind, .unattended = true, .tpm = asked(slot)};

        strcpy(init.label, slot->label);
        return init;
}

int chip_init(Chip *c, const ChipSlot *slot, SignerOpened *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(4096);
        _cleanup_close_ int fd = secret_of(slot->secret);
        SignerInit init = init_of(c, slot);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(signer_init_encode(&init, &b), 0);
        r = peer_call(&c->peer, SIGNER_INIT, buffer_bytes(&b), &fd, fd >= 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        assert_int_equal(signer_opened_decode(&reader, ret), 0);
        keep_slots(&c->peer, &reader);
        return 0;
}

int chip_slot_add(Chip *c, const ChipSlot *slot, uint32_t *ret_id)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 4096), t = BUFFER_INIT(4096);
        _cleanup_close_ int fd = secret_of(slot->secret);
        SignerSlotTpm wish = asked(slot);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(signer_slot_tpm_encode(&wish, &t), 0);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&c->peer.slots)), 0);
        assert_int_equal(wire_put_u8(&b, (uint8_t)slot->kind), 0);
        assert_int_equal(wire_put_string(&b, slot->label), 0);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&t)), 0);
        r = peer_call(&c->peer, SIGNER_SLOT_ADD, buffer_bytes(&b), &fd, fd >= 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        *ret_id = wire_get_u32(&reader);
        keep_slots(&c->peer, &reader);
        return 0;
}

int chip_slot_verb(Chip *c, SignerRequest verb, uint32_t id, Bytes extra, const char *secret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 4096);
        _cleanup_close_ int fd = secret_of(secret);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&c->peer.slots)), 0);
        assert_int_equal(wire_put_u32(&b, id), 0);
        assert_int_equal(wire_put_raw(&b, extra.data, extra.len), 0);
        r = peer_call(&c->peer, verb, buffer_bytes(&b), &fd, fd >= 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        keep_slots(&c->peer, &reader);
        return 0;
}

int chip_adopt(Chip *c, bool *ret_other)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 16);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&c->peer.slots)), 0);
        r = peer_call(&c->peer, SIGNER_ADOPT, buffer_bytes(&b), NULL, 0, &reply);
        if (r)
                return r;
        *ret_other = reply.data[--reply.len];
        reader = wire_reader(reply);
        keep_slots(&c->peer, &reader);
        return 0;
}

int chip_rekey(Chip *c, const ChipSlot *slot, Buffer *ret_slots)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 4096), i = BUFFER_INIT(4096);
        _cleanup_close_ int fd = secret_of(slot->secret);
        SignerInit init = init_of(c, slot);
        SignerOpened opened;
        WireReader reader;
        Bytes reply, file;
        int r;

        assert_int_equal(signer_init_encode(&init, &i), 0);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&c->peer.slots)), 0);
        assert_int_equal(wire_put_block(&b, buffer_bytes(&i)), 0);
        r = peer_call(&c->peer, SIGNER_REKEY, buffer_bytes(&b), &fd, fd >= 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        assert_int_equal(signer_opened_decode(&reader, &opened), 0);
        file = wire_get_block(&reader, SLOTS_FILE_MAX);
        assert_int_equal(wire_done(&reader), 0);
        assert_int_equal(buffer_append(ret_slots, file.data, file.len), 0);
        return 0;
}

void chip_slots(Chip *c, SlotList *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 16);
        WireReader reader;
        Bytes reply;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&c->peer.slots)), 0);
        assert_int_equal(peer_call(&c->peer, SIGNER_SLOTS, buffer_bytes(&b), NULL, 0, &reply), 0);
        reader = wire_reader(reply);
        assert_int_equal(slot_list_decode(&reader, ret), 0);
}

static int unlock(Chip *c, bool attended, int fd, Bytes signatures, char reasons[static 1024])
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 8192);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&c->peer.slots)), 0);
        assert_int_equal(wire_put_u8(&b, attended), 0);
        assert_int_equal(wire_put_block(&b, signatures), 0);
        r = peer_call(&c->peer, SIGNER_UNLOCK, buffer_bytes(&b), &fd, fd >= 0, &reply);
        reasons[0] = '\0';
        if (r == HF_E_UNLOCK_FAILED) {
                reader = wire_reader(reply);
                wire_get_string(&reader, reasons, 1024);
                assert_int_equal(wire_done(&reader), 0);
        }
        return r;
}

int chip_unlock(Chip *c, bool attended, const char *secret, char reasons[static 1024])
{
        _cleanup_close_ int fd = secret_of(secret);

        return unlock(c, attended, fd, BYTES_NULL, reasons);
}

int chip_unlock_signed(Chip *c, const SignerSignature *signatures, size_t n, char reasons[static 1024])
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SIGNER_SIGNATURES_MAX);

        assert_int_equal(signer_signatures_encode(signatures, n, &b), 0);
        return unlock(c, false, -EBADF, buffer_bytes(&b), reasons);
}

SignerTpmMatch chip_state(Chip *c, TpmState *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 64);
        SignerTpmMatch match;
        WireReader reader;
        Bytes reply;

        assert_int_equal(wire_put_block(&b, buffer_bytes(&c->peer.slots)), 0);
        assert_int_equal(wire_put_u8(&b, 1), 0);
        assert_int_equal(peer_call(&c->peer, SIGNER_TPM, buffer_bytes(&b), NULL, 0, &reply), 0);
        reader = wire_reader(reply);
        match = wire_get_u8(&reader);
        tpm_state_get(&reader, ret);
        assert_int_equal(wire_done(&reader), 0);
        return match;
}

int chip_counter(Chip *c, TpmCounterAction action, Bytes slots, uint64_t *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(SLOTS_FILE_MAX + 64);
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(wire_put_block(&b, slots), 0);
        assert_int_equal(wire_put_u8(&b, (uint8_t)action), 0);
        r = peer_call(&c->peer, SIGNER_COUNTER, buffer_bytes(&b), NULL, 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        *ret = wire_get_u64(&reader);
        assert_int_equal(wire_done(&reader), 0);
        return 0;
}

int chip_key(Chip *c, PeerKey *k, KeyAlgorithm algorithm, KeyPurpose purpose)
{
        peer_key_init(k, algorithm, purpose, 0);
        k->attributes.protection = PROTECTION_TPM;
        peer_key_encode(k);
        return peer_generate(&c->peer, k);
}

int chip_sign(Chip *c, const PeerKey *k, Scheme scheme)
{
        SignerOperation op = peer_operation(&c->peer, k, SIGNER_OP_SIGN, scheme, bytes_str("message"));
        Bytes out;
        int r = peer_operate(&c->peer, &op, &out);

        return r ? r : pubkey_verify(key_attributes_public(&k->attributes), scheme, bytes_str("message"), out);
}
