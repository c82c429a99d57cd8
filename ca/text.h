/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Texts that stand in certificates and lists of them
 *
 * People compare them by eye, on a terminal. What cannot be seen there, or makes other characters look like what they are not,
 * has no place in them; letters of every script have.
 */
#include <stdbool.h>

/* UTF-8 without control characters (C0, DEL, C1), and without those that have no width or turn the direction of writing. */
bool ca_text_is_plain(const char *text);
