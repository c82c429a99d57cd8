/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says hello to HOST:PORT as the identity "telemetry": cc tls.c $(pkg-config --cflags --libs holdfast-ssl) */
#include <err.h>
#include <holdfast-ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
        char *host = argc > 1 ? strndup(argv[1], strcspn(argv[1], ":")) : NULL, answer[4096];
        SSL_CTX *ctx = hf_ssl_ctx_new("telemetry", HF_TLS_CLIENT);
        BIO *bio = ctx ? BIO_new_ssl_connect(ctx) : NULL;
        SSL *ssl = NULL;
        int n;

        if (!ctx)
                errx(1, "%s (%s)", hf_error_sentence(), hf_ssl_finding(NULL));
        if (!host || !bio || BIO_get_ssl(bio, &ssl) != 1 || hf_ssl_set_host(ssl, host) != 0)
                errx(2, "usage: tls HOST:PORT");
        BIO_set_conn_hostname(bio, argv[1]);
        if (BIO_puts(bio, "GET / HTTP/1.0\r\n\r\n") <= 0)
                errx(1, "%s: %s", hf_ssl_finding(ssl), hf_error_sentence());
        while ((n = BIO_read(bio, answer, sizeof(answer))) > 0)
                fwrite(answer, 1, (size_t)n, stdout);
        BIO_free_all(bio);
        SSL_CTX_free(ctx);
        free(host);
        return 0;
}
