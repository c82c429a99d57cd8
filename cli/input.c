/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Input: files, option values, times. Each has a limit that is kept while reading, not after. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"

int input_read(Cli *cli, const char *path, size_t limit, Buffer *ret)
{
        bool is_stdin = !path || strcmp(path, "-") == 0;
        _cleanup_close_ int opened = -EBADF;
        uint8_t piece[4096];
        ssize_t n;
        int fd = STDIN_FILENO;

        if (!is_stdin) {
                opened = fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
                if (fd < 0)
                        return cli_fail_file(cli, path, errno);
        }
        for (;;) {
                n = read(fd, piece, sizeof(piece));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                if (ret->len + (size_t)n > limit)
                        return cli_fail_with(cli, EXIT_CODE_USAGE, "MessageTooLarge",
                                        "%s has more than %zu bytes. Nothing was done.",
                                        is_stdin ? "Standard input" : path, limit);
                if (buffer_append(ret, piece, (size_t)n) < 0)
                        return cli_fail_file(cli, path ? path : "standard input", ENOMEM);
        }
        return n < 0 ? cli_fail_file(cli, is_stdin ? "standard input" : path, errno) : 0;
}

int input_read_public(Cli *cli, const char *path, size_t limit, Buffer *ret)
{
        static const char mark[] = "PRIVATE KEY-----";
        int r = input_read(cli, path, limit, ret);

        if (r || ret->len == 0 || !memmem(ret->data, ret->len, mark, strlen(mark)))
                return r;
        explicit_bzero(ret->data, ret->len);
        return cli_usage(cli, "%s holds a private key. Nothing was sent; give a file with public parts alone.",
                        path ? path : "Standard input");
}

int input_value(Cli *cli, const char *value, size_t limit, Buffer *ret)
{
        if (value[0] == '@')
                return input_read(cli, value + 1, limit, ret);
        if (strlen(value) > limit)
                return cli_usage(cli, "The value has more than %zu bytes.", limit);
        return buffer_append(ret, value, strlen(value)) < 0 ? cli_fail_file(cli, "value", ENOMEM) : 0;
}

static const struct {
        const char *unit;
        uint64_t seconds;
} units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}, {"w", 7 * 86400}};

static bool time_ago(const char *text, uint64_t now, uint64_t *ret)
{
        char *unit;
        unsigned long n;

        if (text[0] < '0' || text[0] > '9')
                return false;
        n = strtoul(text, &unit, 10);
        if (n > 1000000)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strcmp(unit, units[i].unit) == 0) {
                        uint64_t ago = n * units[i].seconds * USEC_PER_SEC;

                        *ret = ago > now ? 0 : now - ago;
                        return true;
                }
        return false;
}

bool input_time(const char *text, uint64_t now, uint64_t *ret)
{
        static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"};

        if (time_ago(text, now, ret))
                return true;
        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                struct tm tm = {0};
                const char *end = strptime(text, forms[i], &tm);
                time_t t;

                if (!end || *end)
                        continue;
                t = timegm(&tm);
                if (t < 0)
                        return false;
                *ret = (uint64_t)t * USEC_PER_SEC;
                return true;
        }
        return false;
}

int input_note(Cli *cli, const char *path, Buffer *ret)
{
        int r = input_read(cli, path, ret->limit - 1, ret);

        if (r)
                return r;
        while (ret->len >= 2 && ret->data[ret->len - 1] == '\n' && ret->data[ret->len - 2] == '\n')
                ret->len--;
        if (buffer_append(ret, "", 1) < 0 || strlen((const char *)ret->data) + 1 != ret->len)
                return cli_usage(cli, "%s is not a note.", path);
        return 0;
}
