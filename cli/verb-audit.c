/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* audit: read, follow, export and prune the log, and print the key it is sealed with. `verify` is
 * verb-verify.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "audit/event.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/file.h"
#include "cli/verify.h"
#include "dbus/names.h"

#define FOLLOW_MSEC 500
#define NOTE_MAX 4096
#define COPY_MAX 65536

/* What `show` and `tail` ask for, beyond where to begin. */
typedef struct Filter {
        const char *event;
        bool has_caller, legend;      /* legend: printed already */
        uint64_t caller, since, left; /* left: records still wanted */
} Filter;

static int make_filter(Cli *cli, Filter *ret)
{
        const Options *o = &cli->options;
        Filter f = {.event = o->event, .left = UINT64_MAX};

        if (o->limit && !cli_number(cli, "--limit", o->limit, 1, UINT64_MAX - 1, &f.left))
                return EXIT_CODE_USAGE;
        if (o->since && !input_time(o->since, clock_wall(), &f.since))
                return cli_usage(cli, "--since is a date, a time or a number of s, min, h, d or w, not '%s'.",
                                o->since);
        if (o->caller) {
                const struct passwd *pw = getpwnam(o->caller);

                f.has_caller = true;
                f.caller = pw ? pw->pw_uid : 0;
                if (!pw && (o->caller[0] < '0' || o->caller[0] > '9'))
                        return cli_usage(cli, "There is no user '%s'.", o->caller);
                if (!pw && !cli_number(cli, "--caller", o->caller, 0, UINT32_MAX - 1, &f.caller))
                        return EXIT_CODE_USAGE;
        }
        *ret = f;
        return 0;
}

static bool is_frame(const char *member)
{
        static const char *const frame[] = {
                        "seq", "prev", "t", "event", "dur", "mac", "name", "uid", "state", "note"};

        for (size_t i = 0; i < ELEMENTSOF(frame); i++)
                if (strcmp(frame[i], member) == 0)
                        return true;
        return false;
}

/* One record for a person. Its strings are escaped in the log already; jansson turned them back, so escape
 * again. */
void audit_print_record(const json_t *record)
{
        const char *t = json_string_value(json_object_get(record, "t")), *member;
        const json_t *name = json_object_get(record, "name"), *uid = json_object_get(record, "uid");
        json_t *value;

        printf("%8" JSON_INTEGER_FORMAT " %.19sZ %-15s ", json_integer_value(json_object_get(record, "seq")),
                        t ? t : "?", json_string_value(json_object_get(record, "event")));
        printf("%-20s ", name ? json_string_value(name) : "-");
        if (uid)
                printf("%6" JSON_INTEGER_FORMAT, json_integer_value(uid));
        else
                printf("%6s", "-");
        json_object_foreach((json_t *)record, member, value)
        {
                if (is_frame(member))
                        continue;
                printf(" %s=", member);
                json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        }
        putchar('\n');
}

static void print_legend_once(const Cli *cli, bool *printed)
{
        if (!*printed && !cli->options.no_legend)
                printf("%8s %-20s %-15s %-20s %6s DETAILS\n", "SEQ", "TIME", "EVENT", "KEY", "UID");
        *printed = true;
}

static int print_line(Cli *cli, const char *line, bool *legend, uint64_t *last)
{
        _cleanup_json_ json_t *record = json_loads(line, 0, NULL);

        if (!record)
                return cli_fail_with(cli, EXIT_CODE_VERIFICATION, "LogDamaged",
                                "A record of the log is not JSON.");
        *last = (uint64_t)json_integer_value(json_object_get(record, "seq"));
        if (cli->options.json)
                puts(line);
        else
                print_legend_once(cli, legend), audit_print_record(record);
        return 0;
}

/* Into `to`, of which the last f->left stay, or printed. */
static int take_line(Cli *cli, Filter *f, const json_t *line, json_t *to, uint64_t *last)
{
        if (!to) {
                f->left--;
                return print_line(cli, json_string_value(line), &f->legend, last);
        }
        if (json_array_size(to) >= f->left)
                json_array_remove(to, 0);
        return json_array_append(to, (json_t *)line) < 0 ? cli_fail_file(cli, "log", ENOMEM) : 0;
}

/* One page from *next on; *next is 0 at the end. *last is the record printed last. */
static int read_page(Cli *cli, Filter *f, uint64_t *next, json_t *to, uint64_t *last)
{
        uint64_t limit = to || f->left > HF_LIST_PAGE_MAX ? HF_LIST_PAGE_MAX : f->left;
        _cleanup_json_ json_t *reply = NULL;
        const json_t *line;
        CallArgs args = {0};
        size_t i;
        int r;

        cli->hint = "--event is a pattern such as 'key.*': letters, digits, dots and hyphens, * for any run "
                    "and ? for one.";
        args_number(&args, NULL, HF_ARG_U64, *next);
        args_number(&args, NULL, HF_ARG_U32, limit);
        args_string(&args, "event", f->event);
        if (f->has_caller)
                args_number(&args, "caller", HF_ARG_U32, f->caller);
        if (f->since > 0)
                args_number(&args, "since", HF_ARG_U64, f->since);
        r = cli_call(cli, CALL_AUDIT("Read", &args, .idempotent = true), &reply);
        if (r)
                return r;
        json_array_foreach(json_array_get(reply, 0), i, line)
        {
                r = take_line(cli, f, line, to, last);
                if (r)
                        return r;
        }
        *next = (uint64_t)json_integer_value(json_array_get(reply, 1));
        return 0;
}

static int add_changes(const json_t *lines, json_t *to, size_t *restored)
{
        const json_t *line;
        size_t i;

        json_array_foreach(lines, i, line)
        {
                json_t *record = json_loads(json_string_value(line), 0, NULL);
                const char *name = json_string_value(json_object_get(record, "event"));
                const AuditEvent *event = name ? audit_event_find(name) : NULL;

                if (name && strcmp(name, "store.restore") == 0)
                        *restored = json_array_size(to);
                if (!event || !(event->flags & AUDIT_EVENT_CHANGE))
                        json_decref(record);
                else if (json_array_append_new(to, record) < 0)
                        return HF_ERROR_INTERNAL;
        }
        return 0;
}

int audit_changes(Cli *cli, uint64_t from, json_t **ret)
{
        _cleanup_json_ json_t *all = json_array();
        size_t restored = SIZE_MAX;
        int r;

        do {
                _cleanup_json_ json_t *reply = NULL;
                CallArgs args = {0};

                args_number(&args, NULL, HF_ARG_U64, from);
                args_number(&args, NULL, HF_ARG_U32, HF_LIST_PAGE_MAX);
                r = cli_try(cli, CALL_AUDIT("Read", &args, .idempotent = true), &reply);
                if (!r)
                        r = add_changes(json_array_get(reply, 0), all, &restored);
                from = (uint64_t)json_integer_value(json_array_get(reply, 1));
        } while (!r && from > 0);
        if (r)
                return r;
        while (json_array_size(all) > restored)
                json_array_remove(all, json_array_size(all) - 1);
        *ret = json_incref(all);
        return 0;
}

/* To the end, or until the limit is reached. */
static int print_from(Cli *cli, Filter *f, uint64_t from, uint64_t *last)
{
        int r = 0;

        do
                r = read_page(cli, f, &from, NULL, last);
        while (r == 0 && from > 0 && f->left > 0);
        return r;
}

static int run_show(Cli *cli)
{
        uint64_t from = 0, last = 0;
        Filter f;
        int r;

        r = make_filter(cli, &f);
        if (r)
                return r;
        if (cli->options.from && !cli_number(cli, "--from", cli->options.from, 0, INT64_MAX, &from))
                return EXIT_CODE_USAGE;
        return print_from(cli, &f, from, &last);
}

/* 0 or an HfResult that is not told yet: a closed store knows no head, but its log can be read. */
static int get_head(Cli *cli, uint64_t *ret_sequence)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        r = cli_try(cli, CALL_AUDIT("Head", &args, .idempotent = true), &reply);
        if (r == 0)
                *ret_sequence = (uint64_t)json_integer_value(
                                json_object_get(json_array_get(reply, 0), "sequence"));
        return r;
}

/* Until somebody interrupts, or the reader of our output is gone. */
static int follow(Cli *cli, Filter *f, uint64_t from)
{
        for (;;) {
                struct pollfd out = {.fd = STDOUT_FILENO, .events = 0};
                uint64_t head, last;
                int r;

                if (fflush(stdout) == EOF ||
                                (poll(&out, 1, FOLLOW_MSEC) > 0 && (out.revents & (POLLERR | POLLHUP))))
                        return 0;
                r = get_head(cli, &head);
                if (r)
                        return cli_end(cli, r);
                if (head < from)
                        continue;
                r = print_from(cli, f, from, &last);
                if (r)
                        return r;
                from = head + 1;
        }
}

/* The last f->left records that the filter lets through: looks further and further back until there are
 * enough. */
static int print_last(Cli *cli, Filter *f, uint64_t head, uint64_t *last)
{
        for (uint64_t back = f->left;; back = back > head / 8 ? head + 1 : back * 8) {
                uint64_t from = head + 1 > back ? head + 1 - back : 0, next = from;
                _cleanup_json_ json_t *lines = json_array();
                const json_t *line;
                size_t i;
                int r;

                do
                        r = read_page(cli, f, &next, lines, last);
                while (r == 0 && next > 0);
                if (r)
                        return r;
                if (from > 0 && json_array_size(lines) < f->left)
                        continue;
                json_array_foreach(lines, i, line)
                {
                        r = print_line(cli, json_string_value(line), &f->legend, last);
                        if (r)
                                return r;
                }
                return 0;
        }
}

static bool is_closed(int r)
{
        return r == HF_ERROR_STORE_LOCKED || r == HF_ERROR_STORE_ROLLED_BACK || r == HF_ERROR_STORE_DAMAGED ||
               r == HF_ERROR_LOG_TRUNCATED || r == HF_ERROR_LOG_DAMAGED;
}

static int run_tail(Cli *cli)
{
        uint64_t head = 0, last = 0, count = 10;
        Filter f;
        int r;

        if (cli->options.limit && !cli_number(cli, "--limit", cli->options.limit, 1, INT64_MAX, &count))
                return EXIT_CODE_USAGE;
        r = make_filter(cli, &f);
        if (r)
                return r;
        r = get_head(cli, &head);
        if (r && (cli->options.follow || !is_closed(r)))
                return cli_end(cli, r);
        f.left = count; /* without a head the whole log is looked through */
        r = print_last(cli, &f, head, &last);
        if (r || !cli->options.follow)
                return r;
        f.left = UINT64_MAX;
        return follow(cli, &f, (last > head ? last : head) + 1);
}

/* The daemon writes to pipes and regular files only; for a terminal or /dev/null the log passes through a
 * memfd. */
static bool is_direct(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode));
}

static int copy_out(Cli *cli, int from, int to)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(COPY_MAX);
        ssize_t n;
        int r = buffer_reserve(&b, COPY_MAX);

        if (r)
                return cli_fail_file(cli, "export", r);
        if (lseek(from, 0, SEEK_SET) < 0)
                return cli_fail_file(cli, "export", errno);
        while ((n = read(from, b.data, COPY_MAX)) > 0) {
                r = io_write_full(to, b.data, (size_t)n);
                if (r)
                        return cli_fail_file(cli, "standard output", r);
        }
        return n < 0 ? cli_fail_file(cli, "export", errno) : 0;
}

/* The daemon has met it; SIGPIPE is what this program would have met had it written itself, as `| head` expects. */
static void end_if_nobody_reads(int fd)
{
        struct pollfd p = {.fd = fd};

        if (poll(&p, 1, 0) == 1 && (p.revents & POLLERR))
                raise(SIGPIPE);
}

static int export_to(Cli *cli, int fd, json_t **ret)
{
        CallArgs args = {0};
        uint64_t from;
        int r;

        args_fd(&args, NULL, fd);
        if (cli->options.from) {
                if (!cli_number(cli, "--from", cli->options.from, 0, INT64_MAX, &from))
                        return EXIT_CODE_USAGE;
                args_number(&args, "from", HF_ARG_U64, from);
        }
        r = cli_try(cli, CALL_AUDIT("Export", &args, .timeout = CALL_LONG), ret);
        if (r)
                end_if_nobody_reads(fd);
        return cli_end(cli, r);
}

/* An export that is there already may be all that is left of what was pruned: it is replaced by a whole one alone. */
static int open_export(const char *path, FileReplacement *ret)
{
        int r = file_replace_begin(path, 0640, ret);

        if (r != -ENOTSUP)
                return r;
        ret->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY); /* a pipe, a device */
        return ret->fd < 0 ? -errno : 0;
}

static int run_export(Cli *cli)
{
        const char *path = cli->n_args > 0 && strcmp(cli->args[0], "-") != 0 ? cli->args[0] : NULL;
        _cleanup_file_replacement_ FileReplacement file = FILE_REPLACEMENT_NULL;
        _cleanup_close_ int through = -EBADF;
        _cleanup_json_ json_t *reply = NULL;
        int r = path ? open_export(path, &file) : 0, to = path ? file.fd : STDOUT_FILENO;

        if (r)
                return cli_fail_file(cli, path, r);
        if (!is_direct(to) && (through = memfd_create("audit-export", MFD_CLOEXEC)) < 0)
                return cli_fail_file(cli, "memfd", errno);
        r = export_to(cli, through >= 0 ? through : to, &reply);
        if (r == 0 && through >= 0)
                r = copy_out(cli, through, to);
        if (r)
                return r;
        r = file.temporary ? file_replace_commit(&file) : 0;
        if (r)
                return cli_fail_file(cli, path, r);
        if (path && cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:O}", "lines", json_array_get(reply, 0));

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        cli_talk(cli, "%" JSON_INTEGER_FORMAT " records exported.",
                        json_integer_value(json_array_get(reply, 0)));
        return 0;
}

static const Column key_columns[] = {
                {"name", "Log", COLUMN_TEXT},
                {"fingerprint", "Fingerprint", COLUMN_TEXT},
                {"vkey", "Key", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static int run_key(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        int r;

        r = cli_call(cli, CALL_AUDIT("GetKey", &args, .idempotent = true), &reply);
        return r ? r : show_object(cli, json_array_get(reply, 0), key_columns);
}

static int run_prune(Cli *cli)
{
        _cleanup_buffer_ Buffer note = BUFFER_INIT(NOTE_MAX + 1);
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        uint64_t before;
        int r;

        if (!cli->options.before || !cli->options.archived)
                return cli_usage(cli, "It needs --before SEQ and --archived NOTE-FILE. Nothing was done.");
        if (!cli_number(cli, "--before", cli->options.before, 1, INT64_MAX, &before))
                return EXIT_CODE_USAGE;
        r = input_note(cli, cli->options.archived, &note);
        if (r == 0)
                r = cli_confirm(cli, "Remove the records before %" PRIu64 " from this device?", before);
        if (r)
                return r;
        args_number(&args, NULL, HF_ARG_U64, before);
        args_string(&args, NULL, (const char *)note.data);
        cli->hint = "The note is not one of a checkpoint of this log that covers these records. Nothing was "
                    "removed.";
        r = cli_try(cli, CALL_AUDIT("Prune", &args, .timeout = CALL_LONG), &reply);
        if (r == HF_ERROR_NOTHING_TO_DO)
                return cli_fail_with(cli, EXIT_CODE_NOTHING_TO_DO, "NothingToDo",
                                "No whole segment ends before record %" PRIu64 ". Nothing was removed.",
                                before);
        if (r)
                return cli_end(cli, r);
        if (cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:O}", "first", json_array_get(reply, 0));

                return j ? show_json(cli, j) : EXIT_CODE_FAILED;
        }
        cli_talk(cli, "The log on this device begins at record %" JSON_INTEGER_FORMAT " now.",
                        json_integer_value(json_array_get(reply, 0)));
        return 0;
}

/* The signed note of the last checkpoint, for the archive, `verify --expect` and `prune --archived`. */
static int run_note(Cli *cli)
{
        _cleanup_json_ json_t *reply = NULL;
        CallArgs args = {0};
        const char *note;
        int r;

        r = cli_call(cli, CALL_AUDIT("Head", &args, .idempotent = true), &reply);
        if (r)
                return r;
        if (cli->options.json)
                return show_json(cli, json_array_get(reply, 0));
        note = json_string_value(json_object_get(json_array_get(reply, 0), "note"));
        if (!note || !*note)
                return cli_fail_with(
                                cli, EXIT_CODE_NOTHING_TO_DO, "NothingToDo", "There is no checkpoint yet.");
        fputs(note, stdout);
        return 0;
}

const Verb verbs_audit[] = {
                {"audit", "show", "", 0, 0, "from limit event caller since", "Show records of the log",
                                run_show},
                {"audit", "tail", "", 0, 0, "limit follow event caller since",
                                "Show the last records, and go on with new ones", run_tail},
                {"audit", "export", "[FILE]", 0, 1, "from", "Seal the log and write it out", run_export},
                {"audit", "verify", "FILE", 1, 1, "key expect", "Check an exported log; needs no daemon",
                                verify_run},
                {"audit", "key", "", 0, 0, "", "Print the key that seals the log", run_key},
                {"audit", "note", "", 0, 0, "", "Print the signed note of the last checkpoint", run_note},
                {"audit", "prune", "", 0, 0, "before archived", "Remove what is archived from this device",
                                run_prune},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
