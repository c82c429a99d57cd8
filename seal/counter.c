/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal/counter.h"

#include <sodium.h>

#include "base/error.h"
#include "base/secret.h"

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define AD_SIZE (sizeof("holdfast counter") - 1 + 16 + TPM_NAME_SIZE + 4)

_Static_assert(SLOTS_COUNTER_AUTH_SIZE == NONCE_SIZE + COUNTER_AUTH_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES,
        "nonce, ciphertext, tag");

uint32_t counter_index(const Uuid *store_id, unsigned attempt)
{
        uint32_t room = TPM_COUNTER_LAST - TPM_COUNTER_FIRST + 1;
        uint32_t start = (uint32_t)store_id->b[0] << 24 | (uint32_t)store_id->b[1] << 16 |
                (uint32_t)store_id->b[2] << 8 | store_id->b[3];

        return TPM_COUNTER_FIRST + (start % room + attempt) % room;
}

static void make_ad(const Slots *s, uint8_t ret[static AD_SIZE])
{
        Buffer b = {.data = ret, .allocated = AD_SIZE, .limit = AD_SIZE};

        (void)wire_put_raw(&b, "holdfast counter", 16);
        (void)wire_put_raw(&b, s->store_id.b, 16);
        (void)wire_put_raw(&b, s->tpm, sizeof(s->tpm));
        (void)wire_put_u32(&b, s->counter);
}

void slots_set_counter(Slots *s, uint32_t index, const uint8_t auth[static COUNTER_AUTH_SIZE], const SealKeys *keys)
{
        uint8_t ad[AD_SIZE];

        s->counter = index;
        make_ad(s, ad);
        randombytes_buf(s->counter_auth, NONCE_SIZE);
        crypto_aead_xchacha20poly1305_ietf_encrypt(s->counter_auth + NONCE_SIZE, NULL, auth, COUNTER_AUTH_SIZE, ad, sizeof(ad),
                NULL, s->counter_auth, keys->counter);
}

int slots_counter_auth(const Slots *s, const SealKeys *keys, uint8_t ret[static COUNTER_AUTH_SIZE])
{
        uint8_t ad[AD_SIZE];

        make_ad(s, ad);
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(ret, NULL, NULL, s->counter_auth + NONCE_SIZE,
                    sizeof(s->counter_auth) - NONCE_SIZE, ad, sizeof(ad), s->counter_auth, keys->counter) < 0)
                return HF_E_KEY_MISMATCH;
        return 0;
}
