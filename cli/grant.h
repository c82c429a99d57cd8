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
/* As root: writes the file and has the policy loaded anew; else says where the line belongs. 0 or an exit
 * code. */
int grant_write(Cli *cli, const char *key, const char *rule);
