/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Plan
 *
 * What `holdfast setup` found and proposes, as one JSON object, which is what --json shows:
 *
 *   program, identity       as asked for
 *   present                 does the identity have its files yet?
 *   user, user-from         who signs, and where that was read
 *   lines, lines-for        for the program's own configuration, which is never touched
 *   files                   of systemd: path, content, state (new, same, old: an earlier one of ours, foreign, written)
 *   rule                    text, path, state (there, missing, written, denied)
 *   commands                what is to be run when all that is in its place
 */
#include "cli/recipe.h"

typedef struct PlanParams {
        const Recipe *recipe;
        const char *name, *unit;
        const char *user, *user_from; /* NULL: whoever calls */
        const char *chroot;           /* "" for none */
        const char *program;          /* path of holdfast itself, for a unit */
} PlanParams;

/* Without the rule. NULL for want of memory. */
json_t *plan_new(const PlanParams *params);
/* Writes the files that are new or old. A foreign one is left, told, and makes it fail. 0 or an exit code, told. */
int plan_write_files(Cli *cli, json_t *plan);
void plan_print(const json_t *plan);
