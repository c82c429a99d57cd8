/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: signing requests and profiles of private CAs
 *
 * Any bytes are either a request, of which every part is plain text and from which a certificate can be prepared or refused, or
 * are refused with a printable sentence. The same bytes as a profile are one, or are refused with a place in them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ca/certificate.h"
#include "tests/fuzz/fuzz.h"

static const char server[] = "days=1\nkeys=p256,rsa2048\nusage=digitalSignature\nextended=serverAuth\nsubject=C,ST,L,O,OU,CN\n"
                             "names=dns,ip,uri,email\n";

static void must(bool holds)
{
        if (!holds)
                abort();
}

static void check_problem(const CaProblem *problem)
{
        must(problem->text[0] != '\0');
        for (const char *p = problem->text; *p; p++)
                must(*p >= 0x20 && *p < 0x7f);
}

static void prepare(const CaRequest *request)
{
        _cleanup_buffer_ Buffer tbs = BUFFER_INIT(CA_TBS_MAX);
        CaProblem problem = {};
        CaSummary summary;
        CaProfile profile;
        int r;

        must(ca_profile_read("p", "p", bytes_str(server), &problem, &profile) == 0);
        r = ca_certificate_prepare(&(CaCertificateParams){.profile = &profile, .request = request, .serial = {1}, .now = 1ULL << 50,
                                                   .path_length = -1, .scheme = SCHEME_ES256}, &problem, &summary, &tbs);
        must(r == 0 ? tbs.len > 0 : r == HF_E_REQUEST_REFUSED || r == -EMSGSIZE);
        if (r == HF_E_REQUEST_REFUSED)
                check_problem(&problem);
}

static void look(const CaRequest *request)
{
        const char *value;
        CaPart part;

        must(ca_request_spki(request).len > 0);
        for (size_t i = 0; ca_request_part(request, i, &part, &value); i++)
                must(part < _CA_PART_MAX && *value);
        for (CaNameKind kind = 0; kind < _CA_NAME_KIND_MAX; kind++)
                for (const char *const *name = ca_request_names(request, kind); *name; name++)
                        must(**name != '\0');
        prepare(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(ca_request_freep) CaRequest *request = NULL;
        CaProblem problem = {};
        CaProfile profile;
        CaIssuer *issuer = NULL;
        int r = ca_request_read(BYTES(data, size), &problem, &request);

        if (r == HF_E_REQUEST_REFUSED)
                check_problem(&problem);
        else
                must(r == 0 || r == HF_E_MESSAGE_TOO_LARGE);
        if (r == 0)
                look(request);
        if (ca_issuer_read(BYTES(data, size), &problem, &issuer) == 0)
                ca_issuer_free(issuer);
        problem.text[0] = '\0';
        if (ca_profile_read("p", "p", BYTES(data, size), &problem, &profile))
                check_problem(&problem);
        return 0;
}
