/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keystore/registry.h"

#include <assert.h>
#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/wire.h"
#include "crypto/digest.h"

#define ROOM (REGISTRY_TOGETHER_MAX * ELEMENTSOF(((RegistryChange *)0)->certificates))

typedef enum Index { INDEX_SERIAL, INDEX_FINGERPRINT, INDEX_REQUEST, INDEX_NAME, _INDEX_MAX } Index;

/* Open addressing with linear probing, at most half full. Nothing is ever removed: an entry's place in the order of issue
 * is what the cells hold, plus one. Of several that are equal, the last one issued is found. */
typedef struct Cells {
        uint32_t *cells;
        size_t size; /* a power of two, or 0 */
} Cells;

/* Of the clock that nobody sets, in this start of the machine. */
typedef struct Hour {
        Uuid key;
        uint64_t end;
} Hour;

struct Registry {
        Hour hours[AUTHORITIES_MAX];
        size_t n_hours;
        AuthorityEntry *authorities[AUTHORITIES_MAX];
        size_t n_authorities;
        CertificateEntry **certificates;
        size_t n, allocated;
        Cells index[_INDEX_MAX];
        uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* so that chosen names cannot collide */
};

/* ---- one ---- */

AuthorityEntry *authority_ref(AuthorityEntry *e)
{
        if (e)
                e->refs++;
        return e;
}

AuthorityEntry *authority_unref(AuthorityEntry *e)
{
        if (e && --e->refs == 0)
                free(e);
        return NULL;
}

CertificateEntry *certificate_ref(CertificateEntry *e)
{
        if (e)
                e->refs++;
        return e;
}

CertificateEntry *certificate_unref(CertificateEntry *e)
{
        if (e && --e->refs == 0)
                free(e);
        return NULL;
}

/* What is left of the hour by the wall clock when it is granted is measured by another one from then on. */
static uint64_t deadline_of(const StoreAuthorityRow *row, const AuthorityEntry *before)
{
        uint64_t now = clock_wall(), left = row->awake > now ? row->awake - now : 0;

        if (before && before->row.awake == row->awake)
                return before->deadline;
        return clock_monotonic() + (left < AUTHORITY_AWAKE_USEC ? left : AUTHORITY_AWAKE_USEC);
}

static int authority_new(const StoreAuthorityRow *row, const AuthorityEntry *before, AuthorityEntry **ret)
{
        AuthorityEntry *e = malloc(sizeof(*e) + row->certificate.len + row->chain.len);

        if (!e)
                return -ENOMEM;
        e->refs = 1;
        e->deadline = deadline_of(row, before);
        e->since = before ? before->since : 0;
        digest_sha256(row->certificate, e->fingerprint);
        e->row = *row;
        if (row->certificate.len)
                memcpy(e->data, row->certificate.data, row->certificate.len);
        if (row->chain.len)
                memcpy(e->data + row->certificate.len, row->chain.data, row->chain.len);
        e->row.certificate.data = e->data;
        e->row.chain.data = e->data + row->certificate.len;
        *ret = e;
        return 0;
}

static const char *keep(char **at, const char *text)
{
        char *kept = *at;

        *at = stpcpy(kept, text) + 1;
        return kept;
}

static int certificate_new(const StoreCertificateRow *row, CertificateEntry **ret)
{
        CertificateEntry *e = malloc(sizeof(*e) + strlen(row->name) + strlen(row->domain) + strlen(row->metadata) +
                                     strlen(row->text) + 4);
        char *at;

        if (!e)
                return -ENOMEM;
        e->refs = 1;
        e->at = SIZE_MAX;
        e->row = *row;
        at = e->data;
        e->row.name = keep(&at, row->name);
        e->row.domain = keep(&at, row->domain);
        e->row.metadata = keep(&at, row->metadata);
        e->row.text = keep(&at, row->text);
        e->row.certificate = BYTES_NULL;
        *ret = e;
        return 0;
}

/* ---- tables ---- */

static Bytes index_key(const StoreCertificateRow *row, Index i)
{
        switch (i) {
        case INDEX_SERIAL:
                return BYTES_ARRAY(row->serial);
        case INDEX_FINGERPRINT:
                return BYTES_ARRAY(row->fingerprint);
        case INDEX_REQUEST:
                return BYTES_ARRAY(row->request);
        case INDEX_NAME:
                return bytes_str(row->name);
        case _INDEX_MAX:
                break;
        }
        return BYTES_NULL;
}

static uint64_t hash(const Registry *r, Bytes key)
{
        uint64_t h;

        crypto_shorthash((uint8_t *)&h, key.data, key.len, r->hash_key);
        return h;
}

/* The cell that has an entry of this key, or the empty one that ends the search. */
static uint32_t *find_cell(const Registry *r, Index i, Bytes key)
{
        const Cells *t = &r->index[i];
        size_t at = (size_t)hash(r, key) & (t->size - 1);

        while (t->cells[at] && !bytes_equal(index_key(&r->certificates[t->cells[at] - 1]->row, i), key))
                at = (at + 1) & (t->size - 1);
        return &t->cells[at];
}

static CertificateEntry *find(const Registry *r, Index i, Bytes key)
{
        uint32_t at = r->index[i].size ? *find_cell(r, i, key) : 0;

        return at ? r->certificates[at - 1] : NULL;
}

static void index_entry(Registry *r, const CertificateEntry *e)
{
        for (Index i = 0; i < _INDEX_MAX; i++) {
                uint32_t *cell;

                if (i == INDEX_FINGERPRINT && e->row.status == STORE_CERTIFICATE_PENDING)
                        continue; /* it has none yet */
                cell = find_cell(r, i, index_key(&e->row, i));

                if (*cell < e->at + 1)
                        *cell = (uint32_t)(e->at + 1);
        }
}

/* Room in every table for what may be added before this is asked again; their old cells are made anew from the list. */
static int grow(Registry *r)
{
        size_t size = r->allocated ? 4 * r->allocated : 8 * ROOM;
        uint32_t *cells[_INDEX_MAX] = {};
        CertificateEntry **list;

        if (r->n + ROOM <= r->allocated)
                return 0;
        for (Index i = 0; i < _INDEX_MAX; i++) {
                cells[i] = calloc(size, sizeof(**cells));
                if (!cells[i]) {
                        while (i-- > 0)
                                free(cells[i]);
                        return -ENOMEM;
                }
        }
        list = reallocarray(r->certificates, size / 2, sizeof(*list));
        if (!list) {
                for (Index i = 0; i < _INDEX_MAX; i++)
                        free(cells[i]);
                return -ENOMEM;
        }
        r->certificates = list;
        r->allocated = size / 2;
        for (Index i = 0; i < _INDEX_MAX; i++) {
                free(r->index[i].cells);
                r->index[i] = (Cells){cells[i], size};
        }
        for (size_t k = 0; k < r->n; k++)
                index_entry(r, r->certificates[k]);
        return 0;
}

/* ---- all ---- */

int registry_new(Registry **ret)
{
        *ret = calloc(1, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        crypto_shorthash_keygen((*ret)->hash_key);
        return 0;
}

Registry *registry_free(Registry *r)
{
        if (!r)
                return NULL;
        for (size_t i = 0; i < r->n_authorities; i++)
                authority_unref(r->authorities[i]);
        for (size_t i = 0; i < r->n; i++)
                certificate_unref(r->certificates[i]);
        for (Index i = 0; i < _INDEX_MAX; i++)
                free(r->index[i].cells);
        free(r->certificates);
        free(r);
        return NULL;
}

static size_t authority_place(const Registry *r, const char *name)
{
        size_t at = 0;

        while (at < r->n_authorities && strcmp(r->authorities[at]->row.name, name) < 0)
                at++;
        return at;
}

AuthorityEntry *registry_authority_at(const Registry *r, size_t i)
{
        return i < r->n_authorities ? r->authorities[i] : NULL;
}

AuthorityEntry *registry_authority(const Registry *r, const char *name)
{
        AuthorityEntry *e = registry_authority_at(r, authority_place(r, name));

        return e && strcmp(e->row.name, name) == 0 ? e : NULL;
}

bool registry_is_current(const Registry *r, const CertificateEntry *e)
{
        const AuthorityEntry *a = registry_authority(r, e->row.authority);

        return a && e->at >= a->since;
}

AuthorityEntry *registry_find_key(const Registry *r, const Uuid *key)
{
        for (size_t i = 0; i < r->n_authorities; i++)
                if (uuid_equal(&r->authorities[i]->row.key, key))
                        return r->authorities[i];
        return NULL;
}

/* Takes the reference. */
static void insert_authority(Registry *r, AuthorityEntry *e)
{
        size_t at = authority_place(r, e->row.name);

        if (at < r->n_authorities && strcmp(r->authorities[at]->row.name, e->row.name) == 0) {
                authority_unref(r->authorities[at]);
        } else {
                memmove(r->authorities + at + 1, r->authorities + at, (r->n_authorities - at) * sizeof(*r->authorities));
                r->n_authorities++;
        }
        r->authorities[at] = e;
}

/* Takes the reference. The tables hold places, so a new version of an entry is found where the old one was; its fingerprint
 * may be new. */
static void insert_certificate(Registry *r, CertificateEntry *e)
{
        CertificateEntry *before = find(r, INDEX_SERIAL, BYTES_ARRAY(e->row.serial));

        e->at = before ? before->at : r->n++;
        r->certificates[e->at] = e;
        index_entry(r, e);
        certificate_unref(before);
}

#define HOUR_SIZE (16 + 8) /* clock_boot(), u64 little-endian */

int registry_load_hour(Registry *r, const char *uuid, Bytes value)
{
        WireReader reader = wire_reader(value);
        uint8_t boot[16], then[16];
        Hour hour;

        if (value.len != HOUR_SIZE || !uuid_parse(uuid, &hour.key))
                return HF_E_STORE_DAMAGED;
        wire_get_raw(&reader, then, sizeof(then));
        hour.end = wire_get_u64(&reader);
        clock_boot(boot);
        if (memcmp(boot, then, sizeof(boot)) == 0 && r->n_hours < ELEMENTSOF(r->hours))
                r->hours[r->n_hours++] = hour;
        return 0;
}

static uint64_t hour_of(const Registry *r, const Uuid *key)
{
        uint64_t latest = clock_monotonic() + AUTHORITY_AWAKE_USEC;

        for (size_t i = 0; i < r->n_hours; i++)
                if (uuid_equal(&r->hours[i].key, key))
                        return r->hours[i].end < latest ? r->hours[i].end : latest;
        return 0;
}

static int put_hour(Store *store, const AuthorityEntry *e)
{
        _cleanup_buffer_ Buffer value = BUFFER_INIT(HOUR_SIZE);
        char name[sizeof(META_HOUR) + UUID_TEXT_SIZE] = META_HOUR;
        uint8_t boot[16];
        int r;

        clock_boot(boot);
        uuid_format(&e->row.key, name + strlen(META_HOUR));
        r = buffer_append(&value, boot, sizeof(boot));
        if (!r)
                r = wire_put_u64(&value, e->deadline);
        return r ? r : store_put_meta(store, name, buffer_bytes(&value));
}

int registry_load_authority(Registry *r, const StoreAuthorityRow *row)
{
        AuthorityEntry *e;
        int result;

        if (registry_authority(r, row->name) || r->n_authorities == AUTHORITIES_MAX)
                return HF_E_STORE_DAMAGED;
        result = authority_new(row, NULL, &e);
        if (result)
                return result;
        e->deadline = hour_of(r, &row->key); /* the wall clock alone may have been put back */
        insert_authority(r, e);
        return result;
}

int registry_load_certificate(Registry *r, const StoreCertificateRow *row)
{
        CertificateEntry *e;
        int result;

        if (registry_find_serial(r, row->serial))
                return HF_E_STORE_DAMAGED;
        result = grow(r);
        if (!result)
                result = certificate_new(row, &e);
        if (!result)
                insert_certificate(r, e);
        return result;
}

void registry_meta_key(const char *kind, const Uuid *key, char ret[static REGISTRY_META_SIZE])
{
        char text[UUID_TEXT_SIZE];

        uuid_format(key, text);
        snprintf(ret, REGISTRY_META_SIZE, "%.14s.%s", kind, text);
}

int registry_load_places(Registry *r, Store *store)
{
        for (size_t i = 0; i < r->n_authorities; i++) {
                _cleanup_buffer_ Buffer value = BUFFER_INIT(STORE_META_VALUE_MAX);
                char key[REGISTRY_META_SIZE];
                WireReader reader;
                uint64_t since;
                int result;

                registry_meta_key(REGISTRY_META_SINCE, &r->authorities[i]->row.key, key);
                result = store_get_meta(store, key, &value);
                if (result == HF_E_NOTHING_TO_DO)
                        continue;
                if (result)
                        return result;
                reader = wire_reader(buffer_bytes(&value));
                since = wire_get_u64(&reader);
                if (wire_done(&reader) || since > r->n)
                        return HF_E_STORE_DAMAGED;
                r->authorities[i]->since = (size_t)since;
        }
        return 0;
}

size_t registry_count(const Registry *r)
{
        return r->n;
}

CertificateEntry *registry_at(const Registry *r, size_t i)
{
        return i < r->n ? r->certificates[i] : NULL;
}

CertificateEntry *registry_find_serial(const Registry *r, const uint8_t serial[static STORE_SERIAL_SIZE])
{
        return find(r, INDEX_SERIAL, BYTES(serial, STORE_SERIAL_SIZE));
}

CertificateEntry *registry_find_fingerprint(const Registry *r, const uint8_t fingerprint[static 32])
{
        static const uint8_t none[32];

        return memcmp(fingerprint, none, sizeof(none)) ? find(r, INDEX_FINGERPRINT, BYTES(fingerprint, 32)) : NULL;
}

CertificateEntry *registry_find_request(const Registry *r, const uint8_t request[static 32])
{
        return find(r, INDEX_REQUEST, BYTES(request, 32));
}

/* Hex in either case, and with a colon between any two bytes or none: as browsers and openssl print it. The bytes there are; 0
 * for anything else. */
static size_t read_hex(const char *text, uint8_t ret[static 32])
{
        size_t len = strlen(text), step = len > 2 && text[2] == ':' ? 3 : 2, n = (len + step - 2) / step;

        if (n > 32 || n * step != len + step - 2)
                return 0;
        for (size_t i = 0; i < n; i++) {
                const char pair[] = {(char)tolower((uint8_t)text[i * step]), (char)tolower((uint8_t)text[i * step + 1])};

                if (hex_decode(pair, 2, ret + i, 1) || (i + 1 < n && step == 3 && text[i * step + 2] != ':'))
                        return 0;
        }
        return n;
}

CertificateEntry *registry_find(const Registry *r, const char *text)
{
        CertificateEntry *e = NULL;
        uint8_t bytes[32];
        size_t n = read_hex(text, bytes);

        if (n == STORE_SERIAL_SIZE)
                e = registry_find_serial(r, bytes);
        else if (n == sizeof(bytes))
                e = registry_find_fingerprint(r, bytes);
        return e ? e : find(r, INDEX_NAME, bytes_str(text));
}

/* ---- changes ---- */

void registry_change_deinit(RegistryChange *c)
{
        for (size_t i = 0; i < c->n_authorities; i++)
                c->authorities[i] = authority_unref(c->authorities[i]);
        c->n_authorities = 0;
        for (size_t i = 0; i < c->n_certificates; i++)
                c->certificates[i] = certificate_unref(c->certificates[i]);
        c->n_certificates = 0;
}

int registry_put_authority(Store *store, Registry *r, const StoreAuthorityRow *row, RegistryChange *change)
{
        const AuthorityEntry *before = registry_authority(r, row->name);
        _cleanup_(authority_unrefp) AuthorityEntry *after = NULL;
        StoreAuthorityRow next = *row;
        int result;

        assert(change->n_authorities < ELEMENTSOF(change->authorities));
        if (before ? before->row.version == UINT32_MAX : r->n_authorities + change->n_authorities >= AUTHORITIES_MAX)
                return HF_E_LIMIT_EXCEEDED;
        next.version = before ? before->row.version + 1 : 1;
        result = authority_new(&next, before, &after);
        if (!result && next.awake && next.awake != STORE_AWAKE_ALWAYS && (!before || before->row.awake != next.awake))
                result = put_hour(store, after);
        if (!result)
                result = store_put_authority(store, &next);
        if (!result)
                change->authorities[change->n_authorities++] = TAKE_PTR(after);
        return result;
}

static int forget(Store *store, const char *kind, const Uuid *key)
{
        char text[REGISTRY_META_SIZE];
        int result;

        registry_meta_key(kind, key, text);
        result = store_delete_meta(store, text);
        return result == HF_E_NOTHING_TO_DO ? 0 : result;
}

int registry_put_replacement(Store *store, Registry *r, const StoreAuthorityRow *row, RegistryChange *change)
{
        const AuthorityEntry *before = registry_authority(r, row->name);
        _cleanup_buffer_ Buffer since = BUFFER_INIT(8);
        char key[REGISTRY_META_SIZE];
        int result = before ? wire_put_u64(&since, r->n) : HF_E_INVALID_ARGS;

        if (!result)
                result = forget(store, REGISTRY_META_SINCE, &before->row.key);
        if (!result)
                result = forget(store, REGISTRY_META_BACKUP, &before->row.key);
        registry_meta_key(REGISTRY_META_SINCE, &row->key, key);
        if (!result)
                result = store_put_meta(store, key, buffer_bytes(&since));
        if (!result)
                result = registry_put_authority(store, r, row, change);
        if (!result)
                change->authorities[change->n_authorities - 1]->since = r->n;
        return result;
}

int registry_put_certificate(Store *store, Registry *r, const StoreCertificateRow *row, RegistryChange *change)
{
        const CertificateEntry *before = registry_find_serial(r, row->serial);
        _cleanup_(certificate_unrefp) CertificateEntry *after = NULL;
        StoreCertificateRow next = *row;
        int result;

        assert(change->n_certificates < ELEMENTSOF(change->certificates));
        if (before ? before->row.version == UINT32_MAX : r->n >= REGISTRY_CERTIFICATES_MAX)
                return HF_E_LIMIT_EXCEEDED;
        next.version = before ? before->row.version + 1 : 1;
        result = grow(r);
        if (!result)
                result = certificate_new(&next, &after);
        if (!result)
                result = store_put_certificate(store, &next);
        if (!result)
                change->certificates[change->n_certificates++] = TAKE_PTR(after);
        return result;
}

void registry_apply(Registry *r, RegistryChange *change)
{
        for (size_t i = 0; i < change->n_authorities; i++)
                insert_authority(r, authority_ref(change->authorities[i]));
        for (size_t i = 0; i < change->n_certificates; i++) {
                assert(r->n < r->allocated);
                insert_certificate(r, certificate_ref(change->certificates[i]));
        }
}

bool certificate_is_listed(const StoreCertificateRow *row, uint64_t now)
{
        return row->status != STORE_CERTIFICATE_PENDING &&
               (row->status != STORE_CERTIFICATE_SUPERSEDED || now < row->revoked || now - row->revoked < SUPERSEDED_STAYS_USEC);
}

const char *certificate_status(const StoreCertificateRow *row, uint64_t now)
{
        switch (row->status) {
        case STORE_CERTIFICATE_PENDING:
                return "pending";
        case STORE_CERTIFICATE_ACTIVE:
                return now >= row->expires ? "expired" : "active";
        case STORE_CERTIFICATE_REVOKED:
                return "revoked";
        case STORE_CERTIFICATE_SUPERSEDED:
                return "superseded";
        case _STORE_CERTIFICATE_INVALID:
        case _STORE_CERTIFICATE_MAX:
                break;
        }
        return "invalid";
}
