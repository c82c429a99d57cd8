/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Subject alternative names (RFC 5280 section 4.2.1.6): what a peer will compare against, so each is checked. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/csr-parts.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define DNS_NAME_MAX 253
#define DNS_LABEL_MAX 63
#define URI_MAX 1024
#define EMAIL_LOCAL_MAX 64

static bool label_is_valid(const char *p, size_t n)
{
        return n >= 1 && n <= DNS_LABEL_MAX && strspn(p, ALNUM "-") >= n && p[0] != '-' && p[n - 1] != '-';
}

/* Letters, digits, hyphens (RFC 1123 section 2.1); a last label of digits alone would be an address. */
static bool host_is_valid(const char *text)
{
        const char *p = text;

        if (strlen(text) > DNS_NAME_MAX)
                return false;
        for (;;) {
                size_t n = strcspn(p, ".");

                if (!label_is_valid(p, n))
                        return false;
                if (p[n] == '\0')
                        return strspn(p, "0123456789") < n;
                p += n + 1;
        }
}

static bool dns_is_valid(const char *text)
{
        return host_is_valid(strncmp(text, "*.", 2) == 0 ? text + 2 : text) && strlen(text) <= DNS_NAME_MAX;
}

static bool is_visible(const char *text)
{
        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
                if (*p <= 0x20 || *p >= 0x7f)
                        return false;
        return true;
}

static bool uri_is_valid(const char *text)
{
        size_t n = strspn(text, ALNUM "+-.");

        return strlen(text) <= URI_MAX && is_visible(text) && isalpha((unsigned char)text[0]) && text[n] == ':' &&
               text[n + 1] != '\0' && !strpbrk(text, "\"<>\\^`{|}");
}

static bool email_is_valid(const char *text)
{
        const char *at = strchr(text, '@');

        return at && at > text && at - text <= EMAIL_LOCAL_MAX && is_visible(text) &&
               !strpbrk(text, "\"(),:;<>[\\]") && host_is_valid(at + 1);
}

static int add(GENERAL_NAMES *names, int type, const void *data, size_t len)
{
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value = ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

        if (!name || !value || !ASN1_STRING_set(value, data, (int)len)) {
                GENERAL_NAME_free(name);
                ASN1_STRING_free(value);
                return -ENOMEM;
        }
        GENERAL_NAME_set0_value(name, type, value);
        if (!sk_GENERAL_NAME_push(names, name)) {
                GENERAL_NAME_free(name);
                return -ENOMEM;
        }
        return 0;
}

static int add_ip(GENERAL_NAMES *names, const char *text)
{
        uint8_t address[16];

        if (inet_pton(AF_INET, text, address) == 1)
                return add(names, GEN_IPADD, address, 4);
        if (inet_pton(AF_INET6, text, address) == 1)
                return add(names, GEN_IPADD, address, 16);
        return HF_E_INVALID_ARGS;
}

static int add_list(GENERAL_NAMES *names, int type, const char *const *list, bool (*is_valid)(const char *))
{
        int r = 0;

        for (; !r && list && *list; list++)
                if (sk_GENERAL_NAME_num(names) >= CSR_NAMES_MAX)
                        r = HF_E_INVALID_ARGS;
                else if (type == GEN_IPADD)
                        r = add_ip(names, *list);
                else
                        r = is_valid(*list) ? add(names, type, *list, strlen(*list)) : HF_E_INVALID_ARGS;
        return r;
}

int csr_make_names(const CsrRequest *request, GENERAL_NAMES **ret)
{
        GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
        int r;

        if (!names)
                return -ENOMEM;
        (void)((r = add_list(names, GEN_DNS, request->dns, dns_is_valid)) ||
                (r = add_list(names, GEN_IPADD, request->ip, NULL)) ||
                (r = add_list(names, GEN_URI, request->uri, uri_is_valid)) ||
                (r = add_list(names, GEN_EMAIL, request->email, email_is_valid)));
        if (!r && sk_GENERAL_NAME_num(names) > 0) {
                *ret = names;
                return 0;
        }
        GENERAL_NAMES_free(names);
        if (!r)
                *ret = NULL;
        return r;
}
