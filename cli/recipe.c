/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/recipe.h"

#include <string.h>

#include "cli/tls-files.h"

static const Recipe recipes[] = {
                {"nginx", "nginx.service", "/etc/nginx/nginx.conf", "user", "www-data", NULL, "the server block",
                                {"ssl_certificate     @/fullchain.pem;", "ssl_certificate_key @/key.pem;",
                                                "{ssl_crl             @/crl.pem;}", "{ssl_verify_depth    10;}"}},
                {"haproxy", "haproxy.service", "/etc/haproxy/haproxy.cfg", "user", "haproxy", "chroot",
                                "the bind line of a frontend; a server line takes the same", {"ssl crt @/bundle.pem"}},
                {"apache", "apache2.service", "/etc/apache2/envvars", "APACHE_RUN_USER", "www-data", NULL, "the virtual host",
                                {"SSLCertificateFile    @/fullchain.pem", "SSLCertificateKeyFile @/key.pem"}},
                {"mosquitto", "mosquitto.service", "/etc/mosquitto/mosquitto.conf", "user", "mosquitto", NULL, "the listener",
                                {"certfile @/fullchain.pem", "keyfile @/key.pem", "{crlfile @/crl.pem}"}},
                {"stunnel", "stunnel@.service", "/etc/stunnel/stunnel.conf", "setuid", "root", "chroot", "the service section",
                                {"cert = @/fullchain.pem", "key = @/key.pem"}},
                {"curl", NULL, NULL, NULL, NULL, NULL, "the shell, with the URL behind",
                                {"export OPENSSL_CONF=%", "tls=@",
                                                "curl --cert $tls/fullchain.pem --key $tls/key.pem[ --cacert $tls/ca.pem]"}},
};

const Recipe *recipe_find(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(recipes); i++)
                if (strcmp(recipes[i].name, name) == 0)
                        return &recipes[i];
        return NULL;
}

const char *recipe_names(void)
{
        return "nginx, haproxy, apache, mosquitto, stunnel and curl";
}

/* A comment begins with #, or with ; at the beginning of a line, and is the rest of the line. */
static bool is_comment(const char *text, bool at_line)
{
        return *text == '#' || (at_line && *text == ';');
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r';
}

/* The next word and what it leaves; = and := count as blanks, as some configurations write them. */
static size_t next_word(const char **text, const char *end)
{
        const char *word;

        while (*text < end && (is_blank(**text) || **text == '=' || **text == ':'))
                (*text)++;
        word = *text;
        while (*text < end && !is_blank(**text) && **text != '=' && **text != ':')
                (*text)++;
        return (size_t)(*text - word);
}

static bool statement_has(const char *at, const char *end, const char *word, char ret[static RECIPE_VALUE_SIZE])
{
        size_t n = next_word(&at, end), extra = 0;
        const char *value;

        if (n == strlen("export") && memcmp(at - n, "export", n) == 0)
                n = next_word(&at, end);
        if (n != strlen(word) || memcmp(at - n, word, n) != 0)
                return false;
        n = next_word(&at, end);
        value = at - n;
        while (next_word(&at, end) > 0)
                extra++;
        if (n == 0 || n >= RECIPE_VALUE_SIZE || extra > 1)
                return false;
        memcpy(ret, value, n);
        ret[n] = '\0';
        return true;
}

bool recipe_setting(const char *text, const char *word, char ret[static RECIPE_VALUE_SIZE])
{
        for (bool at_line = true; *text;) {
                size_t n;

                text += strspn(text, " \t\r");
                if (is_comment(text, at_line)) {
                        text += strcspn(text, "\n");
                } else {
                        n = strcspn(text, "\n;{}#");
                        if (statement_has(text, text + n, word, ret))
                                return true;
                        text += n;
                }
                at_line = *text == '\n';
                text += *text && *text != '#';
        }
        return false;
}

static int expand(const char *line, const char *name, bool has_ca, bool has_lists, Buffer *ret)
{
        int r = 0;

        for (const char *p = line; !r && *p; p++) {
                if (*p == '[' && !has_ca)
                        p = strchr(p, ']');
                else if (*p == '{' && !has_lists)
                        p = strchr(p, '}');
                else if (*p == '@')
                        r = buffer_printf(ret, "%s/%s", tls_directory(), name);
                else if (*p == '%')
                        r = buffer_printf(ret, "%s", tls_openssl_conf());
                else if (!strchr("[]{}", *p))
                        r = buffer_append(ret, p, 1);
        }
        return r;
}

json_t *recipe_lines(const Recipe *recipe, const char *name)
{
        _cleanup_free_ char *ca = NULL, *lists = NULL;
        _cleanup_json_ json_t *lines = json_array();
        bool has_ca, has_lists;

        if (!lines || tls_path(name, "ca.pem", &ca) || tls_path(name, "crl.pem", &lists))
                return NULL;
        has_lists = access(lists, F_OK) == 0;
        has_ca = access(ca, F_OK) == 0 || !tls_is_there(name); /* of one to come it is likely */
        for (size_t i = 0; i < ELEMENTSOF(recipe->lines) && recipe->lines[i]; i++) {
                _cleanup_buffer_ Buffer line = BUFFER_INIT(16384);

                if (expand(recipe->lines[i], name, has_ca, has_lists, &line) ||
                                (line.len && json_array_append_new(lines, json_stringn((const char *)line.data, line.len))))
                        return NULL;
        }
        return TAKE_PTR(lines);
}
