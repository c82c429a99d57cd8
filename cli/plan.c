/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "cli/file.h"
#include "cli/tls-files.h"

#define UNIT_DIR "/etc/systemd/system"
#define CONTENT_MAX 16384
#define STEM_SIZE 128 /* of holdfast-PROGRAM-NAME, where NAME has at most 64 */
#define UNIT_SIZE 256
#define MARK "# Written by `holdfast setup`, which replaces it when it is run again.\n"
#define CHROOT_SOCKET "/run/holdfast/bus" /* where libholdfast looks for it, seen from inside */

/* Is it there, and whose is it? Ours begins with the mark, so that nothing of anybody else is ever replaced. */
static const char *file_state(const char *path, const char *content)
{
        _cleanup_buffer_ Buffer there = BUFFER_INIT(CONTENT_MAX);
        int r = io_read_file(AT_FDCWD, path, &there);

        if (r == -ENOENT)
                return "new";
        if (!r && bytes_equal(buffer_bytes(&there), bytes_str(content)))
                return "same";
        return !r && there.len >= strlen(MARK) && memcmp(there.data, MARK, strlen(MARK)) == 0 ? "old" : "foreign";
}

__attribute__((format(printf, 3, 4))) static int add_file(json_t *files, const char *name, const char *format, ...)
{
        const char *wanted = secure_getenv("HOLDFAST_UNIT_DIR");
        _cleanup_free_ char *path = NULL, *text = NULL, *content = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0 || asprintf(&content, MARK "%s", text) < 0 ||
                        asprintf(&path, "%s/%s", wanted ? wanted : UNIT_DIR, name) < 0)
                return -ENOMEM;
        return json_array_append_new(files, json_pack("{s:s, s:s, s:s}", "path", path, "content", content, "state",
                                                            file_state(path, content)))
                               ? -ENOMEM
                               : 0;
}

/* Of a template all instances that run. */
static void name_running(const char *unit, char ret[static UNIT_SIZE])
{
        const char *at = strstr(unit, "@.");

        snprintf(ret, UNIT_SIZE, "%.*s%s%s", at ? (int)(at - unit) + 1 : 0, unit, at ? "*" : "", at ? at + 1 : unit);
}

/* systemd does not notice that a symlink is exchanged for another, so the path unit has the directory in which it lies; and
 * what changes while the service runs is lost to a path unit, so the service stays, and sees each change itself. */
static int add_reload(json_t *files, const PlanParams *p, const char stem[static STEM_SIZE])
{
        char path[UNIT_SIZE], service[UNIT_SIZE], running[UNIT_SIZE];
        int r;

        snprintf(path, sizeof(path), "%.*s.path", STEM_SIZE - 1, stem);
        snprintf(service, sizeof(service), "%.*s.service", STEM_SIZE - 1, stem);
        r = add_file(files, path,
                        "[Unit]\nDescription=Certificate of %s, for %s\n\n"
                        "[Path]\nPathChanged=%s\n\n[Install]\nWantedBy=multi-user.target\n",
                        p->name, p->unit, tls_directory());
        if (r)
                return r;
        name_running(p->unit, running);
        return add_file(files, service,
                        "[Unit]\nDescription=Reload %s for the certificate of %s\n\n"
                        "[Service]\nType=exec\nEnvironment=HOLDFAST_TLS=%s\n"
                        "ExecStart=%s watch %s --seen %%t/%s.seen -- systemctl try-reload-or-restart %s\n",
                        p->unit, p->name, tls_directory(), p->program, p->name, stem, running);
}

static int add_files(json_t *files, const PlanParams *p, const char *stem)
{
        char name[UNIT_SIZE];
        int r;

        snprintf(name, sizeof(name), "%s.d/holdfast.conf", p->unit);
        r = add_file(files, name,
                        "[Unit]\nWants=holdfastd.socket\nAfter=holdfastd.socket\n\n"
                        "[Service]\nEnvironment=OPENSSL_CONF=%s\n",
                        tls_openssl_conf());
        if (r == 0)
                r = add_reload(files, p, stem);
        if (r || !p->chroot[0])
                return r;
        snprintf(name, sizeof(name), "holdfastd.socket.d/%s.conf", p->recipe->name);
        return add_file(files, name, "[Socket]\nListenStream=%s%s\n", p->chroot, CHROOT_SOCKET);
}

__attribute__((format(printf, 2, 3))) static int add_command(json_t *commands, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        return n < 0 || json_array_append_new(commands, json_string(text)) ? -ENOMEM : 0;
}

static int add_commands(json_t *commands, const PlanParams *p, const char *stem)
{
        char running[UNIT_SIZE];
        int r = add_command(commands, "systemctl daemon-reload");

        if (!r && p->chroot[0])
                r = add_command(commands, "systemctl restart holdfastd.socket holdfastd.service");
        if (!r)
                r = add_command(commands, "systemctl enable --now %s.path", stem);
        name_running(p->unit, running);
        return r ? r : add_command(commands, "systemctl restart '%s'", running);
}

json_t *plan_new(const PlanParams *p)
{
        _cleanup_json_ json_t *files = json_array(), *commands = json_array(), *plan = NULL;
        json_t *lines = recipe_lines(p->recipe, p->name);
        char stem[STEM_SIZE];
        int r = files && commands && lines ? 0 : -ENOMEM;

        snprintf(stem, sizeof(stem), "holdfast-%s-%s", p->recipe->name, p->name);
        if (!r && p->unit) {
                r = add_files(files, p, stem);
                if (!r)
                        r = add_commands(commands, p, stem);
        }
        plan = json_pack("{s:s, s:s, s:b, s:s*, s:s*, s:o, s:s, s:O, s:O}", "program", p->recipe->name, "identity", p->name,
                        "present", tls_is_there(p->name), "user", p->user, "user-from", p->user_from, "lines", lines, "lines-for",
                        p->recipe->where, "files", files, "commands", commands);
        return r ? NULL : TAKE_PTR(plan);
}

static const char *member(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

static int write_one(Cli *cli, json_t *file)
{
        const char *path = member(file, "path"), *state = member(file, "state"), *content = member(file, "content");
        int r;

        if (strcmp(state, "same") == 0)
                return 0;
        if (strcmp(state, "foreign") == 0)
                return cli_fail_with(cli, EXIT_CODE_FAILED, "EEXIST",
                                "%s was not written by `holdfast setup` and is left as it is; see there what is missing.", path);
        r = file_make_directories(path);
        if (r == 0)
                r = file_write(path, bytes_str(content));
        if (r)
                return cli_fail_file(cli, path, r);
        json_object_set_new(file, "state", json_string("written"));
        return 0;
}

int plan_write_files(Cli *cli, json_t *plan)
{
        int first = 0;
        json_t *file;
        size_t i;

        json_array_foreach(json_object_get(plan, "files"), i, file)
        {
                int r = write_one(cli, file);

                first = first ? first : r;
        }
        return first;
}

static void print_list(const json_t *list)
{
        for (size_t i = 0; i < json_array_size(list); i++)
                printf("%s\n", json_string_value(json_array_get(list, i)));
}

/* Everything but what is to be put somewhere is a comment, so that each part can be taken as it stands. */
void plan_print(const json_t *plan)
{
        const json_t *files = json_object_get(plan, "files"), *rule = json_object_get(plan, "rule");
        const json_t *commands = json_object_get(plan, "commands");

        if (!json_is_true(json_object_get(plan, "present")))
                printf("# There is no %s/%s yet: `holdfast cert set %s` puts the certificate there.\n\n", tls_directory(),
                                member(plan, "identity"), member(plan, "identity"));
        printf("# %s, for %s\n", member(plan, "program"), member(plan, "lines-for"));
        print_list(json_object_get(plan, "lines"));
        for (size_t i = 0; i < json_array_size(files); i++) {
                const json_t *file = json_array_get(files, i);

                printf("\n# %s (%s)\n%s", member(file, "path"), member(file, "state"), member(file, "content") + strlen(MARK));
        }
        if (member(plan, "user")[0])
                printf("\n# %s signs (%s)\n", member(plan, "user"), member(plan, "user-from"));
        if (member(rule, "text")[0])
                printf("%s# %s (%s)\n%s\n", member(plan, "user")[0] ? "" : "\n", member(rule, "path"), member(rule, "state"),
                                member(rule, "text"));
        if (json_array_size(commands) > 0)
                printf("\n# then\n");
        print_list(commands);
}
