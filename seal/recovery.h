/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Recovery codes
 *
 * 160 random bits that a person can write down: 32 letters of Crockford's base32 and three more that check
 * them, in seven groups of five. I, L, O and U are no letters of it; lower case, O for 0, I and L for 1, and
 * any dashes or white space are read as they were meant. The check tells a slip of the pen from a code of
 * another store.
 */
#include "base/bytes.h"

#define RECOVERY_ENTROPY 20
#define RECOVERY_TEXT_LEN 41 /* 7 groups of 5 and 6 dashes, without NUL */

void recovery_generate(uint8_t ret[static RECOVERY_ENTROPY]);
void recovery_format(const uint8_t code[static RECOVERY_ENTROPY], char ret[static RECOVERY_TEXT_LEN + 1]);
/* 0, or HF_E_INVALID_ARGS: not in the form of a code, or mistyped. */
int recovery_parse(Bytes text, uint8_t ret[static RECOVERY_ENTROPY]);
