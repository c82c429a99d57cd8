/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libcurl's callback, without libcurl: its header is not needed to build this, and a test compiled with it holds the numbers. */
#include "libclient-ssl/holdfast-ssl.h"

enum { CURL_OK = 0, CURL_CERTIFICATE_PROBLEM = 58 };

HF_EXPORT unsigned hf_curl_ssl_ctx(void *curl, void *ssl_ctx, void *name);

unsigned hf_curl_ssl_ctx(void *curl, void *ssl_ctx, void *name)
{
        (void)curl;
        return hf_ssl_ctx_use(ssl_ctx, name, HF_TLS_CLIENT | HF_TLS_OWN_HOST_CHECK) == 0 ? CURL_OK : CURL_CERTIFICATE_PROBLEM;
}
