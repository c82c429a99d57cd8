/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Profiles: what kinds of certificate a CA issues
 *
 * A profile is a small file of `word = values` lines. It says which keys it takes, which parts the subject may have and
 * must have, which kinds of alternative names, what the certificate may be used for and how long it lives. What a
 * request asks for beyond that is refused, never cut off silently. docs/formats/certificate.md has the words.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/name.h"
#include "ca/problem.h"
#include "crypto/algorithm.h"

#define CA_PROFILE_FILE_MAX 16384
#define CA_DOMAINS_MAX 16
#define CA_DOMAIN_MAX 253
#define CA_DAYS_MAX 36500
#define CA_URL_MAX 255 /* bytes */

/* Parts of a subject, in the order in which they stand in it. */
typedef enum CaPart {
        CA_PART_C,
        CA_PART_ST,
        CA_PART_L,
        CA_PART_O,
        CA_PART_OU,
        CA_PART_CN,
        CA_PART_SERIAL_NUMBER,
        _CA_PART_MAX,
} CaPart;

typedef enum CaNameKind {
        CA_NAME_DNS,
        CA_NAME_IP,
        CA_NAME_URI,
        CA_NAME_EMAIL,
        _CA_NAME_KIND_MAX,
} CaNameKind;

/* RFC 5280 section 4.2.1.3; the numbers of the bits there. */
typedef enum CaUsage {
        CA_USAGE_DIGITAL_SIGNATURE = 0,
        CA_USAGE_KEY_ENCIPHERMENT = 2,
        CA_USAGE_KEY_AGREEMENT = 4,
        CA_USAGE_KEY_CERT_SIGN = 5,
        CA_USAGE_CRL_SIGN = 6,
} CaUsage;

/* RFC 5280 section 4.2.1.12 */
typedef enum CaExtended {
        CA_EXTENDED_SERVER_AUTH,
        CA_EXTENDED_CLIENT_AUTH,
        CA_EXTENDED_CODE_SIGNING,
        CA_EXTENDED_TIME_STAMPING,
        CA_EXTENDED_OCSP_SIGNING,
        _CA_EXTENDED_MAX,
} CaExtended;

/* What a certificate says of where to ask about it (RFC 5280 sections 4.2.1.13 and 4.2.2.1). */
typedef enum CaUrl {
        CA_URL_OCSP,
        CA_URL_ISSUER, /* the certificate of its issuer, DER */
        CA_URL_CRL,
        _CA_URL_MAX,
} CaUrl;

typedef struct CaProfile {
        char name[NAME_SIZE];
        bool authority;         /* basicConstraints CA:TRUE */
        bool no_check;          /* id-pkix-ocsp-nocheck */
        int path_length;        /* of an authority; -1: unbounded */
        uint32_t days;
        uint32_t max_days;      /* that may be asked for; 0: any number */
        uint32_t keys;          /* bits (1u << KeyAlgorithm) */
        uint32_t parts;         /* bits (1u << CaPart) that a subject may have */
        uint32_t required;      /* and those it must have */
        uint32_t names;         /* bits (1u << CaNameKind) */
        bool named;             /* needs an alternative name */
        uint32_t usage;         /* bits (1u << CaUsage) */
        uint32_t usage_rsa;     /* those that only an RSA key gets */
        uint32_t extended;      /* bits (1u << CaExtended) */
        char urls[_CA_URL_MAX][CA_URL_MAX + 1]; /* "": none; "{ca}" in one stands for the name of the CA */
        size_t n_domains;       /* DNS names end in one of these; 0: any */
        char domains[CA_DOMAINS_MAX][CA_DOMAIN_MAX + 1];
} CaProfile;

/* Reads the text of a profile file. HF_E_INVALID_ARGS: the problem says "PATH:LINE:COLUMN: SENTENCE". */
int ca_profile_read(const char *path, const char *name, Bytes text, CaProblem *problem, CaProfile *ret);

/* "CN", "serialNumber"; NULL for a number without a row. */
const char *ca_part_to_string(CaPart part);
/* _CA_PART_MAX for an unknown word. The case of letters does not matter. */
CaPart ca_part_from_string(const char *text, size_t len);
/* "dns", "ip", "uri", "email" */
const char *ca_name_kind_to_string(CaNameKind kind);
