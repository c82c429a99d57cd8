/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The provider, loaded once; and keys out of references, decoded by it and by nobody else. */
#include "libclient-ssl/module.h"

#include <fcntl.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdatomic.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/name.h"
#include "libclient-ssl/failure.h"
#include "libclient-ssl/holdfast-ssl.h"
#include "x509/identity.h"

static _Atomic(OSSL_LIB_CTX *) library;

static void decoder_freep(OSSL_DECODER_CTX **d)
{
        OSSL_DECODER_CTX_free(*d);
}

/* Without a lock, so that fork() may come at any time: who is second throws his away. */
static OSSL_LIB_CTX *module_library(void)
{
        OSSL_LIB_CTX *made, *there = atomic_load(&library);
        OSSL_PROVIDER *holdfast;

        if (there)
                return there;
        made = OSSL_LIB_CTX_new();
        holdfast = made ? OSSL_PROVIDER_load(made, "holdfast") : NULL;
        if (holdfast && atomic_compare_exchange_strong(&library, &there, made))
                return made;
        if (holdfast)
                OSSL_PROVIDER_unload(holdfast);
        OSSL_LIB_CTX_free(made);
        return there;
}

int module_load_key(Bytes reference, EVP_PKEY **ret)
{
        OSSL_LIB_CTX *in = module_library();
        _cleanup_(decoder_freep) OSSL_DECODER_CTX *d = NULL;
        EVP_PKEY *key = NULL;
        const uint8_t *at = reference.data;
        size_t len = reference.len;

        if (!in)
                return failure_set(HF_ERROR_INTERNAL, "OpenSSL cannot load its module holdfast.so. Nothing was done; is it where "
                                                      "`openssl version -m` says, and of this machine's kind? `holdfast doctor` "
                                                      "says what is missing.");
        d = OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, NULL, EVP_PKEY_KEYPAIR, in, "provider=holdfast");
        ERR_set_mark();
        if (!d || OSSL_DECODER_from_data(d, &at, &len) != 1 || !key) {
                ERR_pop_to_mark();
                EVP_PKEY_free(key);
                return failure_set(HF_ERROR_INVALID_ARGS, "This is not a key reference of Holdfast, or it is damaged. Print it "
                                                          "again: holdfast key reference NAME.");
        }
        ERR_pop_to_mark();
        *ret = key;
        return 0;
}

static int ask_reference(const char *name, Buffer *ret)
{
        HfKey *key = NULL;
        size_t len = HF_REFERENCE_MAX;
        int r = buffer_reserve(ret, HF_REFERENCE_MAX);

        if (r)
                return failure_from(r);
        r = hf_key_open(NULL, name, &key);
        if (r == 0)
                r = hf_key_reference(key, (char *)ret->data, &len);
        hf_key_close(key);
        if (r)
                return failure_set(r, hf_error_sentence());
        ret->len = len;
        return 0;
}

static int find_reference(const char *name, Buffer *ret)
{
        char path[NAME_SIZE + sizeof("/key.pem")];
        _cleanup_close_ int fd = open(cert_directory(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        snprintf(path, sizeof(path), "%s/key.pem", name);
        r = fd < 0 ? -errno : io_read_file(fd, path, ret);
        return r == -ENOENT ? ask_reference(name, ret) : r ? failure_from(r) : 0;
}

EVP_PKEY *hf_pkey(const char *name)
{
        _cleanup_buffer_ Buffer reference = BUFFER_INIT(HF_REFERENCE_MAX);
        EVP_PKEY *key = NULL;

        if (!name || !name_is_valid(name))
                failure_set(HF_ERROR_INVALID_NAME, NULL);
        else if (find_reference(name, &reference) == 0)
                (void)module_load_key(buffer_bytes(&reference), &key);
        return key;
}
