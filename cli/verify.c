/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* audit verify: runs the verifier of audit/verify.h over a file and says what it found. Neither daemon nor
 * root. */
#include "cli/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "audit/verify.h"

#define NOTE_MAX 4096

/* The first word that is a key: a file with nothing else, or what `holdfast audit key` printed. */
static int find_key(const Buffer *b, AuditVkey *ret)
{
        const char *text = (const char *)b->data, *end = text + b->len;

        while (text < end) {
                size_t len = 0;

                while (text + len < end && !strchr(" \t\r\n\",", text[len]))
                        len++;
                if (len && audit_vkey_parse(text, len, ret) == 0)
                        return 0;
                text += len + 1;
        }
        return HF_E_INVALID_ARGS;
}

static int not_a_key(Cli *cli, const char *key)
{
        return cli_usage(cli, "%s is not a checkpoint key (NAME+ID+KEY, as `holdfast audit key` prints it).",
                        key);
}

/* --key is the key itself, or a file that holds it. */
static int read_key(Cli *cli, AuditVkey *ret)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(NOTE_MAX);
        const char *key = cli->options.key;
        int r;

        if (audit_vkey_parse(key, strlen(key), ret) == 0)
                return 0;
        if (strchr(key, '+') && access(key, F_OK) < 0)
                return not_a_key(cli, key);
        r = input_read(cli, key, NOTE_MAX, &b);
        if (r)
                return r;
        return find_key(&b, ret) ? not_a_key(cli, key) : 0;
}

static int read_expected(Cli *cli, Buffer *ret)
{
        return input_note(cli, cli->options.expect, ret);
}

static json_t *report_json(const AuditReport *report)
{
        char vkey[AUDIT_VKEY_MAX] = "";
        json_t *j;

        if (report->signer_known)
                audit_vkey_format(&report->key, vkey);
        j = json_pack("{s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:s}", "verdict",
                        audit_verdict_to_string(report->verdict), "signer-known", report->signer_known, "log",
                        report->log_id, "first", (json_int_t)report->first_seq, "records",
                        (json_int_t)report->records, "uses", (json_int_t)report->uses, "checkpoints",
                        (json_int_t)report->checkpoints, "sealed", (json_int_t)report->sealed, "sealed-time",
                        report->sealed_time, "unsealed", (json_int_t)report->unsealed, "key", vkey);
        if (j && report->anchored) {
                json_object_set_new(j, "counter", json_integer((json_int_t)report->counter));
                json_object_set_new(j, "anchored", json_integer((json_int_t)report->anchored));
                json_object_set_new(j, "anchored-time", json_string(report->anchored_time));
        }
        if (j && report->verdict != AUDIT_GOOD) {
                json_object_set_new(j, "bad-sequence", json_integer((json_int_t)report->bad_seq));
                json_object_set_new(j, "bad-last", json_integer((json_int_t)report->bad_last));
                json_object_set_new(j, "bad-line", json_integer((json_int_t)report->bad_line));
        }
        return j;
}

/* The key at the end of the log, where a rekey made it another than the one given. */
static void print_successor(const AuditReport *report, const AuditVkey *given)
{
        char text[AUDIT_VKEY_MAX];

        if (!given || memcmp(given->key, report->key.key, sizeof(given->key)) == 0)
                return;
        audit_vkey_format(&report->key, text);
        printf("sealed by a new key since a rekey: %s\n", text);
}

static void print_good(const AuditReport *report, const AuditVkey *given)
{
        printf("%s: %" PRIu64 " records, %" PRIu64 " %s, %" PRIu64 " checkpoint%s\n", report->log_id,
                        report->records, report->uses, report->uses == 1 ? "use of a key" : "uses of keys",
                        report->checkpoints, report->checkpoints == 1 ? "" : "s");
        if (report->first_seq > 0)
                printf("begins at record %" PRIu64 "\n", report->first_seq);
        if (report->sealed > 0)
                printf("complete up to checkpoint %" PRIu64 " of %s\n", report->sealed, report->sealed_time);
        else
                printf("no checkpoint: nothing is sealed\n");
        if (report->anchored)
                printf("anchored in the TPM up to checkpoint %" PRIu64 " of %s, counter %" PRId64 "\n", report->anchored,
                                report->anchored_time, report->counter);
        printf("unsealed tail: %" PRIu64 " record%s\n", report->unsealed, report->unsealed == 1 ? "" : "s");
        print_successor(report, given);
        if (!report->signer_known)
                printf("consistent in itself, signer unknown\n");
}

/* What is wrong with a record, behind "Record N (line L) ". */
static const char *kind_sentence(AuditVerdict v)
{
        switch (v) {
        case AUDIT_CHANGED:
                return "was changed";
        case AUDIT_MISSING:
                return "is not where it should be: records are missing";
        case AUDIT_REORDERED:
                return "is not where it should be: records are out of order, or twice there";
        case AUDIT_FOREIGN:
                return "is of another log, or sealed by another key (after a rekey, older logs take the key "
                       "from before it)";
        case AUDIT_USES_HIDDEN:
                return "is where uses of keys are missing that the signer has counted";
        case AUDIT_TRUNCATED:
        case AUDIT_NOT_A_LOG:
        case AUDIT_GOOD:
        case _AUDIT_VERDICT_INVALID:
        case _AUDIT_VERDICT_MAX:
                break;
        }
        return "is bad";
}

static int print_bad(Cli *cli, const AuditReport *report)
{
        const char *kind = audit_verdict_to_string(report->verdict);
        uint64_t good = report->bad_seq - report->first_seq < report->records
                                        ? report->bad_seq - report->first_seq
                                        : report->records;

        if (report->verdict == AUDIT_MISSING && report->bad_line == 1)
                return cli_fail_with(cli, EXIT_CODE_VERIFICATION, kind,
                                "Record %" PRIu64 " and those before it are missing: the file begins inside a segment of the "
                                "log. What `audit export --from` gives is verified behind the export it continues, both in "
                                "one file.",
                                report->bad_seq);
        if (report->verdict == AUDIT_NOT_A_LOG)
                return cli_fail_with(
                                cli, EXIT_CODE_VERIFICATION, kind, "%s is not an audit log.", cli->args[0]);
        if (report->verdict == AUDIT_TRUNCATED)
                return cli_fail_with(cli, EXIT_CODE_VERIFICATION, kind,
                                "The log is cut: it ends inside a record%s%s%s (line %" PRIu64 "). %" PRIu64
                                " records before are good.",
                                cli->options.expect ? ", or before it reaches the note of '" : "",
                                cli->options.expect ? cli->options.expect : "",
                                cli->options.expect ? "'" : "", report->bad_line, good);
        if (report->bad_last > report->bad_seq)
                return cli_fail_with(cli, EXIT_CODE_VERIFICATION, kind,
                                "One of the records %" PRIu64 " to %" PRIu64 " (from line %" PRIu64
                                ") %s. %" PRIu64 " records before are good.",
                                report->bad_seq, report->bad_last, report->bad_line,
                                kind_sentence(report->verdict), good);
        return cli_fail_with(cli, EXIT_CODE_VERIFICATION, kind,
                        "Record %" PRIu64 " (line %" PRIu64 ") %s. %" PRIu64 " records before are good.",
                        report->bad_seq, report->bad_line, kind_sentence(report->verdict), good);
}

static int show_report(Cli *cli, const AuditReport *report, const AuditVkey *given)
{
        _cleanup_json_ json_t *j = NULL;
        int r = 0;

        if (cli->options.json) {
                j = report_json(report);
                r = j ? show_json(cli, j) : EXIT_CODE_FAILED;
                cli->options.json = false; /* the report is the result; a bad log is told on stderr besides */
        } else if (report->verdict == AUDIT_GOOD) {
                print_good(report, given);
        }
        if (r == 0 && report->verdict != AUDIT_GOOD)
                return print_bad(cli, report);
        if (r == 0 && !report->signer_known)
                return EXIT_CODE_UNKNOWN_SIGNER;
        return r;
}

static int verify_fd(Cli *cli, int fd, const AuditVkey *key, const char *expect)
{
        const AuditVerifyOptions options = {.key = key, .expect = expect};
        AuditReport report;
        int r;

        r = audit_verify_fd(fd, &options, &report);
        if (r > 0)
                return cli_fail_with(cli, EXIT_CODE_VERIFICATION, "InvalidNote",
                                "%s is not a note of this log's checkpoint key.", cli->options.expect);
        return r ? cli_fail_file(cli, cli->args[0], r) : show_report(cli, &report, key);
}

int verify_run(Cli *cli)
{
        _cleanup_buffer_ Buffer note = BUFFER_INIT(NOTE_MAX + 1);
        bool is_stdin = strcmp(cli->args[0], "-") == 0;
        _cleanup_close_ int opened = is_stdin ? -EBADF : open(cli->args[0], O_RDONLY | O_CLOEXEC | O_NOCTTY);
        AuditVkey key;
        int r = 0;

        if (!is_stdin && opened < 0)
                return cli_fail_file(cli, cli->args[0], errno);
        if (cli->options.key)
                r = read_key(cli, &key);
        if (r == 0 && cli->options.expect)
                r = read_expected(cli, &note);
        if (r)
                return r;
        return verify_fd(cli, is_stdin ? STDIN_FILENO : opened, cli->options.key ? &key : NULL,
                        cli->options.expect ? (const char *)note.data : NULL);
}
