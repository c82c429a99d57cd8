/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Key files of other programs that use a TPM: their form, and all that is near it. test-tpm.c of the signer takes real ones. */
#include "crypto/tss2-key.h"

#include "support.h"

typedef struct Form {
        const char *oid; /* its bytes */
        size_t oid_len;
        int empty_auth;  /* 0 false, 1 true, -1 absent */
        bool policy, secret, auth_policy, description;
        const char *parent;
        size_t parent_len;
        size_t public_len, private_len;
        const char *behind;
} Form;

/* 2.23.133.10.1.3 loadable, .4 importable, .5 sealed. */
static const Form plain = {
        .oid = "\x67\x81\x05\x0a\x01\x03", .oid_len = 6, .empty_auth = 1, .parent = "\x40\x00\x00\x01", .parent_len = 4,
        .public_len = 90, .private_len = 126, .behind = "",
};

static void put(Buffer *b, uint8_t tag, Bytes content)
{
        uint8_t head[4] = {tag, 0x82, (uint8_t)(content.len >> 8), (uint8_t)content.len};

        if (content.len < 128) {
                head[1] = (uint8_t)content.len;
                assert_int_equal(buffer_append(b, head, 2), 0);
        } else if (content.len < 256) {
                head[1] = 0x81;
                head[2] = (uint8_t)content.len;
                assert_int_equal(buffer_append(b, head, 3), 0);
        } else {
                assert_int_equal(buffer_append(b, head, 4), 0);
        }
        assert_int_equal(buffer_append(b, content.data, content.len), 0);
}

static void put_tagged(Buffer *b, unsigned number, uint8_t tag, Bytes content)
{
        _cleanup_buffer_ Buffer inner = BUFFER_INIT(8192);

        put(&inner, tag, content);
        put(b, (uint8_t)(0xa0 | number), buffer_bytes(&inner));
}

static void make_der(const Form *f, Buffer *ret)
{
        static const uint8_t part[2 * TSS2_PART_MAX] = {1, 2, 3};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(8192);

        put(&b, 0x06, BYTES(f->oid, f->oid_len));
        if (f->empty_auth >= 0)
                put_tagged(&b, 0, 0x01, BYTES(f->empty_auth ? "\xff" : "\0", 1));
        if (f->policy)
                put_tagged(&b, 1, 0x30, BYTES("\x30\x00", 2));
        if (f->secret)
                put_tagged(&b, 2, 0x04, bytes_str("secret"));
        if (f->auth_policy)
                put_tagged(&b, 3, 0x30, BYTES("\x30\x00", 2));
        if (f->description)
                put_tagged(&b, 4, 0x0c, bytes_str("a key of mine"));
        put(&b, 0x02, BYTES(f->parent, f->parent_len));
        put(&b, 0x04, BYTES(part, f->public_len));
        put(&b, 0x04, BYTES(part + 1, f->private_len));
        assert_int_equal(buffer_append(&b, f->behind, strlen(f->behind)), 0);
        put(ret, 0x30, buffer_bytes(&b));
}

static int parse_der(Bytes der, const char *kind, Tss2Key *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(32768);
        char text[16384];

        base64_encode(der.data, der.len, text);
        assert_int_equal(buffer_printf(&b, "-----BEGIN %s-----\n", kind), 0);
        for (size_t i = 0; i < strlen(text); i += 64)
                assert_int_equal(buffer_printf(&b, "%.64s\n", text + i), 0);
        assert_int_equal(buffer_printf(&b, "-----END %s-----\n", kind), 0);
        return tss2_key_parse(buffer_bytes(&b), ret);
}

static int parse(const Form *f, Tss2Key *ret)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(8192);

        make_der(f, &der);
        return parse_der(buffer_bytes(&der), TSS2_KEY_KIND, ret);
}

static void test_a_loadable_key_is_read(void **state)
{
        Form f = plain;
        Tss2Key k;

        (void)state;
        assert_int_equal(parse(&f, &k), 0);
        assert_int_equal(k.parent, 0x40000001);
        assert_int_equal(k.public_len, 90);
        assert_int_equal(k.public[0], 1);
        assert_int_equal(k.private_len, 126);
        assert_int_equal(k.private[0], 2);
        for (f.empty_auth = -1; f.empty_auth <= 1; f.empty_auth++)
                assert_int_equal(parse(&f, &k), 0);
        f = plain;
        f.description = true;
        f.parent = "\x00\x81\x00\x00\x01";
        f.parent_len = 5;
        f.public_len = f.private_len = TSS2_PART_MAX;
        assert_int_equal(parse(&f, &k), 0);
        assert_int_equal(k.parent, 0x81000001);
        assert_int_equal(k.private_len, TSS2_PART_MAX);
}

static void test_what_needs_more_than_its_tpm_is_refused_by_name(void **state)
{
        Tss2Key k = {.parent = 7};
        Form f;

        (void)state;
#define NOT(change)                                                                                          \
        f = plain;                                                                                           \
        change;                                                                                              \
        assert_int_equal(parse(&f, &k), HF_E_NOT_SUPPORTED)
        NOT(f.oid = "\x67\x81\x05\x0a\x01\x04");
        NOT(f.oid = "\x67\x81\x05\x0a\x01\x05");
        NOT(f.oid = "\x2a\x03"; f.oid_len = 2);
        NOT(f.policy = true);
        NOT(f.secret = true);
        NOT(f.auth_policy = true);
        assert_int_equal(k.parent, 7);
}

static void test_what_is_not_in_that_form_is_refused(void **state)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(8192);
        Tss2Key k;
        Form f;

        (void)state;
#define BAD(change)                                                                                          \
        f = plain;                                                                                           \
        change;                                                                                              \
        assert_int_equal(parse(&f, &k), HF_E_INVALID_ARGS)
        BAD(f.public_len = TSS2_PART_MAX + 1);
        BAD(f.private_len = TSS2_PART_MAX + 1);
        BAD(f.private_len = 0);
        BAD(f.parent = "\x01\x00\x00\x00\x00"; f.parent_len = 5);
        BAD(f.parent = "\x81\x00\x00\x01");
        BAD(f.behind = "x");
        make_der(&plain, &der);
        assert_int_equal(parse_der(buffer_bytes(&der), "PRIVATE KEY", &k), HF_E_INVALID_ARGS);
        assert_int_equal(tss2_key_parse(buffer_bytes(&der), &k), HF_E_INVALID_ARGS);
        assert_int_equal(buffer_append(&der, "x", 1), 0);
        assert_int_equal(parse_der(buffer_bytes(&der), TSS2_KEY_KIND, &k), HF_E_INVALID_ARGS);
        assert_int_equal(tss2_key_parse(BYTES_NULL, &k), HF_E_INVALID_ARGS);
}

static void test_no_cut_and_no_flipped_bit_does_harm(void **state)
{
        _cleanup_buffer_ Buffer der = BUFFER_INIT(8192);
        Tss2Key k;

        (void)state;
        make_der(&plain, &der);
        for (size_t len = 0; len < der.len; len++)
                assert_int_equal(parse_der(BYTES(der.data, len), TSS2_KEY_KIND, &k), HF_E_INVALID_ARGS);
        for (size_t bit = 0; bit < der.len * 8; bit++) {
                int r;

                der.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                r = parse_der(buffer_bytes(&der), TSS2_KEY_KIND, &k);
                assert_true(r == 0 || r == HF_E_INVALID_ARGS || r == HF_E_NOT_SUPPORTED);
                if (!r)
                        assert_true(k.public_len <= TSS2_PART_MAX && k.private_len <= TSS2_PART_MAX);
                der.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_loadable_key_is_read),
                cmocka_unit_test(test_what_needs_more_than_its_tpm_is_refused_by_name),
                cmocka_unit_test(test_what_is_not_in_that_form_is_refused),
                cmocka_unit_test(test_no_cut_and_no_flipped_bit_does_harm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
