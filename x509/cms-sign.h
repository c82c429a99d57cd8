/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signing a file (x509/cms.h) with the key behind a reference. */
#include "x509/chain.h"
#include "x509/cms.h"
#include "x509/pkey.h"

/* Reads the file from fd to its end; appends DER. 0, HF_E_INVALID_ARGS with a finding (key-mismatch, key-unusable), -errno. */
int cms_sign(const CertChain *chain, const CertKey *key, int fd, FindingList *findings, Buffer *ret);
