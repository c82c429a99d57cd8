/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys in a TPM that works: swtpm behind the real holdfast-tpm. */
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
#include "crypto/privkey.h"
#include "crypto/pubkey.h"
#include "seal/envelope.h"
#include "seal/slots.h"

static const ChipSlot credential = {.kind = SLOT_CREDENTIAL, .label = "device"};

/* Keys */

static const struct {
        KeyAlgorithm algorithm;
        Scheme schemes[4];
} signing[] = {
        {KEY_P256, {SCHEME_ES256, SCHEME_ECDSA_SHA384, SCHEME_ECDSA_SHA512}},
        {KEY_P384, {SCHEME_ES384, SCHEME_ECDSA_SHA256, SCHEME_ECDSA_SHA512}},
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
        bool other;
        int fd;

        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(chip_state(c, &s), SIGNER_TPM_SAME);
        fd = foreign_key(c, "-algorithm EC", "-pkeyopt group:P-256 -pkeyopt user-auth:abcd");
        assert_int_equal(import_foreign(c, fd, &k, PURPOSE_SIGN, PROTECTION_TPM, false), HF_E_UNLOCK_FAILED);
        close(fd);
        fd = foreign_key(c, "-algorithm EC", "-pkeyopt group:P-256");
        chip_end_program(c, SIGTERM);
        rig_replace_tpm(&c->rig);
        chip_start_program(c);
        for (int i = 0; chip_state(c, &s) != SIGNER_TPM_OTHER && i < 1000; i++)
                (void)poll(NULL, 0, 5);
        assert_int_equal(import_foreign(c, fd, &k, PURPOSE_SIGN, PROTECTION_TPM, false), HF_E_KEY_MISMATCH);
        assert_int_equal(chip_adopt(c, &other), 0);
        assert_true(other);
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
