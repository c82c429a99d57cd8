/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/tss2-key.h"

#include <openssl/asn1.h>
#include <openssl/asn1t.h>
#include <openssl/objects.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/fetched.h"
#include "crypto/pem.h"

#define INPUT_MAX 16384
#define OID_LOADABLE "2.23.133.10.1.3"

/* Absent booleans are -1, absent pointers NULL. */
typedef struct TpmKeyFile {
        ASN1_OBJECT *type;
        ASN1_BOOLEAN empty_auth;
        ASN1_TYPE *policy;
        ASN1_OCTET_STRING *secret;
        ASN1_TYPE *auth_policy;
        ASN1_UTF8STRING *description;
        ASN1_BOOLEAN rsa_parent;
        ASN1_INTEGER *parent;
        ASN1_OCTET_STRING *public;
        ASN1_OCTET_STRING *private;
} TpmKeyFile;

/* clang-format off */
ASN1_SEQUENCE(TpmKeyFile) = {
        ASN1_SIMPLE(TpmKeyFile, type, ASN1_OBJECT),
        ASN1_EXP_OPT(TpmKeyFile, empty_auth, ASN1_BOOLEAN, 0),
        ASN1_EXP_OPT(TpmKeyFile, policy, ASN1_ANY, 1),
        ASN1_EXP_OPT(TpmKeyFile, secret, ASN1_OCTET_STRING, 2),
        ASN1_EXP_OPT(TpmKeyFile, auth_policy, ASN1_ANY, 3),
        ASN1_EXP_OPT(TpmKeyFile, description, ASN1_UTF8STRING, 4),
        ASN1_EXP_OPT(TpmKeyFile, rsa_parent, ASN1_BOOLEAN, 5),
        ASN1_SIMPLE(TpmKeyFile, parent, ASN1_INTEGER),
        ASN1_SIMPLE(TpmKeyFile, public, ASN1_OCTET_STRING),
        ASN1_SIMPLE(TpmKeyFile, private, ASN1_OCTET_STRING),
} static_ASN1_SEQUENCE_END(TpmKeyFile)
/* clang-format on */

static void file_freep(TpmKeyFile **f)
{
        ASN1_item_free((ASN1_VALUE *)*f, ASN1_ITEM_rptr(TpmKeyFile));
}

static int parse_der(Bytes der, TpmKeyFile **ret)
{
        const uint8_t *p = der.data;
        TpmKeyFile *f = (TpmKeyFile *)ASN1_item_d2i(NULL, &p, (long)der.len, ASN1_ITEM_rptr(TpmKeyFile));

        if (!f)
                return HF_E_INVALID_ARGS;
        *ret = f;
        return p == der.data + der.len ? 0 : HF_E_INVALID_ARGS;
}

/* What we can take in: a blob as it is. Whether it wants an authorisation only its TPM knows: tpm2_encodeobject(1) says so of
 * keys that want none. */
static bool is_plain(const TpmKeyFile *f)
{
        char oid[64];

        return OBJ_obj2txt(oid, sizeof(oid), f->type, 1) > 0 && strcmp(oid, OID_LOADABLE) == 0 && !f->policy && !f->secret &&
                !f->auth_policy;
}

static int take_part(const ASN1_OCTET_STRING *s, uint8_t ret[static TSS2_PART_MAX], size_t *ret_len)
{
        int len = ASN1_STRING_length(s);

        if (len < 3 || len > TSS2_PART_MAX)
                return HF_E_INVALID_ARGS;
        memcpy(ret, ASN1_STRING_get0_data(s), (size_t)len);
        *ret_len = (size_t)len;
        return 0;
}

static int take(const TpmKeyFile *f, Tss2Key *ret)
{
        uint64_t parent;
        int r;

        if (!is_plain(f))
                return HF_E_NOT_SUPPORTED;
        if (!ASN1_INTEGER_get_uint64(&parent, f->parent) || parent > UINT32_MAX)
                return HF_E_INVALID_ARGS;
        ret->parent = (uint32_t)parent;
        r = take_part(f->public, ret->public, &ret->public_len);
        return r ? r : take_part(f->private, ret->private, &ret->private_len);
}

int tss2_key_parse(Bytes text, Tss2Key *ret)
{
        _cleanup_(file_freep) TpmKeyFile *f = NULL;
        _cleanup_(der_deinit) Der der = {};
        Tss2Key k = {};
        int r;

        if (text.len > INPUT_MAX)
                return HF_E_INVALID_ARGS;
        r = pem_decode(text, TSS2_KEY_KIND, &der);
        if (!r)
                r = parse_der(BYTES(der.data, der.len), &f);
        if (!r)
                r = take(f, &k);
        if (!r)
                *ret = k;
        return openssl_failed(r);
}
