/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/name.h"
#include "x509/chain.h"

#define FILE_NAME_SIZE (NAME_SIZE + 8)

typedef enum Layout {
        LAYOUT_PEM,
        LAYOUT_LOCAL,
        LAYOUT_NAMED,
        _LAYOUT_MAX,
} Layout;

/* A file and what is in it: one other, or two one behind the other. {} stands for the name of the identity. */
static const struct {
        Layout layout;
        const char *file, *first, *second;
        bool tells; /* is there in this layout alone */
} rows[] = {
        {LAYOUT_PEM, "chain.pem", NULL, NULL, true},
        {LAYOUT_PEM, "fullchain.pem", "cert.pem", "chain.pem", false},
        {LAYOUT_PEM, "bundle.pem", "fullchain.pem", "key.pem", false},
        {LAYOUT_LOCAL, "local.crt", "fullchain.pem", NULL, true},
        {LAYOUT_LOCAL, "local.key", "key.pem", NULL, true},
        {LAYOUT_LOCAL, "ca.crt", "ca.pem", NULL, false},
        {LAYOUT_NAMED, "{}.crt", "fullchain.pem", NULL, true},
        {LAYOUT_NAMED, "{}.key", "key.pem", NULL, true},
        {LAYOUT_NAMED, "ca.crt", "ca.pem", NULL, false},
        {LAYOUT_NAMED, "fingerprint.txt", NULL, NULL, true},
};

typedef struct Look {
        int fd;
        const char *name;
        char missing[FINDING_DETAIL_SIZE], other[FINDING_DETAIL_SIZE];
} Look;

static bool is_there(const Look *l, const char *file)
{
        struct stat st;

        return fstatat(l->fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void file_name(const Look *l, const char *template, char ret[static FILE_NAME_SIZE])
{
        bool named = template[0] == '{';

        snprintf(ret, FILE_NAME_SIZE, "%.*s%s", NAME_MAX_LEN, named ? l->name : "", named ? template + 2 : template);
}

/* Of an identity with one of these names the files are called the same in another layout. */
static bool is_ambiguous(const char *name)
{
        return strcmp(name, "ca") == 0 || strcmp(name, "local") == 0;
}

static bool has_layout(const Look *l, Layout layout)
{
        char file[FILE_NAME_SIZE];

        if (layout == LAYOUT_NAMED && is_ambiguous(l->name))
                return is_there(l, "fingerprint.txt");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                file_name(l, rows[i].file, file);
                if (rows[i].layout == layout && rows[i].tells && is_there(l, file))
                        return true;
        }
        return layout == LAYOUT_PEM;
}

/* Appends what is in this file, if it is one to read. */
static int append(const Look *l, const char *file, Buffer *content)
{
        int r = io_read_file(l->fd, file, content);

        return r == -ENOENT || r == -ELOOP || r == -EFBIG ? -ENODATA : r;
}

/* -ENODATA: a file that should be there is none. */
static int compare(const Look *l, const char *file, const char *first, const char *second)
{
        _cleanup_buffer_ Buffer is = BUFFER_INIT(CERT_ANCHORS_FILE_MAX), should = BUFFER_INIT(2 * CERT_ANCHORS_FILE_MAX);
        int r = append(l, file, &is);

        if (r == 0 && first)
                r = append(l, first, &should);
        if (r == 0 && second)
                r = append(l, second, &should);
        if (r || !first)
                return r;
        return bytes_equal(buffer_bytes(&is), buffer_bytes(&should)) ? 0 : -ENODATA;
}

static void note(char ret[static FINDING_DETAIL_SIZE], const char *file)
{
        size_t n = strlen(ret);

        snprintf(ret + n, FINDING_DETAIL_SIZE - n, "%s%s", n ? ", " : "", file);
}

static int look_at(Look *l, size_t i)
{
        const char *first = rows[i].first, *second = rows[i].second;
        char file[FILE_NAME_SIZE];
        int r;

        file_name(l, rows[i].file, file);
        if (!is_there(l, file)) {
                if (first && !second && !is_there(l, first)) /* ca.crt of no ca.pem */
                        return 0;
                note(l->missing, file);
                return 0;
        }
        r = compare(l, file, first, second);
        if (r == -ENODATA && !l->other[0] && first)
                snprintf(l->other, sizeof(l->other), "%s with what is in %s%s%s", file, first, second ? " and " : "",
                                second ? second : "");
        return r == -ENODATA ? 0 : r;
}

int cert_layout_check(const char *directory, const char *name, FindingList *findings)
{
        _cleanup_close_ int parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -EBADF;
        Look l = {.name = name};
        int r = 0;

        if (!name_is_valid(name) || parent < 0 || (fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
                return 0;
        l.fd = fd;
        for (Layout layout = 0; layout < _LAYOUT_MAX; layout++)
                for (size_t i = 0; r == 0 && has_layout(&l, layout) && i < ELEMENTSOF(rows); i++)
                        if (rows[i].layout == layout)
                                r = look_at(&l, i);
        if (r == 0 && (l.missing[0] || l.other[0]))
                findings_add(findings, FINDING_FILES_MISSING, FINDING_OF_OURS, 0, l.missing[0] ? l.missing : l.other);
        return r;
}
