/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/identity-check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/identity.h"
#include "dbus/errors.h"
#include "x509/check.h"

#define DAY (86400 * USEC_PER_SEC)
#define DAYS_WARNING 30
#define DAYS_ERROR 7
#define DETAIL_SIZE 900
#define REMEDY_SIZE 500

typedef struct Look {
        const Daemon *daemon;
        IdentityFoundFunc found;
        void *userdata;
        uint64_t now;
        int tls_fd; /* -EBADF: there is no directory, which is told once */
} Look;

static int tell(const Look *l, const IdentityEntry *e, const char *severity, const char *remedy, const char *what)
{
        char detail[DETAIL_SIZE];

        snprintf(detail, sizeof(detail), "identity %s: %s", e->row.name, what);
        return l->found(l->userdata, severity, detail, remedy);
}

/* The remedy is another certificate. */
static int tell_to_set(const Look *l, const IdentityEntry *e, const char *severity, const char *first, const char *what)
{
        char remedy[REMEDY_SIZE];

        snprintf(remedy, sizeof(remedy), "%s, then holdfast cert set %s --chain FILE", first, e->row.name);
        return tell(l, e, severity, remedy, what);
}

static int tell_finding(const Look *l, const IdentityEntry *e, const Finding *f)
{
        char sentence[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE], detail[DETAIL_SIZE];

        snprintf(detail, sizeof(detail), "identity %s: %s (%s)", e->row.name, finding_sentence(f, sentence),
                        finding_word(f->kind));
        return l->found(l->userdata, f->kind == FINDING_NOT_YET_VALID ? "warning" : "error", detail, finding_remedy(f, remedy));
}

/* By the bytes: all that is wrong. */
static int look_at_chain(const Look *l, const IdentityEntry *e, const KeyEntry *key, size_t *ret_found)
{
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        FindingList findings = {0};
        int r = cert_chain_parse(e->row.chain, FINDING_OF_OURS, &findings, &chain);

        if (!r)
                r = cert_check(&(CertCheck){.chain = chain, .whose = FINDING_OF_OURS, .public_key = key_entry_public(key)},
                                &findings);
        if (r == -ENOMEM)
                return r;
        r = 0;
        for (size_t i = 0; r >= 0 && i < findings.n; i++)
                r = tell_finding(l, e, &findings.items[i]);
        *ret_found = findings.n;
        return r;
}

static int look_at_files(const Look *l, const IdentityEntry *e, const KeyEntry *key)
{
        TlsContent content = identity_content(e, key);
        int r = l->tls_fd < 0 ? 0 : tls_files_compare(l->tls_fd, &content);

        if (r == 0)
                return 0;
        return tell(l, e, "error", "holdfast lock; holdfast unlock",
                        r == HF_E_NOTHING_TO_DO ? "its files are not there" : "its files are not as the store says");
}

static int look_at_dates(const Look *l, const IdentityEntry *e)
{
        uint64_t days = e->row.not_after > l->now ? (e->row.not_after - l->now) / DAY : 0;
        char what[96];

        if (days >= DAYS_WARNING)
                return 0;
        if (l->now > e->row.not_after)
                snprintf(what, sizeof(what), "its certificate has expired");
        else if (days == 0)
                snprintf(what, sizeof(what), "its certificate expires within a day");
        else
                snprintf(what, sizeof(what), "its certificate expires in %llu day%s", (unsigned long long)days,
                                days == 1 ? "" : "s");
        return tell_to_set(l, e, days < DAYS_ERROR ? "error" : "warning", "have a new one issued", what);
}

static int tell_disabled(const Look *l, const IdentityEntry *e, const KeyEntry *key)
{
        char uuid[UUID_TEXT_SIZE], remedy[REMEDY_SIZE];

        snprintf(remedy, sizeof(remedy), "holdfast key enable %s", identity_key_handle(key, uuid));
        return tell(l, e, "warning", remedy, "its key is disabled");
}

static int look_at(const Look *l, const IdentityEntry *e, bool read)
{
        const KeyEntry *key = catalogue_find_uuid(l->daemon->vault.catalogue, &e->row.key);
        size_t found = 0;
        int r = 0;

        if (!key || (key->flags & KEY_FLAG_LOST))
                return tell_to_set(l, e, "error", "make a new key and have a certificate issued for it",
                                "its key was in a TPM that is gone");
        if (key->flags & KEY_FLAG_DISABLED)
                r = tell_disabled(l, e, key);
        else if (key->flags & KEY_FLAG_RETIRED)
                r = tell_to_set(l, e, "warning", "have a certificate issued for a present key (holdfast key csr)",
                                "its key is retired, and its name may be another key's by now");
        if (r >= 0 && read)
                r = look_at_chain(l, e, key, &found);
        if (r >= 0 && !found)
                r = look_at_dates(l, e);
        return r >= 0 && read ? look_at_files(l, e, key) : r;
}

int identities_check(const Daemon *d, IdentityFoundFunc found, void *userdata)
{
        Look l = {.daemon = d, .found = found, .userdata = userdata, .now = clock_wall(), .tls_fd = -EBADF};
        const char *directory = d->config.tls_directory;
        size_t n = d->vault.identities ? identities_count(d->vault.identities) : 0;
        char detail[DETAIL_SIZE];
        int r = n && *directory ? tls_files_open(directory, &l.tls_fd) : 0;

        if (r) {
                snprintf(detail, sizeof(detail), "%s cannot be used for the files of identities: %s", directory,
                                r < 0 ? strerror(-r) : errors_sentence(r));
                r = found(userdata, "error", detail, "systemd-tmpfiles --create holdfast.conf; systemctl restart holdfastd");
        }
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = look_at(&l, identities_at(d->vault.identities, i), i < IDENTITIES_READ);
        safe_close(l.tls_fd);
        return r;
}
