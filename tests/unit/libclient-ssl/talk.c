/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One end of TLS as a program would write it, driven from outside
 *
 *         talk client|own|use NAME [CRL]    for each line "PORT HOST" on standard input a handshake: HOST is a host, "-" for none,
 *                                           "sni:NAME" for SNI alone, "again" for resuming the last session
 *         talk server|mutual NAME           says its port; then a line for each connection
 *         talk key NAME                     the key alone; 0 if what it signs is good
 *
 * Lines on standard output: "ok VERSION CN" (", resumed"), or "WORD RESULT SENTENCE" of what went wrong.
 */
#include <arpa/inet.h>
#include <err.h>
#include <holdfast-ssl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_SESSION *last_session;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
        (void)ssl;
        SSL_SESSION_free(last_session);
        last_session = session;
        return 1;
}

static void say_failure(const SSL *ssl)
{
        const char *word = hf_ssl_finding(ssl);

        printf("%s %s %s\n", word, hf_error_to_name(hf_error()), hf_error_sentence());
}

static void say_peer(SSL *ssl)
{
        char name[128] = "-";
        X509 *peer = SSL_get0_peer_certificate(ssl);

        if (peer)
                X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof(name));
        printf("ok %s %s%s\n", SSL_get_version(ssl), name, SSL_session_reused(ssl) ? ", resumed" : "");
}

static int dial(const char *port)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
                err(1, "port %s", port);
        return fd;
}

static bool mean(SSL *ssl, const char *host)
{
        if (strcmp(host, "-") == 0)
                return true;
        if (strncmp(host, "sni:", 4) == 0)
                return SSL_set_tlsext_host_name(ssl, host + 4) == 1;
        if (strcmp(host, "again") == 0)
                return SSL_set_session(ssl, last_session) == 1 && hf_ssl_set_host(ssl, "localhost") == 0;
        return hf_ssl_set_host(ssl, host) == 0;
}

/* With TLS 1.3 the server's opinion of us comes with the first answer. */
static void visit(SSL_CTX *ctx, const char *port, const char *host)
{
        static const char request[] = "GET / HTTP/1.0\r\n\r\n";
        char answer[256];
        SSL *ssl = SSL_new(ctx);
        int fd = dial(port);

        ERR_clear_error();
        if (!mean(ssl, host) || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1 || SSL_write(ssl, request, sizeof(request) - 1) <= 0 ||
                        SSL_read(ssl, answer, sizeof(answer)) <= 0)
                say_failure(ssl);
        else
                say_peer(ssl);
        SSL_shutdown(ssl);
        SSL_free(ssl);
        close(fd);
}

static void serve(SSL_CTX *ctx, int fd)
{
        static const char page[] = "HTTP/1.0 200 ok\r\n\r\nhello\n";
        char request[4096];
        SSL *ssl = SSL_new(ctx);

        ERR_clear_error();
        if (SSL_set_fd(ssl, fd) != 1 || SSL_accept(ssl) != 1)
                say_failure(ssl);
        else {
                say_peer(ssl);
                if (SSL_read(ssl, request, sizeof(request)) > 0)
                        SSL_write(ssl, page, sizeof(page) - 1);
                SSL_shutdown(ssl);
        }
        SSL_free(ssl);
        close(fd);
}

static int run_server(SSL_CTX *ctx)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(a);
        int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

        if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 16) < 0 || getsockname(s, (struct sockaddr *)&a, &len) < 0)
                err(1, "listen");
        printf("%d\n", ntohs(a.sin_port));
        while ((fd = accept(s, NULL, NULL)) >= 0)
                serve(ctx, fd);
        return 1;
}

static int run_client(SSL_CTX *ctx)
{
        char line[256], port[16], host[200];

        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, keep_session);
        while (fgets(line, sizeof(line), stdin))
                if (sscanf(line, "%15s %199s", port, host) == 2)
                        visit(ctx, port, host);
        SSL_SESSION_free(last_session);
        SSL_CTX_free(ctx);
        return 0;
}

/* The key alone signs in the program's own library context, and what it signs is good. */
static int try_key(const char *name)
{
        static const uint8_t message[] = "a message";
        EVP_PKEY *key = hf_pkey(name);
        const char *digest = key && EVP_PKEY_is_a(key, "ED25519") ? NULL : "SHA256";
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        uint8_t sig[HF_SIGNATURE_MAX];
        size_t len = sizeof(sig);
        int r = 3;

        if (!key)
                say_failure(NULL);
        else if (EVP_DigestSignInit_ex(c, NULL, digest, NULL, NULL, key, NULL) != 1 ||
                        EVP_DigestSign(c, sig, &len, message, sizeof(message)) != 1)
                puts("does not sign");
        else if (EVP_MD_CTX_reset(c) != 1 || EVP_DigestVerifyInit_ex(c, NULL, digest, NULL, NULL, key, NULL) != 1 ||
                        EVP_DigestVerify(c, sig, len, message, sizeof(message)) != 1)
                puts("signs badly");
        else
                r = 0;
        EVP_MD_CTX_free(c);
        EVP_PKEY_free(key);
        return r;
}

/* A context of the program's own, with a revocation list in it. */
static SSL_CTX *with_crl(const char *name, const char *path)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        FILE *f = fopen(path, "re");
        X509_CRL *crl = f ? PEM_read_X509_CRL(f, NULL, NULL, NULL) : NULL;

        if (!crl || X509_STORE_add_crl(SSL_CTX_get_cert_store(ctx), crl) != 1)
                errx(1, "no list");
        X509_CRL_free(crl);
        fclose(f);
        X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_CRL_CHECK);
        return hf_ssl_ctx_use(ctx, name, HF_TLS_CLIENT) == 0 ? ctx : NULL;
}

int main(int argc, char **argv)
{
        static const struct {
                const char *word;
                unsigned flags;
        } roles[] = {{"client", HF_TLS_CLIENT}, {"own", HF_TLS_CLIENT | HF_TLS_OWN_HOST_CHECK}, {"server", HF_TLS_SERVER},
                        {"mutual", HF_TLS_SERVER_MUTUAL}};
        SSL_CTX *ctx = NULL;

        signal(SIGPIPE, SIG_IGN);
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc == 3 && strcmp(argv[1], "key") == 0)
                return try_key(argv[2]);
        if (argc == 4 && strcmp(argv[1], "use") == 0)
                ctx = with_crl(argv[2], argv[3]);
        for (size_t i = 0; argc == 3 && i < sizeof(roles) / sizeof(roles[0]); i++)
                if (strcmp(argv[1], roles[i].word) == 0)
                        ctx = hf_ssl_ctx_new(argv[2], roles[i].flags);
        if (!ctx) {
                say_failure(NULL);
                return 3;
        }
        return strcmp(argv[1], "server") == 0 || strcmp(argv[1], "mutual") == 0 ? run_server(ctx) : run_client(ctx);
}
