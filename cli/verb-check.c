/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cert check: what is wrong with an identity, as its own user sees it: its files, and a real handshake with a peer. Asks no
 * daemon; only the handshake's signature does. */
#include <errno.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "base/clock.h"
#include "cli/findings.h"
#include "x509/handshake.h"
#include "x509/layout.h"

#define SECONDS_DEFAULT "15"
#define SECONDS_MAX 600

/* Who looks into the journal later learns which identity had which trouble with whom, and nothing about certificates. */
static void tell_journal(const char *identity, const char *peer, const FindingList *findings)
{
        char text[FINDING_TEXT_SIZE];

        for (size_t i = 0; i < findings->n; i++)
                (void)sd_journal_send("MESSAGE=%s", finding_journal(&findings->items[i], identity, peer, text), "PRIORITY=%i",
                                LOG_WARNING, "SYSLOG_IDENTIFIER=holdfast", NULL);
}

static json_t *report(const Cli *cli, const CertIdentity *identity, const Handshake *h, const FindingList *findings)
{
        json_t *j = json_pack("{s:s, s:o}", "identity", cli->args[0], "findings", findings_json(findings));
        char fingerprint[CERT_FINGERPRINT_SIZE];

        if (j && identity->chain) {
                cert_chain_fingerprint(identity->chain, fingerprint);
                json_object_set_new(j, "fingerprint", json_string(fingerprint));
                json_object_set_new(j, "not-after", json_integer((json_int_t)cert_chain_not_after(identity->chain)));
        }
        if (j && cli->options.connect)
                json_object_set_new(j, "peer", json_pack("{s:s, s:s, s:s, s:s, s:I}", "address", cli->options.connect, "version",
                                                               h->version, "cipher", h->cipher, "fingerprint", h->fingerprint,
                                                               "not-after", (json_int_t)h->not_after));
        return j;
}

static int tell(Cli *cli, const CertIdentity *identity, const Handshake *h, const FindingList *findings)
{
        char until[CLOCK_TEXT_SIZE];

        if (cli->options.json) {
                _cleanup_json_ json_t *j = report(cli, identity, h, findings);
                int r = j ? show_json(cli, j) : EXIT_CODE_FAILED;

                if (r)
                        return r;
                cli->options.json = false; /* the report is the result; the finding is told on stderr besides */
        }
        tell_journal(cli->args[0], cli->options.connect, findings);
        if (findings->n > 0)
                return findings_fail(cli, findings);
        clock_format(cert_chain_not_after(identity->chain), until);
        cli_talk(cli, "The certificate of %s is for its key and valid until %.19sZ.", cli->args[0], until);
        if (cli->options.connect)
                cli_talk(cli, "%s takes it, and is who it should be (%s, %s).", cli->options.connect, h->version, h->cipher);
        return 0;
}

/* 0 or -errno; what is wrong is in findings. */
static int shake_hands(const HandshakeParams *peer, const CertIdentity *identity, FindingList *findings, Handshake *ret)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *anchors = NULL;
        _cleanup_cert_key_ CertKey key = {.pkey = NULL};
        HandshakeParams params = *peer;
        int r;

        r = cert_key_load(buffer_bytes(&identity->reference), findings, &key);
        if (r == 0 && identity->anchors)
                anchors = cert_anchors_ref(identity->anchors);
        else if (r == 0)
                r = cert_anchors_system(&anchors);
        params.identity = identity;
        params.key = &key;
        params.anchors = anchors;
        if (r == 0)
                r = handshake_run(&params, findings, ret);
        return r < 0 ? r : 0;
}

/* 0 or an exit code, told. Where our own files have a fault already, the peer can only say what time it is. */
static int meet_peer(Cli *cli, const CertIdentity *identity, uint64_t timeout, FindingList *findings, Handshake *ret)
{
        char host[HANDSHAKE_HOST_SIZE], port[HANDSHAKE_PORT_SIZE];
        const HandshakeParams peer = {.host = host, .port = port, .timeout = timeout};
        int r = 0;

        if (handshake_address(cli->options.connect, host, port))
                return cli_usage(cli, "--connect is HOST or HOST:PORT, not '%s'.", cli->options.connect);
        if (findings->n > 0)
                handshake_look_at_clocks(&peer, findings);
        else
                r = shake_hands(&peer, identity, findings, ret);
        return r ? cli_fail_file(cli, cli->options.connect, r) : 0;
}

static int run_check(Cli *cli)
{
        const char *seconds = cli->options.timeout ? cli->options.timeout : SECONDS_DEFAULT;
        _cleanup_identity_ CertIdentity identity = {.chain = NULL};
        Handshake handshake = {.version = ""};
        CertUsage usage = cli->options.connect ? CERT_USAGE_CLIENT : CERT_USAGE_ANY;
        FindingList findings = {.n = 0};
        uint64_t timeout;
        int r;

        if (cli->options.purpose && !cert_usage_from_string(cli->options.purpose, &usage))
                return cli_usage(cli, "--purpose is any, client, client-only, server, client-server, code-signing or ocsp.");
        if (!cli_number(cli, "--timeout", seconds, 1, SECONDS_MAX, &timeout))
                return EXIT_CODE_USAGE;
        r = cert_identity_load(cert_directory(), cli->args[0], &findings, &identity);
        if (r == HF_E_INVALID_NAME)
                return cli_usage(cli, "'%s' is not the name of an identity.", cli->args[0]);
        if (r == 0)
                r = cert_identity_check(&identity, usage, 0, &findings);
        if (r == 0)
                r = cert_layout_check(cert_directory(), cli->args[0], &findings);
        if (r < 0)
                return cli_fail_file(cli, cert_directory(), r);
        if (cli->options.connect) {
                r = meet_peer(cli, &identity, timeout * USEC_PER_SEC, &findings, &handshake);
                if (r)
                        return r;
        }
        return tell(cli, &identity, &handshake, &findings);
}

const Verb verbs_check[] = {
                {"cert", "check", "NAME", 1, 1, "connect timeout purpose", "Look for trouble, with --connect in a real handshake",
                                run_check},
                {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
