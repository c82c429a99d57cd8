/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libholdfast-ssl for programs that use libcurl, in its usual make with OpenSSL:
 *
 *         curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, hf_curl_ssl_ctx);
 *         curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, "telemetry");
 */
#include <curl/curl.h>
#include <holdfast-ssl.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The callback: name is that of the identity (a string that lives as long as the handle). libcurl compares the host itself, so
 * leave CURLOPT_SSL_VERIFYHOST as it is; a name (not an address) is compared here as well. CURLE_SSL_CERTPROBLEM: the identity
 * cannot be used, hf_error_sentence() says why. A libcurl with another TLS library refuses CURLOPT_SSL_CTX_FUNCTION or has
 * another type of context: look for "OpenSSL" in curl_version().
 */
HF_EXPORT CURLcode hf_curl_ssl_ctx(CURL *curl, void *ssl_ctx, void *name);

#ifdef __cplusplus
}
#endif
