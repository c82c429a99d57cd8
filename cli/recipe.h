/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Recipes
 *
 * What each program needs that is to do TLS with a key it does not have: where its configuration is, which of its
 * settings names the user who signs, and the lines that name certificate and key reference. Adding a program is a row.
 */
#include "cli/cli.h"

#define RECIPE_VALUE_SIZE 256

typedef struct Recipe {
        const char *name;
        const char *unit;        /* of systemd; NULL: it is no service */
        const char *config;      /* where Debian's package has the file with the next two settings; NULL: none */
        const char *user_word;   /* the setting that names the user of the processes that sign */
        const char *user;        /* who that is where nothing is set; NULL: whoever calls */
        const char *chroot_word; /* the setting that names the directory those processes lock themselves into, or NULL */
        const char *where;       /* what the lines are for */
        const char *lines[4];    /* @ is DIR/NAME, % OPENSSL_CONF; [...] not where there is no ca.pem, {...} no crl.pem */
} Recipe;

/* NULL: none of this name. */
const Recipe *recipe_find(const char *name);
/* All names, for a message. */
const char *recipe_names(void);
/* The value of the first statement `WORD VALUE`, `WORD = VALUE` or `WORD=VALUE` in a configuration; statements end at
 * the line, ; { or }. One with more than one word behind the value means something else. False: there is none. */
bool recipe_setting(const char *text, const char *word, char ret[static RECIPE_VALUE_SIZE]);
/* The lines for an identity, as strings. NULL for want of memory. */
json_t *recipe_lines(const Recipe *recipe, const char *name);
