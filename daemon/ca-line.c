/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A CA, those that followed it, and those above it
 *
 * An authority's row says whom it follows. It is a successor from the moment in which its certificate is there; before that it is
 * one that was begun.
 *
 * A CA that was made anew has the name of the one before and nothing else of it: it neither follows whom that followed, nor is it
 * above those that were below that. They, and all certificates of either, are orphans.
 */
#include <string.h>

#include "base/clock.h"
#include "crypto/digest.h"
#include "daemon/ca.h"

void ca_line_request(const char *name, CaLinePart part, uint8_t ret[static 32])
{
        static const char *const words[] = {"ca.rollover", "ca.rollover old-with-new", "ca.rollover new-with-old"};
        _cleanup_buffer_ Buffer b = BUFFER_INIT(256);

        memset(ret, 0, 32);
        if (buffer_printf(&b, "%s %s", words[part], name) == 0)
                digest_sha256(buffer_bytes(&b), ret);
}

AuthorityEntry *ca_follower(const Registry *registry, const char *name)
{
        AuthorityEntry *a;

        for (size_t i = 0; (a = registry_authority_at(registry, i)); i++)
                if (strcmp(a->row.follows, name) == 0)
                        return a;
        return NULL;
}

AuthorityEntry *ca_successor(const Registry *registry, const char *name)
{
        AuthorityEntry *a = ca_follower(registry, name);

        return a && a->row.certificate.len ? a : NULL;
}

AuthorityEntry *ca_newest(const Registry *registry, const char *name)
{
        AuthorityEntry *a = registry_authority(registry, name), *next = a;

        for (size_t i = 0; next && i < AUTHORITIES_MAX; i++) {
                a = next;
                next = ca_successor(registry, a->row.name);
        }
        return a;
}

const AuthorityEntry *ca_first(const Registry *registry, const AuthorityEntry *a)
{
        const AuthorityEntry *before = a;

        for (size_t i = 0; before && i < AUTHORITIES_MAX; i++) {
                a = before;
                before = a->row.follows[0] ? registry_authority(registry, a->row.follows) : NULL;
        }
        return a;
}

bool ca_covers(const Registry *registry, const char *name, const char *other)
{
        const AuthorityEntry *a;

        for (size_t i = 0; i < AUTHORITIES_MAX; i++) {
                if (strcmp(name, other) == 0)
                        return true;
                a = ca_successor(registry, name);
                if (!a)
                        return false;
                name = a->row.name;
        }
        return false;
}

/* Its parent's name is another CA's by now. */
static bool is_cut_off(const AuthorityEntry *parent, const Registry *registry, const AuthorityEntry *a)
{
        const CertificateEntry *own = parent->since ? registry_find_fingerprint(registry, a->fingerprint) : NULL;

        return own && own->at < parent->since;
}

const AuthorityEntry *ca_parent(const Registry *registry, const AuthorityEntry *a)
{
        const AuthorityEntry *parent = a->row.parent[0] ? registry_authority(registry, a->row.parent) : NULL;

        return parent && !is_cut_off(parent, registry, a) ? parent : NULL;
}

const AuthorityEntry *ca_top(const Registry *registry, const AuthorityEntry *a)
{
        const AuthorityEntry *above = a;

        for (size_t i = 0; above && i < AUTHORITIES_MAX; i++) {
                a = above;
                above = ca_parent(registry, a);
        }
        return a;
}

bool ca_is_orphaned(const Registry *registry, const AuthorityEntry *a)
{
        return ca_top(registry, a)->row.parent[0];
}

bool ca_is_below(const Registry *registry, const AuthorityEntry *a, const char *name)
{
        for (size_t i = 0; a && i < AUTHORITIES_MAX; i++) {
                if (strcmp(a->row.name, name) == 0)
                        return true;
                a = ca_parent(registry, a);
        }
        return false;
}

const char *ca_status(const Registry *registry, const StoreCertificateRow *row)
{
        const CertificateEntry *e = registry_find_serial(registry, row->serial);
        const AuthorityEntry *a = registry_authority(registry, row->authority);
        const char *status = certificate_status(row, clock_wall());
        bool orphan = e && a && (!registry_is_current(registry, e) || ca_is_orphaned(registry, a));

        return orphan && strcmp(status, "active") == 0 ? "orphaned" : status;
}
