/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer-pkcs11: makes a P-256 key in a token and signs with it through PKCS#11
 *
 *   peer-pkcs11 [-t SECONDS] [-p PID,...] [-n THREADS] [-g] MODULE PIN
 *
 * -g makes the key and ends. With threads, each has a session of its own. Like Holdfast's client it hands over the
 * message; SoftHSM2 knows no CKM_ECDSA_SHA256, so the digest is made here, as every user of it has to.
 */
#include <dlfcn.h>
#include <err.h>
#include <openssl/sha.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"

#define MESSAGE_SIZE 32
#define THREADS_MAX 64

static CK_FUNCTION_LIST *f;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the measure */
static Measure measure = {.seconds = 1};
static CK_SLOT_ID slot;

static void check(CK_RV rv, const char *what)
{
        if (rv != CKR_OK)
                errx(1, "%s: 0x%lx", what, (unsigned long)rv);
}

/* The module stays loaded until the process ends, as PKCS#11 users keep it. */
static void load_module(const char *path)
{
        CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
        void *library = dlopen(path, RTLD_NOW);
        CK_C_GetFunctionList get;
        CK_SLOT_ID slots[16];
        CK_ULONG n = 16;
        CK_TOKEN_INFO info;

        if (!library || !(get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList")))
                errx(1, "%s", dlerror());
        check(get(&f), "C_GetFunctionList");
        check(f->C_Initialize(&args), "C_Initialize");
        check(f->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList");
        for (CK_ULONG i = 0; i < n; i++)
                if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK && (info.flags & CKF_TOKEN_INITIALIZED) &&
                                memcmp(info.label, "bench ", 6) == 0) {
                        slot = slots[i];
                        return;
                }
        errx(1, "no token called bench");
}

static CK_SESSION_HANDLE open_session(const char *pin)
{
        CK_SESSION_HANDLE session;
        CK_RV rv;

        check(f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), "C_OpenSession");
        rv = f->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
        if (rv != CKR_USER_ALREADY_LOGGED_IN)
                check(rv, "C_Login");
        return session;
}

static void make_key(CK_SESSION_HANDLE session)
{
        static CK_BYTE curve[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
        CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
        CK_ATTRIBUTE public[] = {
                {CKA_EC_PARAMS, curve, sizeof(curve)}, {CKA_TOKEN, &yes, sizeof(yes)}, {CKA_VERIFY, &yes, sizeof(yes)}};
        CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, sizeof(yes)}, {CKA_SIGN, &yes, sizeof(yes)},
                {CKA_SENSITIVE, &yes, sizeof(yes)}, {CKA_EXTRACTABLE, &no, sizeof(no)}};
        CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
        CK_OBJECT_HANDLE a, b;

        check(f->C_GenerateKeyPair(session, &mechanism, public, 3, private, 4, &a, &b), "C_GenerateKeyPair");
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session)
{
        CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
        CK_ATTRIBUTE wanted = {CKA_CLASS, &class, sizeof(class)};
        CK_OBJECT_HANDLE key;
        CK_ULONG n = 0;

        check(f->C_FindObjectsInit(session, &wanted, 1), "C_FindObjectsInit");
        check(f->C_FindObjects(session, &key, 1, &n), "C_FindObjects");
        check(f->C_FindObjectsFinal(session), "C_FindObjectsFinal");
        if (n == 0)
                errx(1, "no private key");
        return key;
}

static void *sign(void *userdata)
{
        CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
        CK_SESSION_HANDLE session = open_session(userdata);
        CK_OBJECT_HANDLE key = find_key(session);
        uint8_t message[MESSAGE_SIZE] = {0}, digest[32], sig[128];
        bool more = true;

        for (uint64_t i = 0; more; i++) {
                double begin = measure_now();
                CK_ULONG len = sizeof(sig);

                memcpy(message, &i, sizeof(i));
                SHA256(message, sizeof(message), digest);
                check(f->C_SignInit(session, &mechanism, key), "C_SignInit");
                check(f->C_Sign(session, digest, sizeof(digest), sig, &len), "C_Sign");
                pthread_mutex_lock(&lock);
                measure_call(&measure, begin, 1);
                more = measure_goes_on(&measure);
                pthread_mutex_unlock(&lock);
        }
        return NULL;
}

int main(int argc, char **argv)
{
        pthread_t threads[THREADS_MAX];
        unsigned n = 1;
        bool generate = false;
        char *pin;

        for (int c; (c = getopt(argc, argv, "t:p:n:g")) != -1;)
                switch (c) {
                case 't': measure.seconds = atof(optarg); break;
                case 'p': measure_pids(&measure, optarg); break;
                case 'n': n = (unsigned)atoi(optarg); break;
                case 'g': generate = true; break;
                default: return 2;
                }
        if (optind != argc - 2 || n < 1 || n > THREADS_MAX)
                errx(2, "which module, which PIN?");
        load_module(argv[optind]);
        pin = argv[optind + 1];
        if (generate) {
                make_key(open_session(pin));
        } else {
                measure_begin(&measure);
                for (unsigned i = 0; i < n; i++)
                        if (pthread_create(&threads[i], NULL, sign, pin))
                                errx(1, "no thread");
                for (unsigned i = 0; i < n; i++)
                        pthread_join(threads[i], NULL);
                measure_end(&measure);
        }
        check(f->C_Finalize(NULL), "C_Finalize");
        return 0;
}
