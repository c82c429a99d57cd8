/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Names of keys, rules and slots
 *
 * One to NAME_MAX_LEN characters out of a-z A-Z 0-9 . _ -, beginning with a letter or digit. So a name needs no
 * escaping in a log line, a file name or a policy rule. A text in the form of a UUID is not a name: it addresses
 * a key by its UUID.
 */
#include <stdbool.h>

#define NAME_MAX_LEN 64
#define NAME_SIZE (NAME_MAX_LEN + 1)

bool name_is_valid(const char *text);
/* Shell-like pattern: `*` any run, `?` one character; nothing else is special. */
bool name_matches(const char *pattern, const char *name);
/* A pattern that could match a name: the same alphabet and * ?. */
bool name_pattern_is_valid(const char *text);
