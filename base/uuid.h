/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* UUIDs of version 4 (RFC 4122 section 4.4) in their 16 bytes and their 36-character lower-case text. */
#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT_SIZE 37

typedef struct Uuid {
        uint8_t b[16];
} Uuid;

void uuid_generate(Uuid *ret); /* from getrandom(2); aborts if the kernel has none to give */
void uuid_format(const Uuid *u, char ret[static UUID_TEXT_SIZE]);
/* Strict: 36 characters, lower case. */
bool uuid_parse(const char *text, Uuid *ret);
bool uuid_equal(const Uuid *a, const Uuid *b);
bool uuid_is_null(const Uuid *u);
