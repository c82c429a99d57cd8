/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/recovery.h"

#include <sodium.h>

#include "base/error.h"
#include "base/secret.h"

#define CODE_LETTERS 32 /* 160 bits */
#define CHECK_LETTERS 3 /* 15 bits */
#define ALL_LETTERS (CODE_LETTERS + CHECK_LETTERS)
#define GROUP 5

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void recovery_generate(uint8_t ret[static RECOVERY_ENTROPY])
{
        randombytes_buf(ret, RECOVERY_ENTROPY);
}

/* The first 15 bits of BLAKE2b-256 over the code: chance lets one mistyped code in 32,768 through. */
static uint32_t check_value(const uint8_t code[static RECOVERY_ENTROPY])
{
        uint8_t hash[32];
        uint32_t v;

        crypto_generichash(hash, sizeof(hash), code, RECOVERY_ENTROPY, NULL, 0);
        v = (uint32_t)hash[0] << 7 | hash[1] >> 1;
        secret_erase(hash, sizeof(hash));
        return v;
}

static uint8_t five_bits(const uint8_t *code, size_t letter)
{
        size_t bit = letter * 5;
        uint32_t two = (uint32_t)code[bit / 8] << 8 |
                       (bit / 8 + 1 < RECOVERY_ENTROPY ? code[bit / 8 + 1] : 0);

        return (uint8_t)(two >> (11 - bit % 8) & 31);
}

void recovery_format(const uint8_t code[static RECOVERY_ENTROPY], char ret[static RECOVERY_TEXT_LEN + 1])
{
        uint32_t check = check_value(code);

        for (size_t i = 0; i < ALL_LETTERS; i++) {
                uint8_t v = i < CODE_LETTERS ? five_bits(code, i) : check >> 5 * (ALL_LETTERS - 1 - i) & 31;

                if (i > 0 && i % GROUP == 0)
                        *ret++ = '-';
                *ret++ = alphabet[v];
        }
        *ret = '\0';
}

static int letter_value(uint8_t c)
{
        if (c >= 'a' && c <= 'z')
                c -= 'a' - 'A';
        if (c == 'O')
                c = '0';
        if (c == 'I' || c == 'L')
                c = '1';
        for (int i = 0; i < 32; i++)
                if (alphabet[i] == c)
                        return i;
        return -1;
}

/* Takes the letters out of the text; exactly ALL_LETTERS of them or an error. */
static int read_letters(Bytes text, uint8_t ret[static ALL_LETTERS])
{
        size_t n = 0;

        for (size_t i = 0; i < text.len; i++) {
                uint8_t c = text.data[i];
                int v;

                if (c == '-' || c == ' ' || c == '\t' || c == '\n' || c == '\r')
                        continue;
                v = letter_value(c);
                if (v < 0 || n == ALL_LETTERS)
                        return HF_E_INVALID_ARGS;
                ret[n++] = (uint8_t)v;
        }
        return n == ALL_LETTERS ? 0 : HF_E_INVALID_ARGS;
}

int recovery_parse(Bytes text, uint8_t ret[static RECOVERY_ENTROPY])
{
        uint8_t letters[ALL_LETTERS], code[RECOVERY_ENTROPY] = {};
        uint32_t check = 0;
        int r;

        r = read_letters(text, letters);
        for (size_t bit = 0; !r && bit < RECOVERY_ENTROPY * 8; bit++)
                if (letters[bit / 5] >> (4 - bit % 5) & 1)
                        code[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        for (size_t i = CODE_LETTERS; !r && i < ALL_LETTERS; i++)
                check = check << 5 | letters[i];
        if (!r && check != check_value(code))
                r = HF_E_INVALID_ARGS;
        if (!r)
                memcpy(ret, code, sizeof(code));
        secret_erase(letters, sizeof(letters));
        secret_erase(code, sizeof(code));
        return r;
}
