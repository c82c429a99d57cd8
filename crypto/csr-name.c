/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Distinguished names as people write them (RFC 4514). OpenSSL has a printer for this form and no parser. Which string
 * type an attribute gets and how long it may be (RFC 5280 appendix A.1, the upper bounds) is OpenSSL's table.
 */
#include <openssl/objects.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crypto/csr-parts.h"

#define SUBJECT_MAX 2048
#define VALUE_MAX 255
#define PARTS_MAX 32

static const struct {
        const char *name;
        int nid;
} attributes[] = {
        {"C", NID_countryName},
        {"ST", NID_stateOrProvinceName},
        {"L", NID_localityName},
        {"O", NID_organizationName},
        {"OU", NID_organizationalUnitName},
        {"CN", NID_commonName},
        {"DC", NID_domainComponent},
        {"serialNumber", NID_serialNumber},
        {"emailAddress", NID_pkcs9_emailAddress},
};

static int take_type(const char **p)
{
        size_t n;

        *p += strspn(*p, " ");
        n = strcspn(*p, "=");
        if ((*p)[n] != '=')
                return NID_undef;
        for (size_t i = 0; i < ELEMENTSOF(attributes); i++)
                if (strlen(attributes[i].name) == n && strncasecmp(attributes[i].name, *p, n) == 0) {
                        *p += n + 1;
                        return attributes[i].nid;
                }
        return NID_undef;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What follows a backslash: one special character, or two hex digits. -1 if neither. */
static int take_escape(const char **p)
{
        int hi = hex_digit((*p)[0]), lo = hi < 0 ? -1 : hex_digit((*p)[1]);
        char c = **p;

        if (lo >= 0) {
                *p += 2;
                return hi << 4 | lo;
        }
        if (c == '\0' || !strchr(" \"#+,;<=>\\", c))
                return -1;
        (*p)++;
        return c;
}

/* Up to the next unescaped comma or plus. */
static int take_value(const char **p, uint8_t ret[static VALUE_MAX], size_t *ret_len)
{
        bool trailing_space = false;
        size_t n = 0;

        if (**p == '#' || **p == ' ')
                return HF_E_INVALID_ARGS;
        while (**p && **p != ',' && **p != '+') {
                int c = (unsigned char)*(*p)++;

                trailing_space = c == ' ';
                if (c == '\\')
                        c = take_escape(p);
                else if (strchr("\";<>", c))
                        return HF_E_INVALID_ARGS;
                if (c < 0x20 || c == 0x7f || n == VALUE_MAX)
                        return HF_E_INVALID_ARGS;
                ret[n++] = (uint8_t)c;
        }
        if (n == 0 || trailing_space)
                return HF_E_INVALID_ARGS;
        *ret_len = n;
        return 0;
}

static bool fits(int nid, Bytes value)
{
        if (nid == NID_countryName)
                return value.len == 2 && value.data[0] >= 'A' && value.data[0] <= 'Z' && value.data[1] >= 'A' &&
                       value.data[1] <= 'Z';
        return nid != NID_domainComponent || value.len <= 63;
}

int csr_parse_subject(const char *text, X509_NAME *name)
{
        bool joined = false; /* by a plus to the part before */
        const char *p = text;

        if (strlen(text) > SUBJECT_MAX)
                return HF_E_INVALID_ARGS;
        while (*p) {
                int nid = take_type(&p);
                uint8_t value[VALUE_MAX];
                size_t len;

                if (nid == NID_undef || take_value(&p, value, &len) || !fits(nid, BYTES(value, len)))
                        return HF_E_INVALID_ARGS;
                /* Each part goes in front of those before it, or into the same set. */
                if (X509_NAME_entry_count(name) >= PARTS_MAX ||
                                X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, value, (int)len, 0, joined) <= 0)
                        return HF_E_INVALID_ARGS;
                joined = *p == '+';
                if (*p && *++p == '\0')
                        return HF_E_INVALID_ARGS;
        }
        return 0;
}
