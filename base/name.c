/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/name.h"

#include <stddef.h>
#include <string.h>

#include "base/uuid.h"

#define FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static bool is_made_of(const char *text, const char *first, const char *rest)
{
        size_t n = strlen(text);

        return n >= 1 && n <= NAME_MAX_LEN && strchr(first, text[0]) && strspn(text, rest) == n;
}

bool name_is_valid(const char *text)
{
        Uuid u;

        return is_made_of(text, FIRST, FIRST "._-") && !uuid_parse(text, &u);
}

bool name_pattern_is_valid(const char *text)
{
        return is_made_of(text, FIRST "*?", FIRST "._-*?");
}

bool name_matches(const char *pattern, const char *name)
{
        const char *star = NULL, *mark = NULL;

        /* Iterative with one point to go back to: linear in space, quadratic at worst in 64 characters. */
        while (*name) {
                if (*pattern == '*') {
                        star = ++pattern;
                        mark = name;
                } else if (*pattern == '?' || *pattern == *name) {
                        pattern++;
                        name++;
                } else if (star) {
                        pattern = star;
                        name = ++mark;
                } else {
                        return false;
                }
        }
        while (*pattern == '*')
                pattern++;
        return *pattern == '\0';
}
