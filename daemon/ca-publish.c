/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/ca-publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "base/clock.h"
#include "ca/crl.h"
#include "x509/crl.h"

#define LEVELS_MAX 10 /* a path length of 8 at most, the root and what has none */
#define RELATED_MAX (32 + LISTS_ELSEWHERE_MAX)
#define PUBLISHED_MAX (8 * CA_CRL_MAX)
#define NUMBER_SIZE 24
#define NUMBER_MAX (UINT64_MAX >> 2) /* no clock says as much: it is none of ours */
#define LINE_BYTES 48 /* 64 characters of base64 */

typedef struct Related {
        char place[STORE_PLACE_SIZE];
        char lists[RELATED_MAX][STORE_PLACE_SIZE]; /* places: its own first, and those above it */
        size_t n;
        Buffer anchors, chain;
} Related;

struct CaPublication {
        char directory[CONFIG_TEXT_MAX];
        char place[STORE_PLACE_SIZE];
        uint64_t number;
        Related related[AUTHORITIES_MAX]; /* the CAs here whose servers need this list */
        size_t n;
};

int ca_pem_append(const char *kind, Bytes der, Buffer *ret)
{
        int r = buffer_printf(ret, "-----BEGIN %s-----\n", kind);

        for (size_t at = 0; !r && at < der.len; at += LINE_BYTES) {
                size_t n = der.len - at < LINE_BYTES ? der.len - at : LINE_BYTES;
                char line[LINE_BYTES / 3 * 4 + 2];

                base64_encode(der.data + at, n, line);
                strcat(line, "\n");
                r = buffer_append(ret, line, strlen(line));
        }
        return r ? r : buffer_printf(ret, "-----END %s-----\n", kind);
}

/* Certificates lie one behind the other: each says its own length. */
static Bytes take_certificate(Bytes *chain)
{
        size_t header = 4, len;
        Bytes one;

        if (chain->len < header || chain->data[0] != 0x30 || chain->data[1] != 0x82)
                return BYTES_NULL;
        len = header + ((size_t)chain->data[2] << 8 | chain->data[3]);
        if (len > chain->len)
                return BYTES_NULL;
        one = BYTES(chain->data, len);
        *chain = BYTES(chain->data + len, chain->len - len);
        return one;
}

static int append_but_last(Bytes rest, Buffer *ret)
{
        Bytes one;
        int r = 0;

        while (!r && (one = take_certificate(&rest)).len && rest.len)
                r = ca_pem_append("CERTIFICATE", one, ret);
        return r;
}

static Bytes last_certificate(Bytes chain)
{
        Bytes one, last = BYTES_NULL;

        while ((one = take_certificate(&chain)).len)
                last = one;
        return last;
}

/* The way from a root to all others of its line, a certificate a step: to the last one, and from there back to the first one.
 * So there is one way, for those who build a path and never try another. A root has first the certificate with which the one
 * before it signed its key, and last that with which the one after it did. */
static int append_crosses(const Registry *registry, const AuthorityEntry *root, Buffer *ret)
{
        bool back = root->row.follows[0];
        const AuthorityEntry *a = root, *next;
        int r = 0;

        for (size_t i = 0; !r && (next = ca_successor(registry, a->row.name)) && i < AUTHORITIES_MAX; i++, a = next)
                r = ca_pem_append("CERTIFICATE", last_certificate(a->row.chain), ret);
        for (size_t i = 0; !r && back && (next = registry_authority(registry, a->row.follows)) && i < AUTHORITIES_MAX; i++) {
                Bytes chain = a->row.chain;

                r = ca_pem_append("CERTIFICATE", take_certificate(&chain), ret);
                a = next;
        }
        return r;
}

int ca_pem_append_all(Bytes certificates, Buffer *ret)
{
        Bytes one;
        int r = 0;

        while (!r && (one = take_certificate(&certificates)).len)
                r = ca_pem_append("CERTIFICATE", one, ret);
        return r;
}

int ca_pem_chain(const Registry *registry, const AuthorityEntry *a, Buffer *ret)
{
        const AuthorityEntry *top = ca_top(registry, a);
        int r = 0;

        if (a->row.kind == CA_INTERMEDIATE && a->row.certificate.len)
                r = ca_pem_append("CERTIFICATE", a->row.certificate, ret);
        if (!r && a->row.kind == CA_INTERMEDIATE)
                r = append_but_last(a->row.chain, ret);
        return r || top->row.kind != CA_ROOT ? r : append_crosses(registry, top, ret);
}

static int is_anchor(Bytes certificate, Bytes anchors, bool *ret)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(2 * STORE_CHAIN_MAX);
        int r = ca_pem_append("CERTIFICATE", certificate, &pem);

        if (!r)
                *ret = memmem(anchors.data, anchors.len, pem.data, pem.len);
        return r;
}

int ca_is_trusted(const Registry *registry, const AuthorityEntry *a, Bytes anchors, bool *ret)
{
        Bytes one = a->row.certificate, rest = a->row.chain;
        const AuthorityEntry *root = ca_first(registry, ca_top(registry, a));
        bool found = false;
        int r = 0;

        for (; !r && !found && one.len; one = take_certificate(&rest))
                r = is_anchor(one, anchors, &found);
        for (size_t i = 0; !r && !found && root && root->row.kind == CA_ROOT && i < AUTHORITIES_MAX; i++) {
                r = is_anchor(root->row.certificate, anchors, &found);
                root = ca_successor(registry, root->row.name);
        }
        if (!r)
                *ret = found;
        return r;
}

/* All CAs, and for each who came last in its line. */
typedef struct Lines {
        const Registry *registry;
        size_t n;
        const AuthorityEntry *all[AUTHORITIES_MAX], *newest[AUTHORITIES_MAX];
} Lines;

static void lines_find(const Registry *registry, Lines *ret)
{
        AuthorityEntry *a;

        ret->registry = registry;
        for (ret->n = 0; (a = registry_authority_at(registry, ret->n)); ret->n++) {
                ret->all[ret->n] = a;
                ret->newest[ret->n] = ca_newest(registry, a->row.name);
        }
}

/* Number i of them and this one: does one follow the other, whichever was first? */
static bool is_in_line(const Lines *lines, const AuthorityEntry *a, size_t i)
{
        size_t at = 0;

        if (lines->all[i] == a || !lines->all[i]->row.certificate.len)
                return false;
        while (at < lines->n && lines->all[at] != a)
                at++;
        return at < lines->n && lines->newest[at] == lines->newest[i];
}

/* The root of a CA that has none above it here: itself, or the last of its chain. Once. */
static int append_anchor(const AuthorityEntry *top, Buffer *ret)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(2 * STORE_CHAIN_MAX);
        bool own = top->row.kind == CA_ROOT || !top->row.chain.len;
        int r = ca_pem_append("CERTIFICATE", own ? top->row.certificate : last_certificate(top->row.chain), &pem);

        return r || memmem(ret->data, ret->len, pem.data, pem.len) ? r : buffer_append(ret, pem.data, pem.len);
}

/* What everybody has to trust; and while CAs follow each other, what the others lead to as well. */
static int append_anchors(const Lines *lines, const AuthorityEntry *a, Buffer *ret)
{
        const AuthorityEntry *top = ca_top(lines->registry, a);
        int r = append_anchor(top, ret);

        for (size_t i = 0; !r && i < lines->n; i++)
                if (is_in_line(lines, top, i))
                        r = append_anchor(lines->all[i], ret);
        return r;
}

static void add_list(Related *r, const char *kind, const char *name)
{
        if (r->n < RELATED_MAX)
                snprintf(r->lists[r->n++], STORE_PLACE_SIZE, "%s%s", kind, name);
}

/* Itself, those above it, and who follows one of them or was before it: their certificates are shown to the same servers. */
static void relate(const Lines *lines, const AuthorityEntry *a, Related *ret)
{
        snprintf(ret->place, sizeof(ret->place), CA_PLACE "%s", a->row.name);
        ret->n = 0;
        for (size_t level = 0; a && level < LEVELS_MAX; level++) {
                add_list(ret, CA_PLACE, a->row.name);
                for (size_t i = 0; i < lines->n; i++)
                        if (is_in_line(lines, a, i))
                                add_list(ret, CA_PLACE, lines->all[i]->row.name);
                a = ca_parent(lines->registry, a);
        }
}

/* CAs elsewhere that lead to the same anchors. */
static void relate_elsewhere(const Lists *lists, Related *r)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *trusted = NULL;
        const ListEntry *e;

        for (size_t i = 0; (e = lists_at(lists, i)); i++) {
                if (!list_is_elsewhere(e))
                        continue;
                if (!trusted)
                        trusted = cert_crl_trusted(buffer_bytes(&r->anchors));
                if (cert_crl_leads_to(e->row.chain, trusted))
                        add_list(r, "", e->row.place);
        }
}

static bool is_related(const Related *r, const char *place)
{
        for (size_t i = 0; i < r->n; i++)
                if (strcmp(r->lists[i], place) == 0)
                        return true;
        return false;
}

/* HF_E_NOTHING_TO_DO: its servers do not need the list of this place. */
static int make_related(const CaScene *scene, const Lines *lines, const AuthorityEntry *a, const char *place, Related *ret)
{
        bool elsewhere = strncmp(place, LISTS_ELSEWHERE, strlen(LISTS_ELSEWHERE)) == 0;
        int r;

        relate(lines, a, ret);
        if (!a->row.certificate.len || (!elsewhere && !is_related(ret, place)))
                return HF_E_NOTHING_TO_DO;
        buffer_deinit(&ret->anchors);
        buffer_deinit(&ret->chain);
        ret->anchors = ret->chain = BUFFER_INIT(2 * STORE_CHAIN_MAX);
        r = append_anchors(lines, a, &ret->anchors);
        if (r)
                return r;
        relate_elsewhere(scene->lists, ret);
        return is_related(ret, place) ? ca_pem_chain(scene->registry, a, &ret->chain) : HF_E_NOTHING_TO_DO;
}

CaScene ca_scene(const Daemon *d)
{
        return (CaScene){.directory = d->config.tls_directory, .registry = d->vault.registry, .lists = d->vault.lists};
}

int ca_publication_new(const CaScene *scene, const char *place, uint64_t number, CaPublication **ret)
{
        _cleanup_(ca_publication_freep) CaPublication *p = calloc(1, sizeof(*p));
        Lines lines;
        int r = 0;

        if (!p)
                return -ENOMEM;
        snprintf(p->directory, sizeof(p->directory), "%s", scene->directory);
        snprintf(p->place, sizeof(p->place), "%s", place);
        p->number = number;
        lines_find(scene->registry, &lines);
        for (size_t i = 0; r >= 0 && i < lines.n; i++) {
                r = make_related(scene, &lines, lines.all[i], place, &p->related[p->n]);
                p->n += r == 0;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

CaPublication *ca_publication_free(CaPublication *p)
{
        if (!p)
                return NULL;
        for (size_t i = 0; i < AUTHORITIES_MAX; i++) {
                buffer_deinit(&p->related[i].anchors);
                buffer_deinit(&p->related[i].chain);
        }
        free(p);
        return NULL;
}

static int open_place(int tls_fd, const char *place, bool create)
{
        if (create && mkdirat(tls_fd, place, 0755) < 0 && errno != EEXIST)
                return -errno;
        tls_fd = openat(tls_fd, place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (tls_fd < 0)
                return -errno;
        if (create && fchmod(tls_fd, 0755) < 0) {
                safe_close(tls_fd);
                return -errno;
        }
        return tls_fd;
}

/* The numbers of lists we wrote in this run; the worker is one thread. */
static bool is_newer(const CaPublication *p)
{
        static struct {
                char place[STORE_PLACE_SIZE];
                uint64_t number;
        } written[AUTHORITIES_MAX];
        size_t i = 0;

        while (i < AUTHORITIES_MAX - 1 && written[i].place[0] && strcmp(written[i].place, p->place))
                i++;
        if (strcmp(written[i].place, p->place) == 0 && written[i].number >= p->number)
                return false;
        strcpy(written[i].place, p->place);
        written[i].number = p->number;
        return true;
}

/* Whom to trust, the chain, and the lists of one CA and of all above it behind each other. */
static int write_all(int tls_fd, const Related *r)
{
        _cleanup_close_ int own = open_place(tls_fd, r->place, false);
        _cleanup_buffer_ Buffer all = BUFFER_INIT(PUBLISHED_MAX);
        int result = 0;

        if (own < 0)
                return own == -ENOENT ? 0 : own; /* it has no list yet, and gets both with its first one */
        for (size_t i = 0; !result && i < r->n; i++) {
                _cleanup_close_ int fd = open_place(tls_fd, r->lists[i], false);

                result = fd < 0 ? fd : io_read_file(fd, CA_OWN_LIST, &all);
                if (result == -ENOENT)
                        result = 0;
        }
        if (!result)
                result = io_write_file(own, "ca.pem", buffer_bytes(&r->anchors), 0644);
        if (!result)
                result = io_write_file(own, "chain.pem", buffer_bytes(&r->chain), 0644);
        return result ? result : io_write_file(own, "crl.pem", buffer_bytes(&all), 0644);
}

static int write_number(int fd, const char *file, uint64_t number)
{
        char text[NUMBER_SIZE];

        return io_write_file(fd, file, BYTES(text, (size_t)snprintf(text, sizeof(text), "%" PRIu64 "\n", number)), 0644);
}

static int write_list(int tls_fd, const CaPublication *p, Bytes crl)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(PUBLISHED_MAX);
        _cleanup_close_ int fd = open_place(tls_fd, p->place, true);
        int r = fd < 0 ? fd : ca_pem_append("X509 CRL", crl, &pem);

        if (!r && p->number)
                r = write_number(fd, "highest", p->number);
        if (!r)
                r = io_write_file(fd, CA_OWN_LIST, buffer_bytes(&pem), 0644);
        for (size_t i = 0; !r && i < p->n; i++)
                r = write_all(tls_fd, &p->related[i]);
        return r || !p->number ? r : write_number(fd, "number", p->number);
}

static int open_tls(const char *directory)
{
        int fd = directory[0] ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

        return fd >= 0 ? fd : directory[0] ? -errno : -ENOENT;
}

int ca_publish(CaPublication *p, Bytes crl)
{
        _cleanup_close_ int tls_fd = open_tls(p->directory);

        if (!p->directory[0])
                return HF_E_NOTHING_TO_DO;
        if (tls_fd < 0)
                return tls_fd;
        return p->number && !is_newer(p) ? HF_E_NOTHING_TO_DO : write_list(tls_fd, p, crl);
}

int ca_read_published(const char *directory, const char *place, Buffer *ret)
{
        _cleanup_close_ int tls_fd = open_tls(directory), fd = tls_fd < 0 ? tls_fd : open_place(tls_fd, place, false);

        return fd < 0 ? fd : io_read_file(fd, CA_OWN_LIST, ret);
}

/* 0: there is none. */
static uint64_t read_number(int fd, const char *file)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(NUMBER_SIZE);
        uint64_t number;

        if (io_read_file(fd, file, &text) || buffer_append(&text, "", 1))
                return 0;
        number = strtoull((const char *)text.data, NULL, 10);
        return number <= NUMBER_MAX ? number : 0;
}

static int open_published(const char *directory, const char *place)
{
        _cleanup_close_ int tls_fd = open_tls(directory);

        return tls_fd < 0 ? tls_fd : open_place(tls_fd, place, false);
}

static int open_authority(const Daemon *d, const AuthorityEntry *a)
{
        char place[STORE_PLACE_SIZE];

        snprintf(place, sizeof(place), CA_PLACE "%s", a->row.name);
        return open_published(d->config.tls_directory, place);
}

uint64_t ca_published_number(const Daemon *d, const AuthorityEntry *a)
{
        _cleanup_close_ int fd = open_authority(d, a);
        uint64_t begun = fd < 0 ? 0 : read_number(fd, "highest"), whole = fd < 0 ? 0 : read_number(fd, "number");

        return begun > whole ? begun : whole;
}

/* A higher one is of a time that a restored store does not know, and knows revocations that this does not know. */
static bool has_list(int fd, uint64_t number)
{
        return faccessat(fd, "crl.pem", F_OK, 0) == 0 && faccessat(fd, CA_OWN_LIST, F_OK, 0) == 0 &&
               read_number(fd, "number") >= number;
}

bool ca_is_published(const Daemon *d, const AuthorityEntry *a)
{
        _cleanup_close_ int fd = -EBADF;

        if (!d->config.tls_directory[0])
                return true;
        fd = open_authority(d, a);
        return fd >= 0 && a->row.crl_number && has_list(fd, a->row.crl_number);
}

/* ---- at an opening ---- */

/* Of a CA elsewhere: the one that is there, or one that came after it and was restored over. */
static bool has_list_elsewhere(int fd, const StoreListRow *row, Bytes der)
{
        _cleanup_buffer_ Buffer pem = BUFFER_INIT(PUBLISHED_MAX), there = BUFFER_INIT(PUBLISHED_MAX);
        _cleanup_(cert_crl_freep) CertCrl *crl = NULL;
        CrlFault fault;

        if (io_read_file(fd, CA_OWN_LIST, &there) || ca_pem_append("X509 CRL", der, &pem))
                return false;
        if (bytes_equal(buffer_bytes(&there), buffer_bytes(&pem)))
                return true;
        return cert_crl_read(buffer_bytes(&there), clock_wall(), &fault, &crl) == 0 && crl &&
               cert_crl_follows(crl, row->number, row->this_update);
}

static bool is_there(const CaScene *scene, const ListEntry *e, uint64_t number, Bytes der)
{
        _cleanup_close_ int fd = open_published(scene->directory, e->row.place);

        if (fd < 0)
                return false;
        return number ? has_list(fd, number) || read_number(fd, "highest") > number : has_list_elsewhere(fd, &e->row, der);
}

static int settle_list(VaultJob *j, const CaScene *scene, const ListEntry *e)
{
        _cleanup_(ca_publication_freep) CaPublication *p = NULL;
        _cleanup_buffer_ Buffer der = BUFFER_INIT(STORE_LIST_MAX);
        _cleanup_close_ int tls_fd = open_tls(scene->directory);
        uint64_t number = 0;
        int r = tls_fd < 0 ? tls_fd : store_get_list(j->store, e->row.place, &der);

        for (size_t i = 0; !list_is_elsewhere(e) && i < e->row.number.len; i++)
                number = number << 8 | e->row.number.data[i];
        if (r || is_there(scene, e, number, buffer_bytes(&der)))
                return r;
        r = ca_publication_new(scene, e->row.place, number, &p);
        if (!r)
                r = write_list(tls_fd, p, buffer_bytes(&der));
        if (!r)
                log_notice("%s: the revocation list in %s was not there and is now", scene->directory, e->row.place);
        return r;
}

void vault_job_settle_lists(VaultJob *j)
{
        const CaScene scene = {.directory = j->daemon->config.tls_directory, .registry = j->registry, .lists = j->lists};
        const ListEntry *e;
        int r = 0;

        for (size_t i = 0; scene.directory[0] && !r && (e = lists_at(j->lists, i)); i++)
                r = settle_list(j, &scene, e);
        if (r)
                log_error("%s: revocation lists cannot be put right: %s", scene.directory,
                                r < 0 ? strerror(-r) : hf_error_name(r));
}
