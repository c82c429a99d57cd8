/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The nonce of an attestation: --nonce HEX or --nonce-file FILE. */
#include "cli/cli.h"
#include "crypto/attest.h"

/* 1 to ATTEST_NONCE_MAX bytes. 0 or an exit code, told. */
int nonce_read(Cli *cli, uint8_t ret[static ATTEST_NONCE_MAX], size_t *ret_len);
