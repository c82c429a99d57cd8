/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The TPM's structures of a statement, read into values: TCG TPM 2.0 Library, Part 2, sections 10.12 and 12.2. */
#include "base/bytes.h"

/* TPMA_OBJECT, Part 2, section 8.3 */
enum {
        TPMA_FIXED_TPM = 1u << 1,
        TPMA_FIXED_PARENT = 1u << 4,
        TPMA_SENSITIVE_DATA_ORIGIN = 1u << 5,
        TPMA_RESTRICTED = 1u << 16,
        TPMA_DECRYPT = 1u << 17,
        TPMA_SIGN = 1u << 18,
};

typedef enum TpmtType {
        TPMT_RSA = 0x0001,
        TPMT_KEYEDHASH = 0x0008,
        TPMT_ECC = 0x0023,
} TpmtType;

enum {
        TPMT_SHA256 = 0x000b,
        TPMT_NULL = 0x0010,
        TPMT_ECDSA = 0x0018,
        TPMT_P256 = 0x0003,
        TPMT_P384 = 0x0004,
};

typedef struct TpmtPublic {
        TpmtType type;
        uint16_t name_alg, scheme, scheme_hash, curve, bits;
        uint32_t attributes, exponent; /* exponent 0: 65537 */
        Bytes n;                       /* RSA; borrowed, as are x and y */
        Bytes x, y;                    /* ECC */
} TpmtPublic;

typedef struct TpmsAttest {
        uint32_t magic;
        uint16_t type;
        Bytes extra, name;
        uint32_t reset_count, restart_count;
        uint64_t firmware;
} TpmsAttest;

#define TPMS_ATTEST_MAGIC 0xff544347u
#define TPMS_ATTEST_CERTIFY 0x8017u

/* HF_E_INVALID_ARGS for what is cut short, too long, of a type that is not above, or followed by anything. */
int tpmt_public_read(Bytes b, TpmtPublic *ret);
/* Also where `type` is another than CERTIFY: then only the fields before `name` are there. */
int tpms_attest_read(Bytes b, TpmsAttest *ret);
