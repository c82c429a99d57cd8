/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Grant: one rule, one file, never over an old one. */
#include "cli/grant.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/name.h"
#include "cli/file.h"

#define POLICY_DIR "/etc/holdfast/policy.d"
#define POLICY_DIR_ENV "HOLDFAST_POLICY_DIR"

int grant_rule(Cli *cli, const char *user, const char *key, char ret[static GRANT_RULE_SIZE])
{
        bool known = getpwnam(user);
        uint64_t uid;
        int n;

        if (!name_is_valid(key))
                return cli_fail_with(cli, EXIT_CODE_USAGE, "InvalidName", "%s",
                                hf_strerror(HF_ERROR_INVALID_NAME));
        if (!known && strspn(user, "0123456789") != strlen(user))
                return cli_usage(cli, "There is no user '%s'. Nothing was done.", user);
        if (!known && !cli_number(cli, "--for", user, 0, UINT32_MAX - 1, &uid))
                return EXIT_CODE_USAGE;
        n = snprintf(ret, GRANT_RULE_SIZE, "allow user=%s key=%s op=use", user, key);
        return n < 0 || n >= GRANT_RULE_SIZE
                               ? cli_usage(cli, "The user's name is too long. Nothing was done.")
                               : 0;
}

/* Durable before the policy is loaded anew; mode for everybody to read, as policy is no secret. */
static int write_new(const char *path, const char *rule)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r;

        if (fd < 0)
                return -errno;
        r = io_write_full(fd, rule, strlen(rule));
        if (r == 0)
                r = io_write_full(fd, "\n", 1);
        if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
                r = -errno;
        if (r)
                (void)unlink(path);
        return r;
}

/* A key that takes the place of a retired one finds its rule there. */
static bool is_written(const char *path, const char *rule)
{
        size_t n = strlen(rule);
        _cleanup_buffer_ Buffer text = BUFFER_INIT(n + 1);

        return io_read_file(AT_FDCWD, path, &text) == 0 && text.len == n + 1 && text.data[n] == '\n' &&
               memcmp(text.data, rule, n) == 0;
}

int grant_path(const char *stem, char **ret)
{
        const char *wanted = secure_getenv(POLICY_DIR_ENV);
        char *path;

        if (asprintf(&path, "%s/50-%s.conf", wanted ? wanted : POLICY_DIR, stem) < 0)
                return -ENOMEM;
        *ret = path;
        return 0;
}

int grant_write(Cli *cli, const char *path, const char *rule, const char *done)
{
        CallArgs args = {0};
        int r;

        if (geteuid() != 0) {
                cli_talk(cli, "The rule belongs into %s; then `holdfast policy reload`.", path);
                return 0;
        }
        r = file_make_directories(path);
        if (r == 0)
                r = write_new(path, rule);
        if (r && !(r == -EEXIST && is_written(path, rule)))
                return cli_fail_with(cli, EXIT_CODE_FAILED, strerrorname_np(-r),
                                "%s. The rule was not written to %s: %s. Put it there and run "
                                "`holdfast policy reload`.",
                                done, path, strerror(-r));
        r = cli_try(cli, CALL_MANAGER("ReloadPolicy", &args), NULL);
        if (r)
                return cli_fail_with(cli, errors_exit_code(r), hf_error_to_name(r),
                                "%s. The rule is in %s, but not in force: %s", done, path, hf_error_sentence());
        cli_talk(cli, "The rule is in %s and in force.", path);
        return 0;
}
