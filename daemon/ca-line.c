/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A CA and those that followed it
 *
 * Who follows is in the registry and nowhere else: the certificate that was asked for as the roll-over of a CA bears the name of
 * the new one. So there is a successor from the moment in which that certificate is there, and before it there is none.
 */
#include <string.h>

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

AuthorityEntry *ca_successor(const Registry *registry, const char *name)
{
        const CertificateEntry *e;
        AuthorityEntry *a;
        uint8_t request[32];

        ca_line_request(name, CA_LINE_NEW, request);
        e = registry_find_request(registry, request);
        if (!e || e->row.status == STORE_CERTIFICATE_PENDING)
                return NULL;
        a = registry_authority(registry, e->row.name);
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

const AuthorityEntry *ca_top(const Registry *registry, const AuthorityEntry *a)
{
        const AuthorityEntry *above = a;

        for (size_t i = 0; above && i < AUTHORITIES_MAX; i++) {
                a = above;
                above = a->row.parent[0] ? registry_authority(registry, a->row.parent) : NULL;
        }
        return a;
}
