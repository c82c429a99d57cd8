/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/tls-files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/reference.h"
#include "x509/chain.h"

#define FILES_MAX 12
#define FILE_NAME_SIZE (NAME_SIZE + 8)
#define LISTS_FILE "crl.pem"
#define DIRECTORY_MODE 0755
#define FILE_MODE 0644
#define GENERATIONS_TRIED 16
#define GENERATIONS_REMOVED 64 /* in one go; there is rarely more than one */
#define TEMPORARY "~"          /* behind a generation: the link that is about to become NAME */
#define LEAF_END "-----END CERTIFICATE-----\n"

/* ---- what is in the files ---- */

typedef struct TlsFile {
        char name[FILE_NAME_SIZE];
        Bytes a, b; /* one behind the other */
} TlsFile;

typedef struct TlsSet {
        TlsFile files[FILES_MAX];
        size_t n;
        Buffer reference, pins, fingerprint;
} TlsSet;

static void set_deinit(TlsSet *s)
{
        buffer_deinit(&s->reference);
        buffer_deinit(&s->pins);
        buffer_deinit(&s->fingerprint);
}

static void add(TlsSet *s, const char *name, Bytes a, Bytes b)
{
        TlsFile *f = &s->files[s->n++];

        snprintf(f->name, sizeof(f->name), "%s", name);
        f->a = a;
        f->b = b;
}

static void add_with(TlsSet *s, const char *stem, const char *suffix, Bytes content)
{
        char name[FILE_NAME_SIZE];

        snprintf(name, sizeof(name), "%.*s%s", NAME_MAX_LEN, stem, suffix);
        add(s, name, content, BYTES_NULL);
}

static int render_pins(const TlsContent *c, Buffer *ret)
{
        char text[45];
        int r = 0;

        for (size_t i = 0; !r && i + 32 <= c->pins.len; i += 32) {
                base64_encode(c->pins.data + i, 32, text);
                r = buffer_printf(ret, "sha256//%s\n", text);
        }
        return r;
}

/* As people compare them: pairs of digits with colons, as `openssl x509 -fingerprint -sha256` prints them. */
static int render_fingerprint(const TlsContent *c, Buffer *ret)
{
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        char hex[CERT_FINGERPRINT_SIZE];
        FindingList findings = {0};
        int r = cert_chain_parse(c->chain, FINDING_OF_OURS, &findings, &chain);

        if (r)
                return r;
        cert_chain_fingerprint(chain, hex);
        for (size_t i = 0; !r && hex[i]; i += 2)
                r = buffer_printf(ret, "%s%c%c", i ? ":" : "", hex[i] >= 'a' ? hex[i] - 'a' + 'A' : hex[i],
                                hex[i + 1] >= 'a' ? hex[i + 1] - 'a' + 'A' : hex[i + 1]);
        return r ? r : buffer_printf(ret, "\n");
}

static int add_layout(TlsSet *s, const TlsContent *c)
{
        bool named = strcmp(c->layout, "named") == 0;
        const char *stem = named ? c->name : "local";
        int r = 0;

        if (strcmp(c->layout, TLS_LAYOUT_USUAL) == 0)
                return 0;
        add_with(s, stem, ".crt", c->chain);
        add_with(s, stem, ".key", buffer_bytes(&s->reference));
        if (c->trust.len)
                add(s, "ca.crt", c->trust, BYTES_NULL);
        if (named)
                r = render_fingerprint(c, &s->fingerprint);
        if (named && !r)
                add(s, "fingerprint.txt", buffer_bytes(&s->fingerprint), BYTES_NULL);
        return r;
}

bool tls_layout_is_known(const char *layout)
{
        return strcmp(layout, TLS_LAYOUT_USUAL) == 0 || strcmp(layout, "local") == 0 || strcmp(layout, "named") == 0;
}

bool tls_layout_fits(const char *layout, const char *name)
{
        return tls_layout_is_known(layout) && (strcmp(layout, "named") || strcmp(name, "ca"));
}

static int render(const TlsContent *c, TlsSet *s)
{
        const uint8_t *end = c->chain.len ? memmem(c->chain.data, c->chain.len, LEAF_END, strlen(LEAF_END)) : NULL;
        char uuid[UUID_TEXT_SIZE];
        size_t leaf;
        int r;

        if (!end || !tls_layout_fits(c->layout, c->name) || !name_is_valid(c->name))
                return HF_E_INVALID_ARGS;
        leaf = (size_t)(end - c->chain.data) + strlen(LEAF_END);
        *s = (TlsSet){.reference = BUFFER_INIT(REFERENCE_TEXT_MAX), .pins = BUFFER_INIT(4096), .fingerprint = BUFFER_INIT(128)};
        uuid_format(&c->key, uuid);
        r = reference_encode(c->key_name, uuid, c->digest, c->spki, &s->reference);
        if (!r)
                r = render_pins(c, &s->pins);
        if (r)
                return r;
        add(s, "cert.pem", BYTES(c->chain.data, leaf), BYTES_NULL);
        add(s, "chain.pem", BYTES(c->chain.data + leaf, c->chain.len - leaf), BYTES_NULL);
        add(s, "fullchain.pem", c->chain, BYTES_NULL);
        add(s, "key.pem", buffer_bytes(&s->reference), BYTES_NULL);
        add(s, "bundle.pem", c->chain, buffer_bytes(&s->reference));
        if (c->trust.len)
                add(s, "ca.pem", c->trust, BYTES_NULL);
        if (c->pins.len)
                add(s, "pins.txt", buffer_bytes(&s->pins), BYTES_NULL);
        if (c->lists.len)
                add(s, LISTS_FILE, c->lists, BYTES_NULL);
        return add_layout(s, c);
}

/* ---- names ---- */

/* ".NAME.NUMBER": whose generation it is. */
static bool parse_generation(const char *text, char ret_name[static NAME_SIZE])
{
        const char *dot = strrchr(text, '.');
        size_t n;

        if (text[0] != '.' || !dot || dot == text || !dot[1] || dot[1 + strspn(dot + 1, "0123456789")])
                return false;
        n = (size_t)(dot - text) - 1;
        if (n == 0 || n > NAME_MAX_LEN)
                return false;
        memcpy(ret_name, text + 1, n);
        ret_name[n] = '\0';
        return name_is_valid(ret_name);
}

/* The generation NAME points to; "" if it is no link of ours. */
static void read_link(int dir_fd, const char *name, char ret[static TLS_GENERATION_SIZE])
{
        char whose[NAME_SIZE];
        ssize_t n = readlinkat(dir_fd, name, ret, TLS_GENERATION_SIZE - 1);

        ret[n > 0 && n < TLS_GENERATION_SIZE - 1 ? n : 0] = '\0';
        if (ret[0] && (!parse_generation(ret, whose) || strcmp(whose, name)))
                ret[0] = '\0';
}

/* ---- removing ---- */

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

static DIR *open_listing(int dir_fd, const char *name)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d)
                safe_close(fd);
        return d;
}

/* One directory of files; an empty directory in it goes too, anything deeper is nothing we have made. */
static int remove_generation(int dir_fd, const char *name)
{
        _cleanup_(closedirp) DIR *d = open_listing(dir_fd, name);
        struct dirent *e;

        if (!d)
                return errno == ENOENT ? 0 : -errno;
        while ((e = readdir(d)))
                if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && unlinkat(dirfd(d), e->d_name, 0) < 0)
                        (void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* A link or a generation. */
static int remove_entry(int dir_fd, const char *name)
{
        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        return errno == EISDIR || errno == EPERM ? remove_generation(dir_fd, name) : -errno;
}

/* All generations of NAME, and links that were about to point to one, but these two. */
static int remove_others(int dir_fd, const char *name, const char *keep, const char *keep_too)
{
        char found[GENERATIONS_REMOVED][TLS_GENERATION_SIZE], whose[NAME_SIZE], text[TLS_GENERATION_SIZE];
        _cleanup_(closedirp) DIR *d = open_listing(dir_fd, ".");
        size_t n = 0, len;
        struct dirent *e;
        int r = 0;

        if (!d)
                return -errno;
        while (n < GENERATIONS_REMOVED && (e = readdir(d))) {
                len = strlen(e->d_name);
                if (len == 0 || len >= sizeof(text))
                        continue;
                memcpy(text, e->d_name, len + 1);
                if (text[len - 1] == TEMPORARY[0])
                        text[len - 1] = '\0';
                if (parse_generation(text, whose) && strcmp(whose, name) == 0 && strcmp(e->d_name, keep) &&
                                strcmp(e->d_name, keep_too))
                        memcpy(found[n++], e->d_name, len + 1);
        }
        for (size_t i = 0; !r && i < n; i++)
                r = remove_entry(dir_fd, found[i]);
        return r;
}

/* ---- writing ---- */

int tls_files_open(const char *path, int *ret_fd)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & 0022))
                return HF_E_STORE_UNSAFE;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* In a directory that nobody looks into yet, so without a temporary name. */
static int write_file(int dir_fd, const TlsFile *f)
{
        _cleanup_close_ int fd = openat(dir_fd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        int r;

        if (fd < 0)
                return -errno;
        r = io_write_full(fd, f->a.data, f->a.len);
        if (!r)
                r = io_write_full(fd, f->b.data, f->b.len);
        if (r)
                return r;
        return fchmod(fd, FILE_MODE) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_set(int dir_fd, const char *generation, const TlsSet *s)
{
        _cleanup_close_ int fd = openat(dir_fd, generation, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r = 0;

        if (fd < 0)
                return -errno;
        for (size_t i = 0; !r && i < s->n; i++)
                r = write_file(fd, &s->files[i]);
        if (!r && fchmod(fd, DIRECTORY_MODE) < 0)
                r = -errno;
        if (!r)
                r = io_sync_dir(fd);
        return r ? r : io_sync_dir(dir_fd);
}

/* The time makes it another than any before; where the clock went back, one more. */
static int make_generation(int dir_fd, const char *name, char ret[static TLS_GENERATION_SIZE])
{
        unsigned long long number = clock_wall();

        for (int i = 0; i < GENERATIONS_TRIED; i++) {
                snprintf(ret, TLS_GENERATION_SIZE, ".%s.%llu", name, number++);
                if (mkdirat(dir_fd, ret, 0700) == 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

int tls_files_write(int dir_fd, const TlsContent *content, char ret_generation[static TLS_GENERATION_SIZE])
{
        __attribute__((cleanup(set_deinit))) TlsSet set = {.n = 0};
        int r = render(content, &set);

        if (!r)
                r = make_generation(dir_fd, content->name, ret_generation);
        if (r)
                return r;
        r = write_set(dir_fd, ret_generation, &set);
        if (r)
                (void)remove_generation(dir_fd, ret_generation);
        return r;
}

/* A directory that somebody made under this name is not ours to remove, and must not keep the identity from its programs. */
static int move_aside(int dir_fd, const char *name, const char *generation)
{
        char aside[NAME_SIZE + 32];

        snprintf(aside, sizeof(aside), "%.*s.replaced-%s", NAME_MAX_LEN, name, strrchr(generation, '.') + 1);
        if (renameat2(dir_fd, name, dir_fd, aside, RENAME_NOREPLACE) < 0)
                return -errno;
        log_notice("a directory %s stood where the files of that identity belong; it is %s now", name, aside);
        return 0;
}

static int take_place(int dir_fd, const char *temporary, const char *name)
{
        return renameat(dir_fd, temporary, dir_fd, name) < 0 ? -errno : 0;
}

int tls_files_switch(int dir_fd, const char *name, const char *generation)
{
        char before[TLS_GENERATION_SIZE], temporary[TLS_GENERATION_SIZE + 1];
        int r;

        read_link(dir_fd, name, before);
        snprintf(temporary, sizeof(temporary), "%s" TEMPORARY, generation);
        if (symlinkat(generation, dir_fd, temporary) < 0)
                return -errno;
        r = take_place(dir_fd, temporary, name);
        if (r == -EISDIR) {
                r = move_aside(dir_fd, name, generation);
                if (r == 0)
                        r = take_place(dir_fd, temporary, name);
        }
        if (r) {
                (void)unlinkat(dir_fd, temporary, 0);
                return r;
        }
        r = io_sync_dir(dir_fd);
        (void)remove_others(dir_fd, name, generation, before);
        return r;
}

int tls_files_remove(int dir_fd, const char *name)
{
        int r;

        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT && errno != EISDIR)
                return -errno;
        r = remove_others(dir_fd, name, "", "");
        return r ? r : io_sync_dir(dir_fd);
}

/* ---- comparing ---- */

static bool is_as_written(int fd, mode_t type, mode_t mode)
{
        struct stat st;

        return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && (st.st_mode & 07777) == mode && st.st_uid == geteuid();
}

static bool same_file(int dir_fd, const TlsFile *f)
{
        _cleanup_close_ int fd = openat(dir_fd, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        _cleanup_buffer_ Buffer content = BUFFER_INIT(f->a.len + f->b.len);

        return fd >= 0 && is_as_written(fd, S_IFREG, FILE_MODE) && io_read_file(dir_fd, f->name, &content) == 0 &&
               content.len == f->a.len + f->b.len && bytes_equal(BYTES(content.data, f->a.len), f->a) &&
               bytes_equal(BYTES(content.data + f->a.len, f->b.len), f->b);
}

static bool same_set(int dir_fd, const char *generation, const TlsSet *s)
{
        _cleanup_(closedirp) DIR *d = open_listing(dir_fd, generation);
        struct dirent *e;
        size_t n = 0;

        if (!d || !is_as_written(dirfd(d), S_IFDIR, DIRECTORY_MODE))
                return false;
        for (size_t i = 0; i < s->n; i++)
                if (!same_file(dirfd(d), &s->files[i]))
                        return false;
        while ((e = readdir(d)))
                n += strcmp(e->d_name, LISTS_FILE) != 0;
        return n == s->n + 2; /* . and .. */
}

int tls_files_compare(int dir_fd, const TlsContent *content)
{
        __attribute__((cleanup(set_deinit))) TlsSet set = {.n = 0};
        TlsContent without = *content;
        char generation[TLS_GENERATION_SIZE];
        struct stat st;
        int r;

        without.lists = BYTES_NULL;
        r = render(&without, &set);

        if (r)
                return r;
        if (fstatat(dir_fd, content->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? HF_E_NOTHING_TO_DO : -errno;
        read_link(dir_fd, content->name, generation);
        return generation[0] && same_set(dir_fd, generation, &set) ? 0 : HF_E_CERTIFICATE_UNUSABLE;
}

static bool same_lists(int dir_fd, const TlsContent *c)
{
        char generation[TLS_GENERATION_SIZE];
        _cleanup_close_ int fd = -EBADF;

        read_link(dir_fd, c->name, generation);
        fd = generation[0] ? openat(dir_fd, generation, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -EBADF;
        if (fd < 0)
                return false;
        if (c->lists.len == 0)
                return faccessat(fd, LISTS_FILE, F_OK, 0) < 0 && errno == ENOENT;
        return same_file(fd, &(TlsFile){.name = LISTS_FILE, .a = c->lists});
}

int tls_files_refresh(int dir_fd, const TlsContent *content)
{
        char generation[TLS_GENERATION_SIZE];
        int r;

        if (same_lists(dir_fd, content))
                return HF_E_NOTHING_TO_DO;
        r = tls_files_write(dir_fd, content, generation);
        return r ? r : tls_files_switch(dir_fd, content->name, generation);
}

/* ---- settling ---- */

static void settle_one(int dir_fd, const TlsContent *c, TlsDifferenceFunc found, void *userdata)
{
        char generation[TLS_GENERATION_SIZE];
        int different = tls_files_compare(dir_fd, c), r;

        if (different == 0)
                return;
        r = tls_files_write(dir_fd, c, generation);
        if (!r)
                r = tls_files_switch(dir_fd, c->name, generation);
        found(userdata, c->name, r ? TLS_FAILED : different == HF_E_NOTHING_TO_DO ? TLS_MISSING : TLS_CHANGED, r);
}

static bool is_one_of(const char *name, const TlsContent *items, size_t n)
{
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = (low + high) / 2;
                int c = strcmp(name, items[middle].name);

                if (c == 0)
                        return true;
                if (c < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return false;
}

/* A link to no identity, one that was about to become NAME, a generation that is not pointed to. */
static bool is_needless(int dir_fd, const char *entry, const TlsContent *items, size_t n)
{
        char text[TLS_GENERATION_SIZE], name[NAME_SIZE], current[TLS_GENERATION_SIZE];
        size_t len = strlen(entry);

        if (name_is_valid(entry)) {
                read_link(dir_fd, entry, current);
                return current[0] && !is_one_of(entry, items, n);
        }
        if (len == 0 || len >= sizeof(text))
                return false;
        memcpy(text, entry, len + 1);
        if (text[len - 1] == TEMPORARY[0]) {
                text[len - 1] = '\0';
                return parse_generation(text, name);
        }
        if (!parse_generation(text, name))
                return false;
        read_link(dir_fd, name, current);
        return strcmp(current, text) != 0;
}

static size_t find_needless(int dir_fd, const TlsContent *items, size_t n,
                char ret[static GENERATIONS_REMOVED][TLS_GENERATION_SIZE])
{
        _cleanup_(closedirp) DIR *d = open_listing(dir_fd, ".");
        struct dirent *e;
        size_t found = 0;

        while (d && found < GENERATIONS_REMOVED && (e = readdir(d)))
                if (is_needless(dir_fd, e->d_name, items, n))
                        memcpy(ret[found++], e->d_name, strlen(e->d_name) + 1);
        return found;
}

/* The generation of a link that is removed here is found by the next look. */
int tls_files_settle(int dir_fd, const TlsContent *items, size_t n, TlsDifferenceFunc found, void *userdata)
{
        char needless[GENERATIONS_REMOVED][TLS_GENERATION_SIZE];
        size_t count;
        int r = 0;

        for (size_t i = 0; i < n; i++)
                settle_one(dir_fd, &items[i], found, userdata);
        while (!r && (count = find_needless(dir_fd, items, n, needless)) > 0)
                for (size_t i = 0; !r && i < count; i++) {
                        bool visible = name_is_valid(needless[i]);

                        r = remove_entry(dir_fd, needless[i]);
                        if (visible || r)
                                found(userdata, needless[i], r ? TLS_FAILED : TLS_REMOVED, r);
                }
        return r ? r : io_sync_dir(dir_fd);
}
