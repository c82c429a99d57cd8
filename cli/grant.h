/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Grant
 *
 * The one rule line an application needs, and the file it lives in: POLICY_DIR/50-NAME.conf, where POLICY_DIR
 * is $HOLDFAST_POLICY_DIR (for tests) or /etc/holdfast/policy.d.
 */
#include "cli/cli.h"

#define GRANT_RULE_SIZE 256

/* "allow user=USER key=NAME op=use". 0, or a usage error, told: no such user, or not a name. A number needs no
 * user of it. */
int grant_rule(Cli *cli, const char *user, const char *key, char ret[static GRANT_RULE_SIZE]);
/* POLICY_DIR/50-STEM.conf. *ret is to be freed. 0 or -ENOMEM. */
int grant_path(const char *stem, char **ret);
/* As root: writes the file and has the policy loaded anew; else says where the line belongs. `done` is the beginning of
 * the sentence in which a failure is told: what is so all the same. 0 or an exit code. */
int grant_write(Cli *cli, const char *path, const char *rule, const char *done);
