/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/fetched.h"

#include <openssl/err.h>
#include <openssl/kdf.h>
#include <sodium.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

#include "base/log.h"

static Fetched table;

static void fetch_all(void)
{
        table = (Fetched){
                .sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL),
                .sha384 = EVP_MD_fetch(NULL, "SHA2-384", NULL),
                .sha512 = EVP_MD_fetch(NULL, "SHA2-512", NULL),
                .aes256gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL),
                .hmac = EVP_MAC_fetch(NULL, "HMAC", NULL),
                .hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL),
        };
        if (table.sha256 && table.sha384 && table.sha512 && table.aes256gcm && table.hmac && table.hkdf && sodium_init() >= 0)
                return;
        log_error("no memory for cryptography, or OpenSSL lacks an algorithm that is needed");
        _exit(EXIT_FAILURE);
}

const Fetched *fetched(void)
{
        static once_flag once = ONCE_FLAG_INIT;

        call_once(&once, fetch_all);
        return &table;
}

const EVP_MD *fetched_digest(Scheme s)
{
        const SchemeInfo *info = scheme_info(s);
        const Fetched *f = fetched();

        switch (info ? info->digest_size : 0) {
        case 32:
                return f->sha256;
        case 48:
                return f->sha384;
        case 64:
                return f->sha512;
        default:
                return NULL;
        }
}

int openssl_failed(int r)
{
        ERR_clear_error();
        return r;
}
