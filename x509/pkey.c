/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/pkey.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <string.h>

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

/* "filename(FILE): FILE: what the linker says": the last part has all. */
static void why_not_loaded(char ret[static FINDING_DETAIL_SIZE])
{
        const char *data = NULL, *end;
        int flags = 0;

        (void)ERR_peek_error_all(NULL, NULL, NULL, &data, &flags);
        end = data && flags & ERR_TXT_STRING ? strstr(data, "): ") : NULL;
        snprintf(ret, FINDING_DETAIL_SIZE, "OpenSSL cannot load holdfast.so%s%.*s", end ? ": " : "",
                        FINDING_DETAIL_SIZE - 40, end ? end + 3 : "");
        ERR_clear_error();
}

static int load_providers(CertKey *key, char ret_why[static FINDING_DETAIL_SIZE])
{
        ERR_clear_error();
        key->context = OSSL_LIB_CTX_new();
        if (!key->context)
                return -ENOMEM;
        key->usual = OSSL_PROVIDER_load(key->context, "default");
        key->holdfast = OSSL_PROVIDER_load(key->context, "holdfast");
        if (key->usual && key->holdfast)
                return 0;
        why_not_loaded(ret_why);
        return HF_E_INVALID_ARGS;
}

int cert_key_try_provider(char ret_why[static FINDING_DETAIL_SIZE])
{
        _cleanup_cert_key_ CertKey key = {.context = NULL};

        return load_providers(&key, ret_why);
}

int cert_key_load(Bytes reference, FindingList *findings, CertKey *ret)
{
        _cleanup_cert_key_ CertKey key = {.context = NULL};
        char why[FINDING_DETAIL_SIZE];
        BIO *in;
        int r = load_providers(&key, why);

        if (r)
                return r < 0 ? r : unusable(findings, why);
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
