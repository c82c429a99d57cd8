/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every verb needs: the connection, the one form of error, talk, questions, numbers. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/name.h"

int cli_connect(Cli *cli)
{
        if (cli->connection)
                return 0;
        return cli->options.bus ? hf_connect_bus(&cli->connection) : hf_connect(&cli->connection);
}

/* With --json a program reads stdout: it finds the error there, and a person on stderr. */
static int tell(Cli *cli, int exit_code, const char *name, const char *sentence)
{
        const char *noun = cli->verb->noun;

        fprintf(stderr, "holdfast: %s%s%s: %s (%s)\n", noun ? noun : "", noun ? " " : "", cli->verb->name,
                        sentence, name);
        if (cli->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:{s:s, s:s, s:i}}", "error", "name", name, "sentence",
                                sentence, "exit", exit_code);

                if (j)
                        show_json(cli, j);
        }
        return exit_code;
}

int cli_fail(Cli *cli, int result)
{
        const char *sentence = hf_error_sentence();

        if (result == HF_ERROR_INVALID_ARGS && cli->hint && strcmp(sentence, hf_strerror(result)) == 0)
                sentence = cli->hint;
        return tell(cli, errors_exit_code(result), hf_error_to_name(result), sentence);
}

int cli_fail_with(Cli *cli, int exit_code, const char *name, const char *format, ...)
{
        char sentence[512];
        va_list ap;

        va_start(ap, format);
        vsnprintf(sentence, sizeof(sentence), format, ap);
        va_end(ap);
        return tell(cli, exit_code, name, sentence);
}

int cli_fail_file(Cli *cli, const char *path, int error)
{
        int e = error < 0 ? -error : error;

        return cli_fail_with(cli, e == ENOENT ? EXIT_CODE_NOT_FOUND : EXIT_CODE_FAILED, strerrorname_np(e),
                        "%s: %s.", path, strerror(e));
}

int cli_usage(Cli *cli, const char *format, ...)
{
        char sentence[512];
        va_list ap;

        va_start(ap, format);
        vsnprintf(sentence, sizeof(sentence), format, ap);
        va_end(ap);
        return tell(cli, EXIT_CODE_USAGE, "Usage", sentence);
}

void cli_talk(const Cli *cli, const char *format, ...)
{
        va_list ap;

        if (cli->options.quiet)
                return;
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
}

/* The line that came, in *ret; -1: it need not be asked; or an exit code, told. */
static int ask(Cli *cli, const char *question, const char *choices, char *ret, int size)
{
        if (cli->options.yes)
                return -1;
        if (!isatty(STDIN_FILENO))
                return cli_usage(cli, "%s Nobody is there to ask; say --yes. Nothing was done.", question);
        fprintf(stderr, "%s %s ", question, choices);
        if (!fgets(ret, size, stdin))
                ret[0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return 0;
}

static int answered(const Cli *cli, bool good)
{
        if (!good)
                cli_talk(cli, "Nothing was done.");
        return good ? 0 : EXIT_CODE_FAILED;
}

int cli_confirm(Cli *cli, const char *format, ...)
{
        char question[400], answer[16];
        va_list ap;
        int r;

        va_start(ap, format);
        vsnprintf(question, sizeof(question), format, ap);
        va_end(ap);
        r = ask(cli, question, "[y/N]", answer, sizeof(answer));
        return r ? r < 0 ? 0 : r : answered(cli, answer[0] == 'y' || answer[0] == 'Y');
}

int cli_confirm_name(Cli *cli, const char *name, const char *format, ...)
{
        char question[400], answer[NAME_SIZE + 2];
        va_list ap;
        int r;

        va_start(ap, format);
        vsnprintf(question, sizeof(question), format, ap);
        va_end(ap);
        r = ask(cli, question, "Type its name to go on:", answer, sizeof(answer));
        return r ? r < 0 ? 0 : r : answered(cli, strcmp(answer, name) == 0);
}

bool cli_number(Cli *cli, const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
        unsigned long long v;
        char *end;

        errno = 0;
        v = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno || v < min || v > max) {
                cli_usage(cli, "%s is a number from %llu to %llu, not '%s'.", what, (unsigned long long)min,
                                (unsigned long long)max, text);
                return false;
        }
        *ret = v;
        return true;
}
