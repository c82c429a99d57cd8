/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/pkey.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <stdio.h>

#include "base/error.h"

void cert_key_clear(CertKey *key)
{
        EVP_PKEY_free(key->pkey);
        if (key->holdfast)
                OSSL_PROVIDER_unload(key->holdfast);
        if (key->usual)
                OSSL_PROVIDER_unload(key->usual);
        OSSL_LIB_CTX_free(key->context);
        *key = (CertKey){.pkey = NULL};
}

/* A reference is not encrypted; nobody is to be asked. */
static int no_password(char *buf, int size, int writing, void *userdata)
{
        (void)buf;
        (void)size;
        (void)writing;
        (void)userdata;
        return -1;
}

static int unusable(FindingList *findings, const char *detail)
{
        ERR_clear_error();
        findings_add(findings, FINDING_KEY_UNUSABLE, FINDING_OF_OURS, 0, detail);
        return HF_E_INVALID_ARGS;
}

int cert_key_load(Bytes reference, FindingList *findings, CertKey *ret)
{
        _cleanup_cert_key_ CertKey key = {.context = OSSL_LIB_CTX_new()};
        BIO *in;

        if (!key.context)
                return -ENOMEM;
        key.usual = OSSL_PROVIDER_load(key.context, "default");
        key.holdfast = OSSL_PROVIDER_load(key.context, "holdfast");
        if (!key.usual || !key.holdfast)
                return unusable(findings, "OpenSSL does not find its module holdfast.so");
        in = BIO_new_mem_buf(reference.data, (int)reference.len);
        if (!in)
                return -ENOMEM;
        key.pkey = PEM_read_bio_PrivateKey_ex(in, NULL, no_password, NULL, key.context, NULL);
        BIO_free(in);
        if (!key.pkey)
                return unusable(findings, "key.pem is not a key reference");
        *ret = key;
        key = (CertKey){.pkey = NULL};
        return 0;
}

static void add_refusal(FindingList *findings, const char *text)
{
        char detail[FINDING_DETAIL_SIZE];

        snprintf(detail, sizeof(detail), "%.*s", (int)finding_first_sentence(text), text);
        findings_add(findings, FINDING_KEY_UNUSABLE, FINDING_OF_OURS, 0, detail);
}

void cert_key_findings(FindingList *findings)
{
        const char *data = NULL;
        unsigned long e;
        int flags = 0;

        while ((e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0)
                if (!ERR_SYSTEM_ERROR(e) && ERR_GET_LIB(e) > ERR_LIB_USER && (flags & ERR_TXT_STRING) && data && *data)
                        add_refusal(findings, data);
}
