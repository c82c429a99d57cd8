/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys, slots and the counter, with a TPM that works: swtpm behind the real holdfast-tpm. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "chip.h"
#include "crypto/attest.h"
#include "crypto/digest.h"
#include "crypto/privkey.h"
#include "crypto/pubkey.h"
#include "crypto/spki.h"
#include "seal/counter.h"
#include "seal/envelope.h"

static const ChipSlot credential = {.kind = SLOT_CREDENTIAL, .label = "device"};
static const ChipSlot sealed = {.kind = SLOT_TPM2, .label = "tpm", .pcrs = "7+11"};
static const ChipSlot by_pin = {.kind = SLOT_TPM2, .label = "pin", .secret = "1234"};
static const ChipSlot passphrase = {.kind = SLOT_PASSPHRASE, .label = "admin", .secret = "correct horse"};

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* Keys */

static const struct {
        KeyAlgorithm algorithm;
        Scheme schemes[4];
} signing[] = {
        {KEY_P256, {SCHEME_ES256}},
        {KEY_P384, {SCHEME_ES384}},
        {KEY_RSA2048, {SCHEME_RS256, SCHEME_RS512, SCHEME_PS256, SCHEME_PS384}},
};

static void test_keys_of_the_tpm_sign_by_every_scheme_and_survive_a_cold_boot(void **state)
{
        PeerKey keys[ELEMENTSOF(signing)];
        char reasons[1024];
        SignerOpened opened;
        Chip *c = *state;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        for (size_t i = 0; i < ELEMENTSOF(signing); i++)
                assert_int_equal(chip_key(c, &keys[i], signing[i].algorithm, PURPOSE_SIGN), 0);
        for (int boot = 0; boot < 2; boot++) {
                for (size_t i = 0; i < ELEMENTSOF(signing); i++)
                        for (size_t s = 0; s < 4 && signing[i].schemes[s]; s++)
                                assert_int_equal(chip_sign(c, &keys[i], signing[i].schemes[s]), 0);
                chip_reboot(c);
                assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);
        }
}

static size_t encrypt(Bytes spki, const char *text, uint8_t ret[static 512])
{
        const uint8_t *p = spki.data;
        EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.len);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
        size_t len = 512;

        assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()), 1);
        assert_int_equal(EVP_PKEY_encrypt(ctx, ret, &len, (const uint8_t *)text, strlen(text)), 1);
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(key);
        return len;
}

static void test_an_rsa_key_of_the_tpm_decrypts(void **state)
{
        uint8_t ciphertext[512], changed[512];
        SignerOpened opened;
        SignerOperation op;
        Chip *c = *state;
        size_t len;
        PeerKey k;
        Bytes out;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_key(c, &k, KEY_RSA2048, PURPOSE_DECRYPT), 0);
        len = encrypt(key_attributes_public(&k.attributes), "hello", ciphertext);
        op = peer_operation(&c->peer, &k, SIGNER_OP_DECRYPT, SCHEME_RSA_OAEP_256, BYTES(ciphertext, len));
        assert_int_equal(peer_operate(&c->peer, &op, &out), 0);
        assert_true(bytes_equal(out, bytes_str("hello")));
        memcpy(changed, ciphertext, len);
        changed[len - 1] ^= 1;
        op = peer_operation(&c->peer, &k, SIGNER_OP_DECRYPT, SCHEME_RSA_OAEP_256, BYTES(changed, len));
        assert_int_equal(peer_operate(&c->peer, &op, &out), HF_E_DECRYPT_FAILED);
        op = peer_operation(&c->peer, &k, SIGNER_OP_SIGN, SCHEME_RS256, bytes_str("m"));
        assert_int_equal(peer_operate(&c->peer, &op, &out), HF_E_PURPOSE_NOT_PERMITTED);
}

static void test_a_key_of_the_tpm_agrees_with_one_of_software(void **state)
{
        _cleanup_(privkey_freep) PrivKey *peer = NULL;
        uint8_t spki[640], here[32];
        SignerOpened opened;
        SignerOperation op;
        Chip *c = *state;
        size_t spki_len;
        PeerKey k;
        Bytes out;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_AGREE), 0);
        assert_int_equal(privkey_generate(KEY_P256, &peer), 0);
        assert_int_equal(privkey_public(peer, spki, sizeof(spki), &spki_len), 0);
        op = peer_operation(&c->peer, &k, SIGNER_OP_AGREE, SCHEME_ECDH_HKDF_256, BYTES(spki, spki_len));
        op.length = sizeof(here);
        assert_int_equal(peer_operate(&c->peer, &op, &out), 0);
        assert_int_equal(privkey_agree(peer, key_attributes_public(&k.attributes), BYTES_NULL, BYTES_NULL, here,
                                 sizeof(here)), 0);
        assert_true(bytes_equal(out, BYTES_ARRAY(here)));
}

static void test_a_mac_of_the_tpm_is_the_same_each_time(void **state)
{
        static const uint8_t message[FAR_MESSAGE_MAX + 1];
        uint8_t first[32];
        SignerOpened opened;
        SignerOperation op;
        Chip *c = *state;
        PeerKey k;
        Bytes out;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_key(c, &k, KEY_HMAC256, PURPOSE_MAC), 0);
        for (int i = 0; i < 2; i++) {
                op = peer_operation(&c->peer, &k, SIGNER_OP_MAC, SCHEME_HS256, BYTES(message, FAR_MESSAGE_MAX));
                assert_int_equal(peer_operate(&c->peer, &op, &out), 0);
                assert_int_equal(out.len, 32);
                if (i == 0)
                        memcpy(first, out.data, 32);
                assert_memory_equal(first, out.data, 32);
        }
        op = peer_operation(&c->peer, &k, SIGNER_OP_MAC, SCHEME_HS256, BYTES_ARRAY(message));
        assert_int_equal(peer_operate(&c->peer, &op, &out), HF_E_MESSAGE_TOO_LARGE);
}

static void test_what_the_tpm_does_not_do_is_never_done_in_software_instead(void **state)
{
        static const struct {
                KeyAlgorithm algorithm;
                KeyPurpose purpose;
        } none[] = {{KEY_ED25519, PURPOSE_SIGN}, {KEY_RSA4096, PURPOSE_SIGN}, {KEY_X25519, PURPOSE_AGREE},
                {KEY_AES256, PURPOSE_SEAL}};
        SignerOpened opened;
        Chip *c = *state;
        PeerKey k;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        for (size_t i = 0; i < ELEMENTSOF(none); i++)
                assert_int_equal(chip_key(c, &k, none[i].algorithm, none[i].purpose), HF_E_ALGORITHM_NOT_SUPPORTED);
}

static int rewrap(Chip *c, PeerKey *k, uint32_t flags)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        WireReader reader;
        Bytes reply, wrapped;
        int r;

        assert_int_equal(wire_put_block(&b, BYTES(k->encoded, k->encoded_len)), 0);
        assert_int_equal(wire_put_block(&b, BYTES(k->wrapped, k->wrapped_len)), 0);
        k->attributes.version++;
        k->attributes.flags = flags;
        peer_key_encode(k);
        assert_int_equal(wire_put_block(&b, BYTES(k->encoded, k->encoded_len)), 0);
        r = peer_call(&c->peer, SIGNER_REWRAP, buffer_bytes(&b), NULL, 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        wrapped = wire_get_block(&reader, sizeof(k->wrapped));
        memcpy(k->wrapped, wrapped.data, wrapped.len);
        k->wrapped_len = wrapped.len;
        return 0;
}

static void test_a_lost_key_says_so_and_stays_lost(void **state)
{
        SignerOpened opened;
        Chip *c = *state;
        PeerKey k, copy;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(rewrap(c, &k, KEY_FLAG_FROZEN), 0);
        copy = k;
        assert_int_equal(rewrap(c, &copy, KEY_FLAG_FROZEN | KEY_FLAG_LOST | KEY_FLAG_DISABLED), HF_E_KEY_FROZEN);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), 0);
        assert_int_equal(rewrap(c, &k, KEY_FLAG_FROZEN | KEY_FLAG_LOST), 0);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), HF_E_KEY_LOST);
        assert_int_equal(rewrap(c, &k, KEY_FLAG_FROZEN), HF_E_INVALID_ARGS);
}

/* What the credential opens, as the test can know it. */
static void open_keys(Chip *c, SealKeys *ret)
{
        uint8_t master[MASTER_SIZE];
        Slots slots;

        assert_int_equal(slots_parse(buffer_bytes(&c->peer.slots), &slots), 0);
        assert_int_equal(slot_open(&slots, &slots.slots[0], bytes_str(PEER_CREDENTIAL), master), 0);
        seal_keys_derive(master, ret);
}

/* An envelope that is sound in itself, around another key's blob: as a signer taken over once could have left it. */
static void test_a_blob_that_is_not_the_rows_key_does_not_open(void **state)
{
        uint8_t raw[KEY_WRAPPED_MAX], space[KEY_WRAPPED_MAX];
        Buffer b = {.data = space, .allocated = sizeof(space), .limit = sizeof(space)};
        SignerOpened opened;
        PeerKey one, other;
        Chip *c = *state;
        SealKeys keys;
        size_t len;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_key(c, &one, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(chip_key(c, &other, KEY_P256, PURPOSE_SIGN), 0);
        open_keys(c, &keys);
        assert_int_equal(envelope_open(keys.wrapping, &other.attributes, BYTES(other.wrapped, other.wrapped_len), raw,
                                 sizeof(raw), &len), 0);
        assert_int_equal(envelope_seal(keys.wrapping, &one.attributes, BYTES(raw, len), &b), 0);
        memcpy(one.wrapped, b.data, b.len);
        one.wrapped_len = b.len;
        assert_int_equal(chip_sign(c, &one, SCHEME_ES256), HF_E_KEY_MISMATCH);
        assert_int_equal(chip_sign(c, &other, SCHEME_ES256), 0);
}

static void test_a_key_outlives_its_holdfast_tpm_and_waits_for_the_next(void **state)
{
        SignerOpened opened;
        Chip *c = *state;
        PeerKey k;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_SIGN), 0);
        chip_end_program(c, SIGKILL);
        chip_start_program(c);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), 0);
        chip_end_program(c, SIGKILL);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), HF_E_TPM_UNAVAILABLE);
        chip_start_program(c);
        for (int i = 0; chip_sign(c, &k, SCHEME_ES256) && i < 1000; i++)
                (void)poll(NULL, 0, 5);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), 0);
}

/* Key files of other programs */

/* A file that tpm2-openssl made on the same TPM; its descriptor. */
static int foreign_key(Chip *c, const char *algorithm, const char *more)
{
        char command[512], path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/key.pem", c->rig.dir);
        snprintf(command, sizeof(command),
                "TSS2_LOG=all+NONE TPM2OPENSSL_TCTI='%s' openssl genpkey -provider tpm2 -provider default %s %s -out '%s' 2>&1",
                c->rig.tcti, algorithm, more, path);
        assert_int_equal(system(command), 0);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static int import_foreign(Chip *c, int fd, PeerKey *k, KeyPurpose purpose, KeyProtection protection, bool usual)
{
        int r;

        peer_key_init(k, KEY_P256, purpose, KEY_FLAG_IMPORTED);
        k->attributes.protection = protection;
        peer_key_encode(k);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        r = peer_import(&c->peer, fd, k, usual);
        return r;
}

static void test_a_key_that_tpm2_openssl_made_signs_for_us(void **state)
{
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        TpmState s;
        PeerKey k, rsa;
        int fd;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        fd = foreign_key(c, "-algorithm EC", "-pkeyopt group:P-256");
        assert_int_equal(import_foreign(c, fd, &k, PURPOSE_AGREE, PROTECTION_TPM, false), HF_E_PURPOSE_NOT_PERMITTED);
        assert_int_equal(import_foreign(c, fd, &k, PURPOSE_SIGN, PROTECTION_SOFTWARE, false), HF_E_NOT_SUPPORTED);
        assert_int_equal(import_foreign(c, fd, &k, PURPOSE_SIGN, PROTECTION_TPM, false), 0);
        close(fd);
        assert_int_equal(k.attributes.protection, PROTECTION_TPM);
        assert_int_equal(k.attributes.flags, KEY_FLAG_IMPORTED);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), 0);

        fd = foreign_key(c, "-algorithm RSA", "-pkeyopt bits:2048");
        assert_int_equal(import_foreign(c, fd, &rsa, PURPOSE_SIGN, PROTECTION_TPM, true), 0);
        close(fd);
        assert_int_equal(rsa.attributes.algorithm, KEY_RSA2048);
        assert_int_equal(chip_sign(c, &rsa, SCHEME_PS256), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), 0);
        assert_int_equal(chip_sign(c, &rsa, SCHEME_RS256), 0);
}

static void test_a_key_file_with_a_password_or_of_another_tpm_is_refused(void **state)
{
        SignerOpened opened;
        Chip *c = *state;
        TpmState s;
        PeerKey k;
        int fd;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        fd = foreign_key(c, "-algorithm EC", "-pkeyopt group:P-256 -pkeyopt user-auth:abcd");
        assert_int_equal(import_foreign(c, fd, &k, PURPOSE_SIGN, PROTECTION_TPM, false), HF_E_NOT_SUPPORTED);
        close(fd);
        fd = foreign_key(c, "-algorithm EC", "-pkeyopt group:P-256");
        chip_end_program(c, SIGTERM);
        rig_replace_tpm(&c->rig);
        chip_start_program(c);
        for (int i = 0; chip_state(c, &s) != SIGNER_TPM_OTHER && i < 1000; i++)
                (void)poll(NULL, 0, 5);
        assert_int_equal(import_foreign(c, fd, &k, PURPOSE_SIGN, PROTECTION_TPM, false), HF_E_KEY_MISMATCH);
        assert_int_equal(chip_adopt(c), 0);
        assert_int_equal(import_foreign(c, fd, &k, PURPOSE_SIGN, PROTECTION_TPM, false), HF_E_KEY_MISMATCH);
        close(fd);
}

/* What the TPM says about a key */

static int attest(Chip *c, const PeerKey *k, Bytes nonce, AttestReport *ret, AttestFault *ret_fault)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);
        TpmCertificate t;
        WireReader reader;
        Bytes reply;
        int r;

        assert_int_equal(wire_put_block(&b, BYTES(k->encoded, k->encoded_len)), 0);
        assert_int_equal(wire_put_block(&b, BYTES(k->wrapped, k->wrapped_len)), 0);
        assert_int_equal(wire_put_block(&b, nonce), 0);
        r = peer_call(&c->peer, SIGNER_ATTEST, buffer_bytes(&b), NULL, 0, &reply);
        if (r)
                return r;
        reader = wire_reader(reply);
        assert_int_equal(tpm_certificate_decode(wire_get_block(&reader, reply.len), &t), 0);
        assert_int_equal(wire_done(&reader), 0);
        *ret_fault = attest_verify(&(AttestStatement){.attest = t.attest, .signature = t.signature, .ak_public = t.ak_public,
                                           .key_public = t.key_public, .ek_public = t.ek_public,
                                           .spki = key_attributes_public(&k->attributes)},
                nonce, BYTES_NULL, ret);
        return 0;
}

static void test_the_tpm_vouches_for_its_key_and_nobody_for_one_of_software(void **state)
{
        AttestReport first, second;
        SignerOpened opened;
        AttestFault fault;
        Chip *c = *state;
        PeerKey k, near;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(attest(c, &k, bytes_str("a nonce of ours"), &first, &fault), 0);
        assert_int_equal(fault, ATTEST_GOOD);
        assert_int_equal(attest(c, &k, bytes_str("another"), &second, &fault), 0);
        assert_int_equal(fault, ATTEST_GOOD);
        assert_memory_equal(first.ak_fingerprint, second.ak_fingerprint, 32);
        assert_memory_equal(first.key_fingerprint, second.key_fingerprint, 32);

        peer_key_init(&near, KEY_P256, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(&c->peer, &near), 0);
        assert_int_equal(attest(c, &near, bytes_str("n"), &first, &fault), HF_E_NOT_SUPPORTED);
        near.wrapped[40] ^= 1;
        assert_int_equal(attest(c, &near, bytes_str("n"), &first, &fault), HF_E_KEY_MISMATCH);
        assert_int_equal(rewrap(c, &k, KEY_FLAG_LOST), 0);
        assert_int_equal(attest(c, &k, bytes_str("n"), &first, &fault), HF_E_KEY_LOST);
}

/* Slots */

static void test_a_sealed_slot_opens_by_itself_until_a_pcr_changes(void **state)
{
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        SlotList list;
        uint32_t id;
        TpmState s;

        assert_int_equal(chip_init(c, &sealed, &opened), 0);
        assert_int_equal(chip_slot_add(c, &passphrase, &id), 0);
        chip_slots(c, &list);
        assert_string_equal(list.slots[0].pcrs, "sha256:7+11");
        assert_true(list.slots[0].unattended);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);

        chip_reboot(c);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME); /* it is up */
        chip_tool(c, "tpm2_pcrextend 7:sha256=" ZEROS);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), HF_E_UNLOCK_FAILED);
        assert_string_equal(reasons, "2 passphrase: needs-secret; 1 tpm2: pcr-changed sha256:7");
        assert_int_equal(chip_unlock(c, true, "correct horse", reasons), 0);

        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, 2, BYTES("\0\0\0", 4), NULL), HF_E_NOTHING_TO_DO);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, 9, BYTES("\0\0\0", 4), NULL), HF_E_NO_SUCH_SLOT);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, 1, BYTES("\0\0\0", 4), NULL), 0);
        peer_kill(&c->peer);
        peer_start(&c->peer);
        chip_end_program(c, SIGTERM);
        chip_start_program(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);
        chip_slots(c, &list);
        assert_string_equal(list.slots[0].pcrs, "sha256:7+11");
}

static void test_a_pin_opens_and_a_wrong_one_tells_how_many_tries_are_left(void **state)
{
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        uint32_t id;

        assert_int_equal(chip_init(c, &by_pin, &opened), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), HF_E_UNLOCK_FAILED);
        assert_string_equal(reasons, "1 tpm2: needs-secret");
        assert_int_equal(chip_unlock(c, true, "4321", reasons), HF_E_UNLOCK_FAILED);
        print_message("%s\n", reasons);
        assert_int_equal(strncmp(reasons, "1 tpm2: wrong, ", 15), 0);
        assert_non_null(strstr(reasons, "left"));
        assert_int_equal(chip_unlock(c, true, "1234", reasons), 0);

        /* A passphrase beside it is tried first, and costs no try. */
        assert_int_equal(chip_slot_add(c, &passphrase, &id), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, true, "correct horse", reasons), 0);

        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_CHANGE, 1, BYTES_NULL, "7777"), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, true, "1234", reasons), HF_E_UNLOCK_FAILED);
        assert_int_equal(chip_unlock(c, true, "7777", reasons), 0);
}

/* As who announces an update would: TPM2_PolicyPCR over these values, signed (TCG TPM 2.0 Part 3, PolicyPCR). */
static void approve(PrivKey *key, const TpmPcrs *p, TpmPolicySignature *ret, uint8_t space[static SIGNATURE_MAX])
{
        uint8_t text[32 + 4 + 10 + 32] = {[32] = 0, 0, 1, 0x7f, 0, 0, 0, 1, 0, 11, 3}, values[TPM_PCRS * 32], *at = values;
        SignParams params = {.scheme = SCHEME_RS256};
        size_t len;

        for (unsigned i = 0; i < TPM_PCRS; i++)
                if (p->mask & 1u << i) {
                        memcpy(at, p->values[i], 32);
                        at += 32;
                        text[43 + i / 8] |= (uint8_t)(1 << i % 8);
                }
        digest_sha256(BYTES(values, (size_t)(at - values)), text + 46);
        digest_sha256(BYTES_ARRAY(text), ret->digest);
        assert_int_equal(privkey_sign(key, &params, BYTES_ARRAY(ret->digest), space, &len), 0);
        ret->signature = BYTES(space, len);
}

static void test_a_slot_under_a_policy_key_survives_the_update_that_was_announced(void **state)
{
        _cleanup_(privkey_freep) PrivKey *vendor = NULL;
        ChipSlot announced = {.kind = SLOT_TPM2, .label = "announced", .pcrs = "11"};
        uint8_t spki[640], space[2][SIGNATURE_MAX], extended[64] = {};
        TpmPolicySignature signatures[2];
        SignerOpened opened;
        char reasons[1024];
        KeyAlgorithm a;
        Chip *c = *state;
        SlotTpm tpm;
        TpmState s;
        uint32_t id;
        Slots slots;
        size_t len;

        assert_int_equal(privkey_generate(KEY_RSA2048, &vendor), 0);
        assert_int_equal(privkey_public(vendor, spki, sizeof(spki), &len), 0);
        announced.policy.algorithm = TPM_RSA2048;
        assert_int_equal(spki_parse(BYTES(spki, len), &a, &announced.policy.number), 0);
        assert_int_equal(chip_init(c, &passphrase, &opened), 0);
        assert_int_equal(chip_slot_add(c, &announced, &id), 0);
        assert_int_equal(slots_parse(buffer_bytes(&c->peer.slots), &slots), 0);
        assert_int_equal(slot_tpm_decode(SLOT_TPM2, slot_extra(slots_find(&slots, id)), &tpm), 0);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, id, BYTES("\0\0\0", 4), NULL), HF_E_NOTHING_TO_DO);

        approve(vendor, &tpm.pcrs, &signatures[0], space[0]);
        chip_reboot(c);
        assert_int_equal(chip_unlock_signed(c, NULL, 0, reasons), HF_E_UNLOCK_FAILED);
        assert_int_equal(chip_unlock_signed(c, signatures, 1, reasons), 0);

        chip_reboot(c);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        chip_tool(c, "tpm2_pcrextend 11:sha256=" ZEROS);
        assert_int_equal(chip_unlock_signed(c, signatures, 1, reasons), HF_E_UNLOCK_FAILED);
        assert_non_null(strstr(reasons, "tpm2: pcr-changed sha256:11"));
        memcpy(extended, tpm.pcrs.values[11], 32);
        digest_sha256(BYTES_ARRAY(extended), tpm.pcrs.values[11]);
        approve(vendor, &tpm.pcrs, &signatures[1], space[1]);
        assert_int_equal(chip_unlock_signed(c, signatures, 2, reasons), 0);
}

static void test_a_derived_slot_stands_on_the_device_key_and_never_alone(void **state)
{
        static const uint8_t keys[2][32] = {{1}, {2}};
        ChipSlot derived = {.kind = SLOT_TPM2_DERIVED, .label = "derived", .device_key = keys[0]};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1024), block = BUFFER_INIT(1024);
        SignerSlotTpm other = {};
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        SlotList list;
        uint32_t id;

        assert_int_equal(chip_init(c, &derived, &opened), HF_E_INVALID_ARGS);
        assert_int_equal(chip_init(c, &passphrase, &opened), 0);
        assert_int_equal(chip_slot_add(c, &derived, &id), 0);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_REMOVE, 1, BYTES_NULL, NULL), HF_E_LAST_SLOT);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);

        memcpy(other.device_key, keys[1], 32);
        assert_int_equal(signer_slot_tpm_encode(&other, &b), 0);
        assert_int_equal(wire_put_block(&block, buffer_bytes(&b)), 0);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_CHANGE, id, buffer_bytes(&block), NULL), 0);
        chip_slots(c, &list);
        assert_memory_equal(list.slots[1].device_key, keys[1], 32);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_REMOVE, id, BYTES_NULL, NULL), 0);
}

static void test_slots_of_the_tpm_beside_one_that_needs_none(void **state)
{
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        uint32_t id;

        assert_int_equal(chip_init(c, &sealed, &opened), 0);
        assert_int_equal(chip_slot_add(c, &credential, &id), 0);
        chip_reboot(c);
        rig_kill_swtpm(&c->rig);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0); /* by the credential */
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_REMOVE, id, BYTES_NULL, NULL), 0);
        peer_kill(&c->peer);
        peer_start(&c->peer);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), HF_E_UNLOCK_FAILED);
        assert_string_equal(reasons, "1 tpm2: no-tpm");
}

/* The TPM's part in a store */

static void test_a_store_knows_its_tpm_and_another_gets_a_counter_of_its_own(void **state)
{
        uint64_t first, second, third;
        SignerOpened opened;
        char reasons[1024];
        Chip *c = *state;
        TpmState s;
        PeerKey k;
        uint32_t id;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_slot_add(c, &passphrase, &id), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        assert_int_equal(s.presence, TPM_PRESENCE_READY);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &first), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &second), 0);
        assert_int_equal(second, first + 1);
        /* The same TPM keeps it. */
        assert_int_equal(chip_adopt(c), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &third), 0);
        assert_int_equal(third, second);

        chip_end_program(c, SIGTERM);
        peer_kill(&c->peer);
        rig_replace_tpm(&c->rig);
        peer_start(&c->peer);
        chip_start_program(c);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_OTHER);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), HF_E_STORE_FOREIGN);
        assert_int_equal(chip_unlock(c, true, "correct horse", reasons), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &third), HF_E_NO_SUCH_KEY);
        assert_true(chip_sign(c, &k, SCHEME_ES256) != 0);
        assert_int_equal(chip_adopt(c), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &third), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_SIGN), 0);
        assert_int_equal(chip_sign(c, &k, SCHEME_ES256), 0);
}

static void test_a_store_made_twice_leaves_one_counter(void **state)
{
        SignerOpened opened;
        Chip *c = *state;

        for (int i = 0; i < 3; i++) {
                uuid_generate(&c->peer.store_id);
                assert_int_equal(chip_init(c, &credential, &opened), 0);
                assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 1);
        }
        assert_int_equal(chip_counter(c, TPM_COUNTER_REMOVE, buffer_bytes(&c->peer.slots), &(uint64_t){0}), 0);
        assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 0);
}

static void test_an_index_that_is_taken_is_stepped_over(void **state)
{
        SignerOpened opened;
        char command[128];
        uint64_t value;
        Chip *c = *state;

        snprintf(command, sizeof(command), "tpm2_nvdefine 0x%x -s 8 -C o", (unsigned)counter_index(&c->peer.store_id, 0));
        chip_tool(c, command);
        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &value), 0);
        assert_int_equal(rig_handles(&c->rig, "handles-nv-index"), 2);
}

static void test_a_rekey_keeps_the_counter(void **state)
{
        _cleanup_buffer_ Buffer slots = BUFFER_INIT(SLOTS_FILE_MAX);
        SignerOpened opened;
        uint64_t before, value;
        uint8_t keep = 1;
        char reasons[1024];
        Chip *c = *state;
        Bytes reply;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &before), 0);
        assert_int_equal(chip_rekey(c, &sealed, &slots), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &value), 0);
        assert_int_equal(value, before + 1);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&slots), &value), 0);
        assert_int_equal(value, before + 1);
        assert_int_equal(peer_call(&c->peer, SIGNER_REKEY_COMMIT, BYTES(&keep, 1), NULL, 0, &reply), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&slots), &value), 0);
        assert_int_equal(value, before + 2);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), HF_E_KEY_MISMATCH);
        buffer_clear(&c->peer.slots);
        assert_int_equal(buffer_append(&c->peer.slots, slots.data, slots.len), 0);
        chip_reboot(c);
        assert_int_equal(chip_unlock(c, false, NULL, reasons), 0);
}

static void test_a_store_made_without_a_tpm_is_bound_to_none(void **state)
{
        SignerOpened opened;
        uint64_t value;
        Chip *c = *state;
        TpmState s;

        chip_end_program(c, SIGTERM);
        assert_int_equal(chip_init(c, &sealed, &opened), HF_E_TPM_UNAVAILABLE);
        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_UNKNOWN);
        assert_int_equal(s.presence, TPM_PRESENCE_NONE);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), HF_E_NOT_SUPPORTED);
        chip_start_program(c);
        for (int i = 0; chip_state(c, &s) == SIGNER_TPM_UNKNOWN && i < 1000; i++)
                (void)poll(NULL, 0, 5);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_UNBOUND);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), HF_E_NOT_SUPPORTED);
        /* Until somebody says that it belongs here. */
        assert_int_equal(chip_adopt(c), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), 0);
}

static void test_nothing_of_the_tpm_is_for_a_store_that_is_locked_or_foreign(void **state)
{
        SignerOpened opened;
        uint64_t value;
        Chip *c = *state;
        uint32_t id;
        Bytes reply;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_DEFINE, buffer_bytes(&c->peer.slots), &value), HF_E_INVALID_ARGS);
        assert_int_equal(peer_call(&c->peer, SIGNER_LOCK, BYTES_NULL, NULL, 0, &reply), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_READ, buffer_bytes(&c->peer.slots), &value), HF_E_STORE_LOCKED);
        assert_int_equal(chip_adopt(c), HF_E_STORE_LOCKED);
        assert_int_equal(chip_slot_add(c, &sealed, &id), HF_E_STORE_LOCKED);
        assert_int_equal(chip_slot_verb(c, SIGNER_SLOT_RESEAL, 1, BYTES("\0\0\0", 4), NULL), HF_E_STORE_LOCKED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, chip_setup, chip_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_keys_of_the_tpm_sign_by_every_scheme_and_survive_a_cold_boot),
                TEST(test_an_rsa_key_of_the_tpm_decrypts),
                TEST(test_a_key_of_the_tpm_agrees_with_one_of_software),
                TEST(test_a_mac_of_the_tpm_is_the_same_each_time),
                TEST(test_what_the_tpm_does_not_do_is_never_done_in_software_instead),
                TEST(test_a_lost_key_says_so_and_stays_lost),
                TEST(test_a_blob_that_is_not_the_rows_key_does_not_open),
                TEST(test_a_key_outlives_its_holdfast_tpm_and_waits_for_the_next),
                TEST(test_a_key_that_tpm2_openssl_made_signs_for_us),
                TEST(test_a_key_file_with_a_password_or_of_another_tpm_is_refused),
                TEST(test_the_tpm_vouches_for_its_key_and_nobody_for_one_of_software),
                TEST(test_a_sealed_slot_opens_by_itself_until_a_pcr_changes),
                TEST(test_a_pin_opens_and_a_wrong_one_tells_how_many_tries_are_left),
                TEST(test_a_slot_under_a_policy_key_survives_the_update_that_was_announced),
                TEST(test_a_derived_slot_stands_on_the_device_key_and_never_alone),
                TEST(test_slots_of_the_tpm_beside_one_that_needs_none),
                TEST(test_a_store_knows_its_tpm_and_another_gets_a_counter_of_its_own),
                TEST(test_a_store_made_twice_leaves_one_counter),
                TEST(test_an_index_that_is_taken_is_stepped_over),
                TEST(test_a_rekey_keeps_the_counter),
                TEST(test_a_store_made_without_a_tpm_is_bound_to_none),
                TEST(test_nothing_of_the_tpm_is_for_a_store_that_is_locked_or_foreign),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
