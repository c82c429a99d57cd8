/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: certificates, revocation lists, pins, references
 *
 * Any bytes either are what a reader wants or are refused with one finding of printable text, and nothing is given then. What is a
 * chain can be checked, against itself and against what it was read from, in bounded time and with a report in words.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tests/fuzz/fuzz.h"
#include "x509/cms.h"
#include "x509/identity.h"
#include "x509/verify.h"

static void must(bool holds)
{
        if (!holds)
                abort();
}

static void check_text(const char *text)
{
        must(text[0] != '\0');
        for (const char *p = text; *p; p++)
                must(*p >= 0x20 && *p < 0x7f);
}

static void check_findings(const FindingList *findings)
{
        char text[FINDING_TEXT_SIZE];

        must(findings->n <= FINDINGS_MAX);
        for (size_t i = 0; i < findings->n; i++) {
                check_text(finding_sentence(&findings->items[i], text));
                check_text(finding_remedy(&findings->items[i], text));
                check_text(finding_journal(&findings->items[i], "fuzz", "peer:1", text));
        }
}

/* A reader's answer: everything, or a finding and nothing. */
static void check_answer(int r, bool given, const FindingList *findings)
{
        must(r == 0 || r == HF_E_INVALID_ARGS);
        must(given == (r == 0));
        must((findings->n > 0) == (r != 0));
        check_findings(findings);
}

static void verify(const CertChain *chain, const CertAnchors *anchors, const CertCrls *crls)
{
        VerifyReport report;

        for (CertUsage usage = CERT_USAGE_ANY; usage < _CERT_USAGE_MAX; usage += 2) {
                const CertCheck check = {.chain = chain, .anchors = anchors, .crls = crls, .usage = usage, .host = "a.test",
                                .time = 1790000000000000};

                must(verify_certificate(&check, NULL, &report) == 0);
                check_findings(&report.findings);
                for (VerifyQuestion q = 0; q < _VERIFY_QUESTION_MAX; q++)
                        check_text(report.lines[q].text);
        }
}

static void read_small_ones(Bytes bytes)
{
        _cleanup_close_ int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_buffer_ Buffer spki = BUFFER_INIT(65536);
        FindingList findings = {.n = 0}, of_cms = {.n = 0};
        CertPins pins = {.n = 0};
        CertChain *chain = NULL;
        int r = cert_pins_parse(bytes, &findings, &pins);

        must(r == 0 || (r == HF_E_INVALID_ARGS && findings.n == 1 && pins.n == 0));
        must(pins.n <= CERT_PINS_MAX);
        r = cert_reference_public_key(bytes, &spki);
        must(r == HF_E_INVALID_ARGS || (r == 0 && spki.len > 0));
        r = cms_verify(bytes, nothing, &of_cms, &chain); /* a signature over nothing is not in the corpus */
        must(r == HF_E_INVALID_ARGS && of_cms.n == 1 && !chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        FindingList of_chain = {.n = 0}, of_anchors = {.n = 0}, of_crls = {.n = 0};
        _cleanup_(cert_anchors_unrefp) CertAnchors *anchors = NULL;
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        _cleanup_(cert_crls_freep) CertCrls *crls = NULL;
        Bytes bytes = BYTES(data, size);
        int r;

        r = cert_chain_parse(bytes, FINDING_OF_PEER, &of_chain, &chain);
        check_answer(r, chain != NULL, &of_chain);
        r = cert_anchors_parse(bytes, &of_anchors, &anchors);
        check_answer(r, anchors != NULL, &of_anchors);
        r = cert_crls_parse(bytes, &of_crls, &crls);
        check_answer(r, crls != NULL, &of_crls);
        read_small_ones(bytes);
        if (chain) {
                must(cert_chain_count(chain) >= 1 && cert_chain_count(chain) <= CERT_CHAIN_MAX);
                verify(chain, NULL, crls);
                verify(chain, anchors, crls);
        }
        return 0;
}
