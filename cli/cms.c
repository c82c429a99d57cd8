/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sign --cms: a detached signature over a file of any size, with the certificates of the identity. */
#include "cli/cms.h"

#include <errno.h>
#include <fcntl.h>

#include "cli/findings.h"
#include "x509/cms-sign.h"
#include "x509/identity.h"

/* The result goes to --output, or to stdout, like any signature. */
static int sign_fd(Cli *cli, const CertIdentity *identity, int fd, FindingList *findings)
{
        _cleanup_buffer_ Buffer cms = BUFFER_INIT(CMS_FILE_MAX);
        _cleanup_cert_key_ CertKey key = {.pkey = NULL};
        int r = cert_key_load(buffer_bytes(&identity->reference), findings, &key);

        if (r == 0)
                r = cms_sign(identity->chain, &key, fd, findings, &cms);
        if (r > 0)
                return findings_fail(cli, findings);
        return r ? cli_fail_file(cli, cli->options.cms, r)
                 : show_bytes(cli, BYTES_BINARY, "cms", (HfSpan){cms.data, cms.len});
}

int cms_run(Cli *cli)
{
        _cleanup_identity_ CertIdentity identity = {.chain = NULL};
        _cleanup_close_ int fd = -EBADF;
        FindingList findings = {.n = 0};
        int r;

        if (cli->n_args > 1 || cli->options.digest || cli->options.scheme || cli->options.encoding)
                return cli_usage(cli, "--cms names the file; the certificate decides about the rest.");
        r = cert_identity_load(cert_directory(), cli->args[0], &findings, &identity);
        if (r == HF_E_INVALID_NAME)
                return cli_usage(cli, "'%s' is not the name of an identity.", cli->args[0]);
        if (r == 0)
                r = cert_identity_check(&identity, CERT_USAGE_ANY, 0, &findings);
        if (r < 0)
                return cli_fail_file(cli, cert_directory(), r);
        if (findings.n > 0)
                return findings_fail(cli, &findings);
        fd = open(cli->options.cms, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? cli_fail_file(cli, cli->options.cms, errno) : sign_fd(cli, &identity, fd, &findings);
}
