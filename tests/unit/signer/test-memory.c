/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What root finds when it reads all of the running signer's memory: no key, in any of the forms OpenSSL keeps
 * one, and none of what opens keys. That the scan can find something is shown by looking for what may be
 * found: the public half, which lies in ordinary memory.
 */
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "chip.h"
#include "peer.h"
#include "seal/counter.h"
#include "seal/envelope.h"
#include "seal/slots.h"

#define NEEDLES_MAX 64
#define NEEDLE_LEN 16 /* enough to be no accident, and less than what is left where a copy is cut */

typedef struct Needle {
        const char *name;
        uint8_t bytes[NEEDLE_LEN];
        unsigned found;
} Needle;

typedef struct Haystack {
        size_t n;
        Needle needles[NEEDLES_MAX];
        size_t scanned;
} Haystack;

static void add(Haystack *h, const char *name, const uint8_t *bytes)
{
        assert_true(h->n < NEEDLES_MAX);
        h->needles[h->n].name = name;
        memcpy(h->needles[h->n++].bytes, bytes, NEEDLE_LEN);
}

/* Big-endian, little-endian (which are also OpenSSL's limbs), and hex in both cases. */
static void add_forms(Haystack *h, const char *name, const uint8_t *number, size_t len)
{
        uint8_t reversed[1024] = {};
        char hex[2049] = {};

        add(h, name, number);
        for (size_t i = 0; i < len; i++)
                reversed[i] = number[len - 1 - i];
        add(h, name, reversed);
        hex_encode(number, len, hex);
        add(h, name, (const uint8_t *)hex);
        for (size_t i = 0; i < 2 * len; i++)
                if (hex[i] >= 'a')
                        hex[i] -= 'a' - 'A';
        add(h, name, (const uint8_t *)hex);
}

static void search(Haystack *h, const uint8_t *p, size_t len)
{
        h->scanned += len;
        for (size_t i = 0; i < h->n; i++)
                for (const uint8_t *at = p;
                                (at = memmem(at, len - (size_t)(at - p), h->needles[i].bytes, NEEDLE_LEN));
                                at++)
                        h->needles[i].found++;
}

/* All that can be read; secret memory cannot, and answers with an error. */
static void scan(Haystack *h, pid_t pid)
{
        char path[64], line[512];
        unsigned long start, end;
        FILE *maps;
        int mem;

        snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
        mem = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(mem >= 0);
        snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
        maps = fopen(path, "re");
        assert_non_null(maps);
        while (fgets(line, sizeof(line), maps)) {
                uint8_t *buf;
                ssize_t n;

                if (sscanf(line, "%lx-%lx", &start, &end) != 2 || end - start > (256u << 20))
                        continue;
                buf = malloc(end - start);
                assert_non_null(buf);
                n = pread(mem, buf, end - start, (off_t)start);
                if (n > 0)
                        search(h, buf, (size_t)n);
                explicit_bzero(buf, end - start);
                free(buf);
        }
        fclose(maps);
        close(mem);
}

/* The raw private half out of the envelope, as the test can get it by knowing the credential. */
static size_t open_envelope(const SealKeys *keys, const PeerKey *k, uint8_t raw[static KEY_WRAPPED_MAX])
{
        size_t len;

        assert_int_equal(envelope_open(keys->wrapping, &k->attributes, BYTES(k->wrapped, k->wrapped_len), raw,
                                         KEY_WRAPPED_MAX, &len),
                        0);
        return len;
}

static void add_rsa(Haystack *h, const uint8_t *raw, size_t len)
{
        static const char *const names[] = {"n", "e", "d", "p", "q", "dP", "dQ", "qInv"};
        WireReader r = wire_reader(BYTES(raw, len));

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                Bytes number = wire_get_block(&r, len);

                if (i >= 2)
                        add_forms(h, names[i], number.data, number.len);
        }
        assert_int_equal(wire_done(&r), 0);
}

static void use(Peer *p, const PeerKey *k, Scheme scheme, unsigned times)
{
        for (unsigned i = 0; i < times; i++) {
                SignerOperation op = peer_operation(p, k, SIGNER_OP_SIGN, scheme, bytes_str("m"));
                Bytes out;

                assert_int_equal(peer_operate(p, &op, &out), 0);
        }
}

static void test_root_finds_no_key_in_the_running_signer(void **state)
{
        static const char credential[] = PEER_CREDENTIAL;
        static Haystack secret, control;
        uint8_t master[MASTER_SIZE], raw[KEY_WRAPPED_MAX];
        PeerKey ec, ed, rsa;
        SignerOpened opened;
        SignerHello hello;
        SealKeys keys;
        Slots slots;
        size_t len;
        Peer p;

        (void)state;
        if (getuid() != 0)
                skip();
        peer_setup(&p);
        peer_start(&p);
        peer_init(&p, &opened);
        assert_int_equal(peer_hello(&p, &hello), 0);
        if (hello.memory != SECRET_MEMORY_SECRET) {
                peer_teardown(&p);
                skip();
        }
        assert_int_equal(slots_parse(buffer_bytes(&p.slots), &slots), 0);
        assert_int_equal(slot_open(&slots, &slots.slots[0], bytes_str(credential), master), 0);
        seal_keys_derive(master, &keys);
        assert_memory_equal(keys.database, opened.database_key, 32);

        peer_key_init(&ec, KEY_P256, PURPOSE_SIGN, 0);
        peer_key_init(&ed, KEY_ED25519, PURPOSE_SIGN, 0);
        peer_key_init(&rsa, KEY_RSA2048, PURPOSE_SIGN, 0);
        assert_int_equal(peer_generate(&p, &ec), 0);
        assert_int_equal(peer_generate(&p, &ed), 0);
        assert_int_equal(peer_generate(&p, &rsa), 0);
        use(&p, &ec, SCHEME_ES256, 200);
        use(&p, &ed, SCHEME_EDDSA, 200);
        use(&p, &rsa, SCHEME_RS256, 100);
        use(&p, &rsa, SCHEME_PS256, 100);

        add_forms(&secret, "master", master, sizeof(master));
        add_forms(&secret, "wrapping key", keys.wrapping, 32);
        add_forms(&secret, "checkpoint seed", keys.checkpoint, 32);
        add_forms(&secret, "database key", keys.database, 32);
        add_forms(&secret, "log key", keys.log, 32);
        add_forms(&secret, "credential", (const uint8_t *)credential, 32);
        len = open_envelope(&keys, &ec, raw);
        add_forms(&secret, "P-256 scalar", raw, len);
        len = open_envelope(&keys, &ed, raw);
        add_forms(&secret, "Ed25519 seed", raw, len);
        len = open_envelope(&keys, &rsa, raw);
        add_rsa(&secret, raw, len);
        scan(&secret, p.pid);

        /* The last bytes of the public halves, which the cache keeps as part of the record. */
        add(&control, "P-256 point", ec.attributes.public + ec.attributes.public_len - NEEDLE_LEN);
        add(&control, "RSA modulus", rsa.attributes.public + 40);
        scan(&control, p.pid);

        for (size_t i = 0; i < secret.n; i++)
                if (secret.needles[i].found)
                        fail_msg("%s: %u times", secret.needles[i].name, secret.needles[i].found);
        for (size_t i = 0; i < control.n; i++)
                if (!control.needles[i].found)
                        fail_msg("the scan does not find the %s", control.needles[i].name);
        assert_true(secret.scanned > (1u << 20));
        peer_teardown(&p);
}

/* Of the conversation with a TPM: what a key is used by, what a person types and what becomes of it, the counter's. */
static void test_root_finds_nothing_of_what_was_said_to_the_tpm(void **state)
{
        static const char pin[] = "a PIN that is long enough to be found";
        static const ChipSlot credential = {.kind = SLOT_CREDENTIAL, .label = "device"};
        const ChipSlot by_pin = {.kind = SLOT_TPM2, .label = "pin", .secret = pin};
        static Haystack secret, control;
        uint8_t master[MASTER_SIZE], raw[KEY_WRAPPED_MAX], auth[TPM_AUTH_SIZE];
        char reasons[1024];
        SignerOpened opened;
        Chip *c = *state;
        SignerHello hello;
        SealKeys keys;
        uint64_t value;
        uint32_t id;
        Slots slots;
        PeerKey k;

        if (getuid() != 0)
                skip();
        assert_int_equal(chip_init(c, &credential, &opened), 0);
        assert_int_equal(peer_hello(&c->peer, &hello), 0);
        if (hello.memory != SECRET_MEMORY_SECRET)
                skip();
        assert_int_equal(chip_slot_add(c, &by_pin, &id), 0);
        assert_int_equal(chip_key(c, &k, KEY_P256, PURPOSE_SIGN), 0);
        for (int i = 0; i < 20; i++)
                assert_int_equal(chip_sign(c, &k, SCHEME_ES256), 0);
        assert_int_equal(chip_unlock(c, true, pin, reasons), 0);
        assert_int_equal(chip_counter(c, TPM_COUNTER_INCREMENT, buffer_bytes(&c->peer.slots), &value), 0);

        assert_int_equal(slots_parse(buffer_bytes(&c->peer.slots), &slots), 0);
        assert_int_equal(slot_open(&slots, &slots.slots[0], bytes_str(PEER_CREDENTIAL), master), 0);
        seal_keys_derive(master, &keys);
        add_forms(&secret, "master", master, sizeof(master));
        add_forms(&secret, "PIN", (const uint8_t *)pin, 32);
        assert_int_equal(slot_pin(&slots.slots[1], slots.slots[1].salt, bytes_str(pin), auth), 0);
        add_forms(&secret, "PIN as the TPM gets it", auth, sizeof(auth));
        assert_int_equal(slots_counter_auth(&slots, &keys, auth), 0);
        add_forms(&secret, "authorisation of the counter", auth, sizeof(auth));
        assert_true(open_envelope(&keys, &k, raw) > 1 + TPM_NAME_SIZE + TPM_AUTH_SIZE);
        add_forms(&secret, "authorisation of the key", raw + 1 + TPM_NAME_SIZE, TPM_AUTH_SIZE);
        scan(&secret, c->peer.pid);
        add(&control, "P-256 point", k.attributes.public + k.attributes.public_len - NEEDLE_LEN);
        scan(&control, c->peer.pid);

        for (size_t i = 0; i < secret.n; i++)
                if (secret.needles[i].found)
                        fail_msg("%s: %u times", secret.needles[i].name, secret.needles[i].found);
        assert_true(control.needles[0].found > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_root_finds_no_key_in_the_running_signer),
                        cmocka_unit_test_setup_teardown(test_root_finds_nothing_of_what_was_said_to_the_tpm,
                                        chip_setup, chip_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
