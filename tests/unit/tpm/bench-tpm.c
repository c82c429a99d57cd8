/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a signature in the TPM costs, three ways on the same swtpm and by turns: through holdfast-tpm (salted session, the
 * authorisation in an HMAC); by bare ESAPI with a password session and the key already loaded; by bare ESAPI with a
 * salted, encrypted session of its own. The last two are this program's, which hands ESAPI nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tcti_swtpm.h>

#include "base/clock.h"
#include "rig.h"

#define N 500
#define TURN 50 /* of one way, one after the other */

static const uint8_t digest[32] = "what is signed";

typedef struct Bare {
        TSS2_TCTI_CONTEXT *tcti;
        ESYS_CONTEXT *esys;
        ESYS_TR parent, key, session;
} Bare;

static void must(TSS2_RC code)
{
        assert_int_equal(code, TSS2_RC_SUCCESS);
}

static void bare_open(Rig *rig, const RigKey *key, Bare *b)
{
        const TPM2B_SENSITIVE_CREATE sensitive = {};
        const TPM2B_DATA outside = {};
        const TPML_PCR_SELECTION pcrs = {};
        const TPMT_SYM_DEF aes = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
        TPM2B_PUBLIC srk = {.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
                                            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                                                TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT}};
        TPM2B_PUBLIC public = {};
        TPM2B_PRIVATE private = {};
        TPM2B_AUTH auth = {.size = TPM_AUTH_SIZE};
        size_t size, at = 0;

        srk.publicArea.parameters.eccDetail = (TPMS_ECC_PARMS){
                .symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
                .scheme.scheme = TPM2_ALG_NULL, .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL};
        must(Tss2_Tcti_Swtpm_Init(NULL, &size, NULL));
        b->tcti = calloc(1, size);
        must(Tss2_Tcti_Swtpm_Init(b->tcti, &size, strchr(rig->tcti, ':') + 1));
        must(Esys_Initialize(&b->esys, b->tcti, NULL));
        must(Esys_CreatePrimary(b->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &srk, &outside,
                        &pcrs, &b->parent, NULL, NULL, NULL, NULL));
        must(Tss2_MU_TPM2B_PUBLIC_Unmarshal(key->public, key->public_len, &at, &public));
        at = 0;
        must(Tss2_MU_TPM2B_PRIVATE_Unmarshal(key->private, key->private_len, &at, &private));
        must(Esys_Load(b->esys, b->parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public, &b->key));
        must(Esys_StartAuthSession(b->esys, b->parent, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_HMAC,
                        &aes, TPM2_ALG_SHA256, &b->session));
        must(Esys_TRSess_SetAttributes(b->esys, b->session, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT, 0xff));
        must(Esys_FlushContext(b->esys, b->parent));
        memcpy(auth.buffer, key->auth, TPM_AUTH_SIZE);
        must(Esys_TR_SetAuth(b->esys, b->key, &auth));
}

static void bare_close(Bare *b)
{
        must(Esys_FlushContext(b->esys, b->key));
        must(Esys_FlushContext(b->esys, b->session));
        Esys_Finalize(&b->esys);
        Tss2_Tcti_Finalize(b->tcti);
        free(b->tcti);
}

static void bare_sign(Bare *b, ESYS_TR session)
{
        const TPMT_TK_HASHCHECK none = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
        const TPMT_SIG_SCHEME how = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256};
        TPM2B_DIGEST d = {.size = sizeof(digest)};
        TPMT_SIGNATURE *s;

        memcpy(d.buffer, digest, sizeof(digest));
        must(Esys_Sign(b->esys, b->key, session, ESYS_TR_NONE, ESYS_TR_NONE, &d, &how, &none, &s));
        Esys_Free(s);
}

static int ascending(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static void tell(const char *what, uint64_t took[static N])
{
        qsort(took, N, sizeof(took[0]), ascending);
        printf("%-40s median %5llu us, p95 %5llu us\n", what, (unsigned long long)took[N / 2], (unsigned long long)took[N * 95 / 100]);
}

static uint64_t timed_bare(Bare *b, ESYS_TR session)
{
        uint64_t t = clock_monotonic();

        bare_sign(b, session);
        return clock_monotonic() - t;
}

static uint64_t timed_ours(Rig *rig, const RigKey *key)
{
        uint64_t t = clock_monotonic();
        uint8_t out[1024];
        size_t n;

        assert_int_equal(rig_operate(rig, key, TPM_OP_ECDSA, BYTES_ARRAY(digest), out, &n), 0);
        return clock_monotonic() - t;
}

static void bench(void **state)
{
        static uint64_t ours[N], password[N], encrypted[N];
        RigKey key;
        Bare bare;

        assert_int_equal(rig_create(*state, TPM_P256, TPM_USE_SIGN, NULL, &key), 0);
        bare_open(*state, &key, &bare);
        for (int begin = 0; begin < N; begin += TURN) {
                for (int i = begin; i < begin + TURN; i++)
                        ours[i] = timed_ours(*state, &key);
                for (int i = begin; i < begin + TURN; i++)
                        password[i] = timed_bare(&bare, ESYS_TR_PASSWORD);
                for (int i = begin; i < begin + TURN; i++)
                        encrypted[i] = timed_bare(&bare, bare.session);
        }
        bare_close(&bare);
        tell("P-256 through holdfast-tpm", ours);
        tell("P-256 bare ESAPI, password session", password);
        tell("P-256 bare ESAPI, encrypted session", encrypted);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(bench, rig_begin, rig_end)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
