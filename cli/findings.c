/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/findings.h"

int findings_exit_code(const FindingList *findings)
{
        if (findings->n == 0)
                return EXIT_CODE_OK;
        switch (finding_class(findings->items[0].kind)) {
        case FINDING_CLASS_TRUST:
                return EXIT_CODE_VERIFICATION;
        case FINDING_CLASS_CERTIFICATE:
                return EXIT_CODE_CERTIFICATE;
        case FINDING_CLASS_CONNECTION:
                break;
        }
        return EXIT_CODE_FAILED;
}

int findings_fail(Cli *cli, const FindingList *findings)
{
        char sentence[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE];

        for (size_t i = 1; i < findings->n; i++)
                cli_talk(cli, "Besides: %s (%s)", finding_sentence(&findings->items[i], sentence),
                                finding_word(findings->items[i].kind));
        return cli_fail_with(cli, findings_exit_code(findings), finding_word(findings->items[0].kind), "%s %s",
                        finding_sentence(&findings->items[0], sentence), finding_remedy(&findings->items[0], remedy));
}

json_t *findings_json(const FindingList *findings)
{
        char sentence[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE];
        json_t *list = json_array();

        for (size_t i = 0; list && i < findings->n; i++)
                json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "finding", finding_word(findings->items[i].kind),
                                                            "sentence", finding_sentence(&findings->items[i], sentence), "remedy",
                                                            finding_remedy(&findings->items[i], remedy)));
        return list;
}
