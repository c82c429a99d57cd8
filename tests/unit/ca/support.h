/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A CA out of parts: keys of this process sign in the place of the signer. */
#include "tests/unit/crypto/support.h"

#include "base/clock.h"
#include "ca/crl.h"

#define DAY (86400 * USEC_PER_SEC)

typedef struct Authority {
        PrivKey *key;
        Scheme scheme;
        CaIssuer *issuer;
} Authority;

static inline CaProfile profile(const char *name)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CA_PROFILE_FILE_MAX);
        char path[512], bytes[CA_PROFILE_FILE_MAX];
        CaProblem problem = {};
        CaProfile p;
        FILE *f;

        snprintf(path, sizeof(path), PROFILES "/%s.conf", name);
        f = fopen(path, "re");
        assert_non_null(f);
        assert_int_equal(buffer_append(&text, bytes, fread(bytes, 1, sizeof(bytes), f)), 0);
        fclose(f);
        if (ca_profile_read(path, name, buffer_bytes(&text), &problem, &p))
                fail_msg("%s", problem.text);
        return p;
}

static inline void sign(const PrivKey *key, Scheme scheme, Bytes tbs, Buffer *ret)
{
        uint8_t signature[SIGNATURE_MAX], digest[64];
        size_t len, digest_len;
        Public p;

        assert_int_equal(ca_digest(scheme, tbs, digest, &digest_len), 0);
        assert_int_equal(privkey_sign((PrivKey *)key, &(SignParams){.scheme = scheme, .digest = true},
                                         BYTES(digest, digest_len), signature, &len), 0);
        assert_int_equal(ca_finish(public_of(key, &p), scheme, tbs, BYTES(signature, len), ret), 0);
}

/* Issues under `by`, or signs with `self` where that is NULL. Refusals are shown in *problem. */
static inline int issue(const Authority *by, PrivKey *self, CaCertificateParams *p, CaProblem *problem, Buffer *ret_der)
{
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_TBS_MAX);
        CaSummary summary;
        int r;

        if (!p->now)
                p->now = clock_wall();
        if (!p->serial[0])
                ca_serial_new(p->serial);
        p->issuer = by ? by->issuer : NULL;
        if (by)
                p->scheme = by->scheme;
        r = ca_certificate_prepare(p, problem, &summary, &tbs);
        if (r)
                return r;
        sign(by ? by->key : self, p->scheme, buffer_bytes(&tbs), ret_der);
        return 0;
}

static inline void put_pem(const char *name, const char *kind, Bytes der)
{
        put_file("t.der", der);
        assert_int_equal(run("(echo '-----BEGIN %s-----'; base64 t.der; echo '-----END %s-----') > %s", kind, kind, name), 0);
}

static inline void put_certificate(const char *name, const Buffer *der)
{
        put_pem(name, "CERTIFICATE", buffer_bytes(der));
}

static inline void authority_deinit(Authority *a)
{
        privkey_free(a->key);
        ca_issuer_free(a->issuer);
}

#define _cleanup_authority_ _cleanup_(authority_deinit)

/* A root, or a CA below `by`; FILE.pem is its certificate. */
static inline Authority make_authority(const Authority *by, KeyAlgorithm algorithm, const char *file, int path_length)
{
        Authority a = {.key = make(algorithm), .scheme = scheme_usual(algorithm, PURPOSE_ISSUE)};
        CaProfile p = profile(by ? "intermediate" : "root");
        _cleanup_buffer_ Buffer der = BUFFER_INIT(CA_CERTIFICATE_MAX);
        char cn[64], name[64];
        const char *const set[] = {"C=DE", "O=Example", cn, NULL};
        CaProblem problem = {};
        Public public;

        snprintf(cn, sizeof(cn), "CN=Test CA %s", file);
        if (issue(by, a.key, &(CaCertificateParams){.profile = &p, .spki = public_of(a.key, &public), .set = set,
                                             .path_length = path_length, .scheme = a.scheme}, &problem, &der))
                fail_msg("%s", problem.text);
        if (ca_issuer_read(buffer_bytes(&der), &problem, &a.issuer))
                fail_msg("%s", problem.text);
        snprintf(name, sizeof(name), "%s.pem", file);
        put_certificate(name, &der);
        return a;
}

static inline CaRequest *read_request(const char *file, CaProblem *problem, int *ret_r)
{
        CaRequest *request = NULL;
        static uint8_t text[1 << 17];
        FILE *f = fopen(file, "re");

        assert_non_null(f);
        *ret_r = ca_request_read(BYTES(text, fread(text, 1, sizeof(text), f)), problem, &request);
        fclose(f);
        return request;
}
