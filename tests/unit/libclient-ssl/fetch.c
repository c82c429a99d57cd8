/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fetch NAME URL [no-verify]: a page by libcurl as that identity
 *
 * no-verify asks libcurl to look away, which it must not do. The status is libcurl's.
 */
#include <curl/curl.h>
#include <holdfast-curl.h>
#include <stdio.h>

_Static_assert(CURLE_OK == 0 && CURLE_SSL_CERTPROBLEM == 58, "as libclient-ssl/curl.c has them");

int main(int argc, char **argv)
{
        CURL *curl = curl_easy_init();
        CURLcode r = CURLE_FAILED_INIT;

        if (argc < 3 || !curl)
                return 2;
        curl_easy_setopt(curl, CURLOPT_URL, argv[2]);
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, hf_curl_ssl_ctx);
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, argv[1]);
        if (argc > 3) {
                curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
                curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        }
        r = curl_easy_perform(curl);
        if (r != CURLE_OK)
                fprintf(stderr, "%s: %s (%s)\n", curl_easy_strerror(r), hf_error_sentence(), hf_ssl_finding(NULL));
        curl_easy_cleanup(curl);
        return (int)r;
}
