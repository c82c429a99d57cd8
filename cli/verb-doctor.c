/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor: what holdfastd finds about itself, behind what can be seen only from here: whether it can be
 * reached, and whether programs that use OpenSSL find what is theirs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/tls-files.h"
#include "x509/pkey.h"

static const Column finding_columns[] = {
                {"severity", "SEVERITY", COLUMN_TEXT},
                {"code", "CODE", COLUMN_TEXT},
                {"detail", "DETAIL", COLUMN_TEXT},
                {"remedy", "REMEDY", COLUMN_TEXT},
                {NULL, NULL, COLUMN_TEXT},
};

static void find(json_t *findings, const char *severity, const char *code, const char *detail,
                const char *remedy)
{
        json_array_append_new(findings, json_pack("{s:s, s:s, s:s, s:s}", "severity", severity, "code", code,
                                                        "detail", detail, "remedy", remedy));
}

/* One road: connect and ask for the status. */
static bool check_road(json_t *findings, const char *code, const char *name, int (*connect)(HfConnection **))
{
        HfConnection *c = NULL;
        char detail[1200];
        int r;

        r = connect(&c);
        if (r == 0)
                r = hf_call(c, &(HfCall){.path = HF_ADMIN_MANAGER, .member = "Status", .idempotent = true},
                                NULL);
        if (r == 0)
                snprintf(detail, sizeof(detail), "holdfastd answers on the %s.", name);
        else
                snprintf(detail, sizeof(detail), "%s: %s", name, hf_error_sentence());
        find(findings, r ? "warning" : "ok", code, detail,
                        r ? "systemctl status holdfastd.service holdfastd.socket" : "");
        hf_disconnect(c);
        return r == 0;
}

static int connect_direct(HfConnection **ret)
{
        int r = hf_connect(ret);

        if (r == 0 && strcmp(hf_connection_road(*ret), "direct") != 0) {
                hf_disconnect(*ret);
                *ret = NULL;
                return hf_connect_to("/run/holdfast/bus", ret);
        }
        return r;
}

/* What programs with OpenSSL need, by OPENSSL_MODULES where that is set. */
static void check_provider(json_t *findings)
{
        char why[FINDING_DETAIL_SIZE], detail[FINDING_DETAIL_SIZE + 64];
        int r = cert_key_try_provider(why);

        if (r >= 0)
                find(findings, r ? "warning" : "ok", "openssl-provider", r ? why : "OpenSSL loads holdfast.so.",
                                r ? "put holdfast.so of this build into the directory that `openssl version -m` names, or name "
                                    "its directory in OPENSSL_MODULES; `ldd holdfast.so` says which library is missing"
                                  : "");
        if (access(tls_openssl_conf(), R_OK) == 0)
                return;
        snprintf(detail, sizeof(detail), "%.128s, by which programs load it: %s", tls_openssl_conf(), strerror(errno));
        find(findings, "warning", "openssl-configuration", detail,
                        "install provider/openssl.cnf of Holdfast there, or name another one in HOLDFAST_OPENSSL_CONF");
}

static bool has_errors(const json_t *findings)
{
        const json_t *item;
        size_t i;

        json_array_foreach(findings, i, item)
        {
                const char *severity = json_string_value(json_object_get(item, "severity"));

                if (severity && strcmp(severity, "error") == 0)
                        return true;
        }
        return false;
}

static int run_doctor(Cli *cli)
{
        _cleanup_json_ json_t *findings = json_array(), *reply = NULL;
        CallArgs args = {0};
        bool direct, bus;
        int r;

        direct = check_road(findings, "direct-socket", "direct socket", connect_direct);
        bus = check_road(findings, "system-bus", "system bus", hf_connect_bus);
        if (!direct && !bus) {
                find(findings, "error", "daemon", "holdfastd does not answer on any road.",
                                "systemctl start holdfastd");
                r = show_list(cli, findings, finding_columns);
                return r ? r : EXIT_CODE_NO_DAEMON;
        }
        check_provider(findings);
        cli->options.bus = cli->options.bus || !direct;
        r = cli_try(cli, CALL_MANAGER("Check", &args, .idempotent = true, .timeout = CALL_LONG), &reply);
        if (r > 0) { /* what is seen from here is worth showing all the same */
                find(findings, "error", "check", hf_error_sentence(), "");
                show_list(cli, findings, finding_columns);
                return errors_exit_code(r);
        }
        if (r)
                return cli_end(cli, r);
        json_array_extend(findings, json_array_get(reply, 0));
        r = show_list(cli, findings, finding_columns);
        return r ? r : has_errors(findings) ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

const Verb verbs_doctor[] = {
                {NULL, "doctor", "", 0, 0, "", "Check the installation and say how to mend it", run_doctor},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
