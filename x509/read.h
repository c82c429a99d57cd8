/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading certificates (inside this room): whose they are, what is wanted, and where complaints go. */
#include "x509/chain.h"

typedef struct Reading Reading;

struct Reading {
        FindingList *findings;
        FindingWhose whose;
        const char *labels[3]; /* of PEM blocks that are wanted; ends in NULL */
        bool passes_references;
        int (*take)(void *userdata, const Reading *reading, Bytes der);
        void *userdata;
};

/* Adds the finding; HF_E_INVALID_ARGS. */
int read_malformed(const Reading *reading, unsigned depth, const char *detail);
/* Each wanted block to take(); others are refused. */
int read_pem(Bytes text, const Reading *reading);
/* PEM if there is a block in it, else one value in DER. */
int read_either(Bytes bytes, const Reading *reading);
int read_certificate(const Reading *reading, unsigned depth, Bytes der, X509 **ret);
/* Microseconds since 1970; 0 for what is before, or no time at all. */
uint64_t read_time(const ASN1_TIME *time);
