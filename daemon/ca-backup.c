/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/ca-backup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "daemon/ca.h"

static int make_mark(const AuthorityEntry *a, uint64_t changes, CaMark *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(sizeof(a->row.key) + 16 + STORE_CERTIFICATE_MAX + STORE_CHAIN_MAX);
        int r = wire_put_raw(&b, a->row.key.b, sizeof(a->row.key.b));

        if (!r)
                r = wire_put_u64(&b, changes);
        if (!r)
                r = wire_put_block(&b, a->row.certificate);
        if (!r)
                r = wire_put_block(&b, a->row.chain);
        ret->key = a->row.key;
        if (!r)
                digest_sha256(buffer_bytes(&b), ret->digest);
        return r;
}

int ca_marks_new(const Registry *registry, CaMark **ret, size_t *ret_n)
{
        _cleanup_free_ uint64_t *changes = calloc(AUTHORITIES_MAX, sizeof(*changes));
        _cleanup_free_ CaMark *marks = calloc(AUTHORITIES_MAX, sizeof(*marks));
        const AuthorityEntry *a;
        size_t n = 0;
        int r = changes && marks ? 0 : -ENOMEM;

        for (size_t i = 0; !r && i < registry_count(registry); i++) {
                const StoreCertificateRow *row = &registry_at(registry, i)->row;

                for (size_t k = 0; (a = registry_authority_at(registry, k)); k++)
                        if (strcmp(a->row.name, row->authority) == 0)
                                changes[k] += row->version;
        }
        for (; !r && (a = registry_authority_at(registry, n)); n++)
                r = make_mark(a, changes[n], &marks[n]);
        if (r)
                return r;
        *ret = TAKE_PTR(marks);
        *ret_n = n;
        return 0;
}

int ca_marks_put(Store *store, const CaMark *marks, size_t n)
{
        int r = 0;

        for (size_t i = 0; !r && i < n; i++) {
                char key[REGISTRY_META_SIZE];

                registry_meta_key(REGISTRY_META_BACKUP, &marks[i].key, key);
                r = store_put_meta(store, key, BYTES_ARRAY(marks[i].digest));
        }
        return r;
}

static int is_same(Store *store, const CaMark *mark, bool *ret)
{
        _cleanup_buffer_ Buffer kept = BUFFER_INIT(STORE_META_VALUE_MAX);
        char key[REGISTRY_META_SIZE];
        int r;

        registry_meta_key(REGISTRY_META_BACKUP, &mark->key, key);
        r = store_get_meta(store, key, &kept);
        *ret = r == 0 && bytes_equal(buffer_bytes(&kept), BYTES_ARRAY(mark->digest));
        return r == HF_E_NOTHING_TO_DO ? 0 : r;
}

int ca_is_backed_up(Store *store, const Registry *registry, const char *name, bool *ret)
{
        _cleanup_free_ CaMark *marks = NULL;
        bool same = true;
        size_t n;
        int r = ca_marks_new(registry, &marks, &n);

        for (size_t i = 0; !r && same && i < n; i++)
                if (ca_is_below(registry, registry_authority_at(registry, i), name))
                        r = is_same(store, &marks[i], &same);
        if (!r)
                *ret = same;
        return r;
}
