/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/ossl-context.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/cleanup.h"
#include "base/error.h"

#define EXPORTED __attribute__((visibility("default")))

DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)

static OSSL_LIB_CTX *the_context;

EXPORTED OSSL_LIB_CTX *OSSL_LIB_CTX_new(void)
{
        return the_context;
}

EXPORTED void OSSL_LIB_CTX_free(OSSL_LIB_CTX *context)
{
        (void)context;
}

/* What a salted session to an ECC or RSA parent takes: a key of our own, random bytes, in both contexts. */
static int warm_up(OSSL_LIB_CTX *context)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *ec = EVP_PKEY_Q_keygen(context, NULL, "EC", "P-256");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *hmac =
                        EVP_PKEY_new_raw_private_key_ex(context, "HMAC", NULL, (const uint8_t *)"k", 1);
        EVP_MD *md = EVP_MD_fetch(context, "SHA256", NULL);
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(context, "AES-128-CFB", NULL);
        uint8_t bytes[16];
        bool good = ec && hmac && md && cipher && RAND_bytes_ex(context, bytes, sizeof(bytes), 0) == 1;

        EVP_MD_free(md);
        EVP_CIPHER_free(cipher);
        return good ? 0 : HF_E_INTERNAL;
}

int ossl_context_open(void)
{
        OSSL_LIB_CTX *(*make)(void) = (OSSL_LIB_CTX *(*)(void))dlsym(RTLD_NEXT, "OSSL_LIB_CTX_new");
        int r;

        if (!make || OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
                return HF_E_INTERNAL;
        the_context = make();
        if (!the_context)
                return HF_E_INTERNAL;
        r = warm_up(NULL);
        return r ? r : warm_up(the_context);
}

int ossl_sha256(const Bytes *parts, size_t n, uint8_t ret[static DIGEST_SIZE])
{
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();

        if (!c || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
                return HF_E_INTERNAL;
        for (size_t i = 0; i < n; i++)
                if (EVP_DigestUpdate(c, parts[i].data, parts[i].len) != 1)
                        return HF_E_INTERNAL;
        return EVP_DigestFinal_ex(c, ret, NULL) == 1 ? 0 : HF_E_INTERNAL;
}
