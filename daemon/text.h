/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Texts for the bus
 *
 * A bus daemon ends the connection of whoever sends a string that is no UTF-8. Texts that were cut, or that hold
 * names of files, pass here on their way out.
 */
#include <stdbool.h>

/* As D-Bus has it: shortest forms, no surrogates, nothing above U+10FFFF. */
bool text_is_valid(const char *text);
/* Every byte that is no part of a character becomes a question mark. Returns text. */
char *text_make_valid(char *text);
