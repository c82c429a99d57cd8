/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of verbs, in the order in which help shows them. */
#include <string.h>

#include "cli/cli.h"

static const Verb *const tables[] = {verbs_init, verbs_store, verbs_doctor, verbs_key, verbs_use, verbs_slot,
                verbs_policy, verbs_audit, verbs_attest, verbs_check, verbs_verify,
                verbs_backup, verbs_cert, verbs_ca, verbs_run, verbs_setup, verbs_help};

const Verb *verbs_table(size_t i)
{
        return i < ELEMENTSOF(tables) ? tables[i] : NULL;
}

const Verb *verbs_find(const char *noun, const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(tables); i++)
                for (const Verb *v = tables[i]; v->name; v++) {
                        bool same_noun = noun ? v->noun && strcmp(v->noun, noun) == 0 : !v->noun;

                        if (same_noun && strcmp(v->name, name) == 0)
                                return v;
                }
        return NULL;
}
