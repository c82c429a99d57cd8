/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/accounts.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "policy/policy.h"

#define FILE_NAME "accounts"
#define FILE_MAX (8u << 20)
#define NAME_LEN_MAX 255 /* what the policy takes as one */

typedef struct Account {
        uint32_t id;
        bool group;
        char name[];
} Account;

struct Accounts {
        void *tree; /* of Account, by kind and name */
        size_t changed;
        bool accept, dirty;
};

static int compare(const void *a, const void *b)
{
        const Account *x = a, *y = b;

        return x->group != y->group ? (int)x->group - (int)y->group : strcmp(x->name, y->name);
}

static Account *account_new(bool group, const char *name, uint32_t id)
{
        Account *a = malloc(sizeof(*a) + strlen(name) + 1);

        if (a) {
                *a = (Account){.id = id, .group = group};
                strcpy(a->name, name);
        }
        return a;
}

/* The account of this name; made with this number if there was none. */
static int look_up(Accounts *a, bool group, const char *name, uint32_t id, Account **ret, bool *ret_new)
{
        Account *wanted = account_new(group, name, id), **found;

        found = wanted ? tsearch(wanted, &a->tree, compare) : NULL;
        if (!found) {
                free(wanted);
                return -ENOMEM;
        }
        *ret = *found;
        *ret_new = *found == wanted;
        if (!*ret_new)
                free(wanted);
        return 0;
}

/* ---- the file ---- */

static int take_line(Accounts *a, const char *line)
{
        char kind[8], name[NAME_LEN_MAX + 1], extra;
        Account *account;
        unsigned id;
        bool is_new;

        if (sscanf(line, "%7s %255s %u%c", kind, name, &id, &extra) != 3 ||
                        (strcmp(kind, "user") && strcmp(kind, "group")))
                return -EBADMSG;
        return look_up(a, kind[0] == 'g', name, id, &account, &is_new);
}

int accounts_read(int state_fd, Accounts **ret)
{
        _cleanup_(accounts_freep) Accounts *a = calloc(1, sizeof(*a));
        _cleanup_buffer_ Buffer text = BUFFER_INIT(FILE_MAX);
        char *rest, *line;
        int r;

        if (!a)
                return -ENOMEM;
        r = io_read_file(state_fd, FILE_NAME, &text);
        if (r && r != -ENOENT)
                return r;
        r = buffer_append(&text, "", 1);
        rest = (char *)text.data;
        while (!r && (line = strsep(&rest, "\n")))
                r = *line ? take_line(a, line) : 0;
        if (r == -EBADMSG)
                log_error("the file accounts in the state directory is damaged: look whom the policy names, and remove it");
        if (r)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

Accounts *accounts_free(Accounts *a)
{
        if (a)
                tdestroy(a->tree, free);
        free(a);
        return NULL;
}

typedef struct Writing {
        Buffer text;
        int result;
} Writing;

static void write_account(const void *node, VISIT visit, void *userdata)
{
        const Account *a = *(Account *const *)node;
        Writing *w = userdata;

        if ((visit == postorder || visit == leaf) && !w->result)
                w->result = buffer_printf(&w->text, "%s %s %u\n", a->group ? "group" : "user", a->name, a->id);
}

int accounts_keep(Accounts *a, int state_fd)
{
        Writing w = {.text = BUFFER_INIT(FILE_MAX)};
        int r = 0;

        if (a->dirty) {
                twalk_r(a->tree, write_account, &w);
                r = w.result ? w.result : io_write_file(state_fd, FILE_NAME, buffer_bytes(&w.text), 0600);
        }
        if (!r)
                a->dirty = false;
        buffer_deinit(&w.text);
        return r;
}

/* ---- a load ---- */

void accounts_begin(Accounts *a, bool accept)
{
        a->accept = accept;
        a->changed = 0;
}

static int judge(Accounts *a, bool group, const char *name, uint32_t id)
{
        Account *account;
        bool is_new;
        int r = look_up(a, group, name, id, &account, &is_new);

        if (r)
                return r;
        if (account->id != id && !a->accept) {
                a->changed++;
                log_warning("IdentityChanged: %s %s was %u and is %u now; if that is meant: "
                                "holdfast policy reload --accept-accounts",
                                group ? "group" : "user", name, account->id, id);
                return HF_E_POLICY_DENIED;
        }
        a->dirty |= is_new || account->id != id;
        account->id = id;
        return 0;
}

int accounts_user(void *accounts, const char *name, uid_t *ret)
{
        int r = policy_names_system_user(NULL, name, ret);

        return r ? r : judge(accounts, false, name, *ret);
}

int accounts_group(void *accounts, const char *name, gid_t *ret)
{
        int r = policy_names_system_group(NULL, name, ret);

        return r ? r : judge(accounts, true, name, *ret);
}

size_t accounts_changed(const Accounts *a)
{
        return a->changed;
}
