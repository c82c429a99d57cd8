/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer-esapi: signs with a P-256 key in the TPM by nothing but ESAPI
 *
 *   peer-esapi [-t SECONDS] [-p PID,...] TCTI
 *
 * The least a signature by a TPM can cost in this process: the key is loaded before the clock runs and stays so, and its
 * authorisation goes in a password session, which costs nothing and lets everybody on the bus read it.
 */
#include <err.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "measure.h"

#define MESSAGE_SIZE 32
#define AUTH_SIZE 32

static const TPM2B_AUTH auth = {.size = AUTH_SIZE, .buffer = "the authorisation of this object"};
static const TPM2B_DATA no_data;
static const TPML_PCR_SELECTION no_pcrs;
static const TPMT_SIG_SCHEME by_the_key = {.scheme = TPM2_ALG_NULL};
static const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};

static const TPM2B_PUBLIC primary_template = {
        .publicArea = {
                .type = TPM2_ALG_ECC,
                .nameAlg = TPM2_ALG_SHA256,
                .objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM |
                        TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                        TPMA_OBJECT_NODA,
                .parameters.eccDetail = {
                        .symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
                        .scheme.scheme = TPM2_ALG_NULL,
                        .curveID = TPM2_ECC_NIST_P256,
                        .kdf.scheme = TPM2_ALG_NULL,
                },
        },
};

static const TPM2B_PUBLIC key_template = {
        .publicArea = {
                .type = TPM2_ALG_ECC,
                .nameAlg = TPM2_ALG_SHA256,
                .objectAttributes = TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                        TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
                .parameters.eccDetail = {
                        .symmetric.algorithm = TPM2_ALG_NULL,
                        .scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
                        .curveID = TPM2_ECC_NIST_P256,
                        .kdf.scheme = TPM2_ALG_NULL,
                },
        },
};

static void check(TSS2_RC rc, const char *what)
{
        if (rc)
                errx(1, "%s: %s", what, Tss2_RC_Decode(rc));
}

static ESYS_TR make_key(ESYS_CONTEXT *e)
{
        TPM2B_SENSITIVE_CREATE sensitive = {0};
        TPM2B_PRIVATE *private;
        TPM2B_PUBLIC *public;
        ESYS_TR primary, key;

        check(Esys_CreatePrimary(e, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                &primary_template, &no_data, &no_pcrs, &primary, NULL, NULL, NULL, NULL), "CreatePrimary");
        sensitive.sensitive.userAuth = auth;
        check(Esys_Create(e, primary, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &key_template, &no_data,
                &no_pcrs, &private, &public, NULL, NULL, NULL), "Create");
        check(Esys_Load(e, primary, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, private, public, &key), "Load");
        check(Esys_FlushContext(e, primary), "FlushContext"); /* of three places this takes one */
        check(Esys_TR_SetAuth(e, key, &auth), "SetAuth");
        Esys_Free(private);
        Esys_Free(public);
        return key;
}

static void sign(ESYS_CONTEXT *e, ESYS_TR key, uint64_t serial)
{
        uint8_t message[MESSAGE_SIZE] = {0};
        TPM2B_DIGEST digest = {.size = 32};
        TPMT_SIGNATURE *sig;

        memcpy(message, &serial, sizeof(serial));
        SHA256(message, sizeof(message), digest.buffer);
        check(Esys_Sign(e, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &by_the_key, &no_ticket, &sig), "Sign");
        Esys_Free(sig);
}

int main(int argc, char **argv)
{
        Measure m = {.seconds = 1};
        TSS2_TCTI_CONTEXT *tcti;
        ESYS_CONTEXT *e;
        ESYS_TR key;

        for (int c; (c = getopt(argc, argv, "t:p:")) != -1;)
                switch (c) {
                case 't': m.seconds = atof(optarg); break;
                case 'p': measure_pids(&m, optarg); break;
                default: return 2;
                }
        if (optind != argc - 1)
                errx(2, "which TCTI?");
        check(Tss2_TctiLdr_Initialize(argv[optind], &tcti), argv[optind]);
        check(Esys_Initialize(&e, tcti, NULL), "Esys_Initialize");
        key = make_key(e);
        measure_begin(&m);
        while (measure_goes_on(&m)) {
                double begin = measure_now();

                sign(e, key, m.count);
                measure_call(&m, begin, 1);
        }
        measure_end(&m);
        check(Esys_FlushContext(e, key), "FlushContext");
        Esys_Finalize(&e);
        Tss2_TctiLdr_Finalize(&tcti);
        return 0;
}
