/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who the names of the policy were
 *
 * A rule by name goes with the name, and a name can be given to somebody else: the account is deleted and made again, the
 * number is another one, and so is perhaps the person. So what each name of a rule was is kept in STATE/accounts, a line
 * "user NAME UID" or "group NAME GID". A name that has become another number is IdentityChanged: allow rules do not
 * match by it until an administrator has said that it is meant (holdfast policy reload --accept-accounts).
 */
#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Accounts Accounts;

/* What is kept in this directory; nothing yet is fine. -EBADMSG if the file is not ours (said in the journal), -errno. */
int accounts_read(int state_fd, Accounts **ret);
Accounts *accounts_free(Accounts *a);
DEFINE_CLEANUP(Accounts, accounts_free)

/* Before a load: from here on a changed name is taken as it is now, if `accept`. Nothing is found changed yet. */
void accounts_begin(Accounts *a, bool accept);
/* PolicyNames.user and .group, over the system's. HF_E_POLICY_DENIED with *ret set: it was another number. */
int accounts_user(void *accounts, const char *name, uid_t *ret);
int accounts_group(void *accounts, const char *name, gid_t *ret);
/* After a load that is in force: keeps what is new. 0 or -errno; then it is not kept, and asked about anew. */
int accounts_keep(Accounts *a, int state_fd);
/* How many names the last load found changed and did not take. */
size_t accounts_changed(const Accounts *a);
