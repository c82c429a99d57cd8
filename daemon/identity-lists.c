/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/identity-lists.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "daemon/ca-publish.h"
#include "daemon/change.h"
#include "daemon/identity.h"
#include "x509/crl.h"

typedef struct Item {
        IdentityEntry *identity;
        KeyEntry *key;
        ListPlaces places;
} Item;

typedef struct Refresh {
        Change change;
        Item *items;
        size_t n;
        void (*then)(void *userdata, int result);
        void *userdata;
        int result;
} Refresh;

void list_places_deinit(ListPlaces *p)
{
        for (size_t i = 0; i < p->n_elsewhere; i++)
                list_unref(p->elsewhere[i]);
        free(p->elsewhere);
        free(p->names);
        *p = (ListPlaces){0};
}

bool list_places_are_none(const ListPlaces *p)
{
        return p->n == 0 && p->n_elsewhere == 0;
}

static int add_place(ListPlaces *p, const char *name)
{
        char(*more)[STORE_PLACE_SIZE] = reallocarray(p->names, p->n + 1, sizeof(*more));

        if (!more)
                return -ENOMEM;
        p->names = more;
        snprintf(p->names[p->n++], STORE_PLACE_SIZE, CA_PLACE "%s", name);
        return 0;
}

static int add_elsewhere(const Lists *lists, ListPlaces *p)
{
        ListEntry *e;

        for (size_t i = 0; (e = lists_at(lists, i)); i++) {
                if (!list_is_elsewhere(e))
                        continue;
                if (!p->elsewhere)
                        p->elsewhere = calloc(LISTS_ELSEWHERE_MAX, sizeof(*p->elsewhere));
                if (!p->elsewhere)
                        return -ENOMEM;
                if (p->n_elsewhere < LISTS_ELSEWHERE_MAX)
                        p->elsewhere[p->n_elsewhere++] = list_ref(e);
        }
        return 0;
}

int identity_lists_find(const Registry *registry, const Lists *lists, const StoreIdentityRow *row, ListPlaces *ret)
{
        _cleanup_list_places_ ListPlaces found = {0};
        const AuthorityEntry *a;
        int r = row->trust.len ? add_elsewhere(lists, &found) : 0;

        for (size_t i = 0; !r && row->trust.len && (a = registry_authority_at(registry, i)); i++) {
                bool trusted = false;

                r = ca_is_trusted(registry, a, row->trust, &trusted);
                if (!r && trusted)
                        r = add_place(&found, a->row.name);
        }
        if (r)
                return r;
        *ret = found;
        found = (ListPlaces){0};
        return 0;
}

static int read_place(int tls_fd, const char *place, Buffer *ret)
{
        _cleanup_close_ int fd = openat(tls_fd, place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r = fd < 0 ? -errno : io_read_file(fd, CA_OWN_LIST, ret);

        return r == -ENOENT ? 0 : r;
}

int identity_lists_read(int tls_fd, const ListPlaces *places, Bytes anchors, Buffer *ret)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *trusted = places->n_elsewhere ? cert_crl_trusted(anchors) : NULL;
        int r = 0;

        for (size_t i = 0; !r && i < places->n; i++)
                r = read_place(tls_fd, places->names[i], ret);
        for (size_t i = 0; !r && i < places->n_elsewhere; i++)
                if (cert_crl_leads_to(places->elsewhere[i]->row.chain, trusted))
                        r = read_place(tls_fd, places->elsewhere[i]->row.place, ret);
        return r;
}

/* ---- all of them ---- */

static void refresh_free(Refresh *f)
{
        for (size_t i = 0; i < f->n; i++) {
                identity_unref(f->items[i].identity);
                key_entry_unref(f->items[i].key);
                list_places_deinit(&f->items[i].places);
        }
        free(f->items);
        free(f);
}

static int gather(Change *c)
{
        Refresh *f = c->userdata;
        const Vault *v = &c->daemon->vault;
        size_t count = identities_count(v->identities);
        int r = 0;

        if (!c->daemon->config.tls_directory[0] || count == 0)
                return HF_E_NOTHING_TO_DO;
        f->items = calloc(count, sizeof(*f->items));
        if (!f->items)
                return -ENOMEM;
        for (size_t i = 0; !r && i < count; i++) {
                IdentityEntry *e = identities_at(v->identities, i);
                KeyEntry *key = catalogue_find_uuid(v->catalogue, &e->row.key);
                Item *item = &f->items[f->n];

                r = key ? identity_lists_find(v->registry, v->lists, &e->row, &item->places) : 0;
                if (list_places_are_none(&item->places))
                        continue;
                item->identity = identity_ref(e);
                item->key = key_entry_ref(key);
                f->n++;
        }
        return r ? r : f->n ? 0 : HF_E_NOTHING_TO_DO;
}

int identity_lists_write(int tls_fd, const IdentityEntry *e, const KeyEntry *key, const ListPlaces *places)
{
        _cleanup_buffer_ Buffer lists = IDENTITY_LISTS_BUFFER;
        TlsContent content = identity_content(e, key);
        int r = identity_lists_read(tls_fd, places, e->row.trust, &lists);

        content.lists = buffer_bytes(&lists);
        return r ? r : tls_files_refresh(tls_fd, &content);
}

/* Nothing is left for a transaction. */
static int prepare(Change *c)
{
        Refresh *f = c->userdata;
        _cleanup_close_ int fd = -EBADF;

        f->result = tls_files_open(c->daemon->config.tls_directory, &fd);
        for (size_t i = 0; fd >= 0 && i < f->n; i++) {
                int r = identity_lists_write(fd, f->items[i].identity, f->items[i].key, &f->items[i].places);

                if (r == 0)
                        log_info("identity %s has other revocation lists", f->items[i].identity->row.name);
                else if (r != HF_E_NOTHING_TO_DO)
                        f->result = r;
        }
        return HF_E_NOTHING_TO_DO;
}

static void finish(Change *c, int result)
{
        Refresh *f = c->userdata;

        result = result == HF_E_NOTHING_TO_DO ? f->result : result;
        if (result && result != HF_E_STORE_LOCKED)
                log_error("%s: the revocation lists of identities cannot be written: %s", c->daemon->config.tls_directory,
                                result < 0 ? strerror(-result) : hf_error_name(result));
        if (f->then)
                f->then(f->userdata, result);
        refresh_free(f);
}

void identity_lists_refresh(Daemon *d, void (*then)(void *userdata, int result), void *userdata)
{
        Refresh *f = calloc(1, sizeof(*f));

        if (!f) {
                if (then)
                        then(userdata, -ENOMEM);
                return;
        }
        f->then = then;
        f->userdata = userdata;
        f->change = (Change){.gather = gather, .prepare = prepare, .finish = finish, .userdata = f};
        change_submit(d, &f->change);
}
