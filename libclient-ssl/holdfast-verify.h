/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Verification of certificates and of signed files, anywhere: no daemon, no network, no files but the one that was signed
 *
 *         const HfVerification v = {.certificates = {pem, pem_len}, .roots = {root, root_len}, .purpose = "client"};
 *
 *         if (hf_verify(&v) != HF_OK)
 *                 errx(1, "%s (%s)", hf_error_sentence(), hf_ssl_finding(NULL));
 *
 * The verdict is that of `holdfast verify`: RFC 5280 to the letter, OpenSSL's security level 2, P-256 as the smallest curve, DER.
 */
#include <holdfast.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero what you do not need; new members come at the end. */
typedef struct HfVerification {
        /* The certificate, then its intermediates, in PEM; or one in DER. At most 256 KiB and 16 certificates. */
        HfSpan certificates;
        /* Whom you trust: PEM, or one in DER. At most 2 MiB and 1,024 certificates. Needed; the system's are not asked. */
        HfSpan roots;
        /* Revocation lists of all CAs in the chain, the root's as well (PEM, or one in DER; at most 16 MiB). Empty: revocation is
         * not looked at. */
        HfSpan crls;
        /* "any" (NULL means it), "client", "client-only", "server", "client-server", "code-signing", "ocsp". */
        const char *purpose;
        /* As of when: seconds since 1970. 0: now. */
        uint64_t time;
        /* A detached CMS signature (RFC 5652; DER or PEM, at most 256 KiB) over what `fd` gives up to its end; the
         * certificates are in it, and `certificates` is empty. Empty: no file is meant. */
        HfSpan signature;
        int fd; /* borrowed, read to its end */
} HfVerification;

/*
 * HF_OK: the certificate is good, and with a signature so is the file. HF_ERROR_CERTIFICATE_UNUSABLE: it is not, and
 * hf_ssl_finding(NULL) has the word of what is wrong first ("expired", "untrusted", "altered", ...). HF_ERROR_INVALID_ARGS:
 * another purpose, or roots that cannot be read. HF_ERROR_INTERNAL: memory. From any thread.
 */
HF_EXPORT int hf_verify(const HfVerification *what);

#ifdef __cplusplus
}
#endif
