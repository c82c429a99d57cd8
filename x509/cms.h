/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Signed files (RFC 5652)
 *
 * A detached signature over a file of any size, which is digested as it is read, with the certificate that made it and its
 * intermediates inside. Made by x509/cms-sign.h.
 */
#include "x509/chain.h"

#define CMS_FILE_MAX (256 * 1024)

/* Is it the signature of the certificate that is inside, over what fd gives? 0 with that certificate and the others as a chain,
 * which is still to be checked; HF_E_INVALID_ARGS with a finding (malformed, altered, weak-signature); -errno. One signer, no
 * SHA-1; PEM (CMS, PKCS7) or DER. */
int cms_verify(Bytes cms, int fd, FindingList *findings, CertChain **ret);

/* Inside this room: was the file really read to its end? OpenSSL takes a read that fails for one. 0; 1: there is more; -errno. */
int cms_at_end(int fd);
