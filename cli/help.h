/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Help texts, made from the tables of verbs and options; on stdout. */
#include "cli/cli.h"

void help_all(void);
void help_noun(const char *noun);
void help_verb(const Verb *v);
bool help_has_noun(const char *noun);
