/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hf_verify(): bytes in, a verdict out. */
#include "libclient-ssl/holdfast-verify.h"

#include "base/clock.h"
#include "base/error.h"
#include "libclient-ssl/failure.h"
#include "x509/cms.h"
#include "x509/verify.h"

#define YEAR_9999 253402300799ULL /* seconds; certificates end there */

static Bytes bytes_of(HfSpan span)
{
        return BYTES(span.data, span.len);
}

static int read_chain(const HfVerification *what, FindingList *findings, CertChain **ret)
{
        if (what->signature.len > 0)
                return cms_verify(bytes_of(what->signature), what->fd, findings, ret);
        return cert_chain_parse(bytes_of(what->certificates), FINDING_OF_FILE, findings, ret);
}

static int judge(const CertCheck *check, const FindingList *before)
{
        VerifyReport report;
        int r = verify_certificate(check, before, &report);

        if (r)
                return failure_from(r);
        return report.findings.n > 0 ? failure_findings(NULL, "Verification", &report.findings) : HF_OK;
}

int hf_verify(const HfVerification *what)
{
        _cleanup_(cert_anchors_unrefp) CertAnchors *roots = NULL;
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        _cleanup_(cert_crls_freep) CertCrls *crls = NULL;
        CertUsage usage = CERT_USAGE_ANY;
        FindingList findings = {.n = 0};
        int r;

        if (what->time > YEAR_9999 || (what->purpose && !cert_usage_from_string(what->purpose, &usage)))
                return failure_set(HF_ERROR_INVALID_ARGS, "The purpose or the time is none. Nothing was verified.");
        r = cert_anchors_parse(bytes_of(what->roots), &findings, &roots);
        if (r > 0)
                return failure_set(HF_ERROR_INVALID_ARGS, "The roots are neither PEM nor DER. Nothing was verified.");
        if (r == 0)
                r = read_chain(what, &findings, &chain);
        if (r >= 0 && what->crls.len > 0)
                r = cert_crls_parse(bytes_of(what->crls), &findings, &crls);
        if (r < 0)
                return failure_from(r);
        return judge(&(CertCheck){.chain = chain, .anchors = roots, .crls = crls, .usage = usage,
                                     .time = what->time * USEC_PER_SEC},
                        &findings);
}
