/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/profile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"

#define VALUES_MAX 32

typedef struct Word {
        const char *text;
        int value;
} Word;

static const Word part_words[] = {
        {"C", CA_PART_C}, {"ST", CA_PART_ST}, {"L", CA_PART_L}, {"O", CA_PART_O}, {"OU", CA_PART_OU}, {"CN", CA_PART_CN},
        {"serialNumber", CA_PART_SERIAL_NUMBER}, {0},
};
static const Word name_words[] = {
        {"dns", CA_NAME_DNS}, {"ip", CA_NAME_IP}, {"uri", CA_NAME_URI}, {"email", CA_NAME_EMAIL}, {0},
};
static const Word usage_words[] = {
        {"digitalSignature", CA_USAGE_DIGITAL_SIGNATURE}, {"keyEncipherment", CA_USAGE_KEY_ENCIPHERMENT},
        {"keyAgreement", CA_USAGE_KEY_AGREEMENT}, {"keyCertSign", CA_USAGE_KEY_CERT_SIGN}, {"cRLSign", CA_USAGE_CRL_SIGN}, {0},
};
static const Word extended_words[] = {
        {"serverAuth", CA_EXTENDED_SERVER_AUTH}, {"clientAuth", CA_EXTENDED_CLIENT_AUTH},
        {"codeSigning", CA_EXTENDED_CODE_SIGNING}, {"timeStamping", CA_EXTENDED_TIME_STAMPING},
        {"OCSPSigning", CA_EXTENDED_OCSP_SIGNING}, {0},
};
static const Word yes_words[] = {{"no", false}, {"yes", true}, {0}};

typedef struct Reader {
        const char *path;
        unsigned line;
        const char *start; /* of the line */
        CaProblem *problem;
        CaProfile *profile;
} Reader;

typedef struct Value {
        const char *text; /* in the line, not terminated */
        size_t len;
} Value;

static int fail(const Reader *r, const char *at, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(const Reader *r, const char *at, const char *format, ...)
{
        char sentence[128];
        va_list ap;

        va_start(ap, format);
        vsnprintf(sentence, sizeof(sentence), format, ap);
        va_end(ap);
        (void)ca_refuse(r->problem, "%.100s:%u:%u: %s", r->path, r->line, (unsigned)(at - r->start) + 1, sentence);
        return HF_E_INVALID_ARGS;
}

static int find_word(const Word *words, const char *text, size_t len)
{
        for (const Word *w = words; w->text; w++)
                if (strlen(w->text) == len && strncmp(w->text, text, len) == 0)
                        return w->value;
        return -1;
}

static int fail_unknown(const Reader *r, Value v)
{
        return fail(r, v.text, "'%.*s' is unknown here", (int)(v.len < 40 ? v.len : 40), v.text);
}

static int take_number(const Reader *r, const Value *v, size_t n, long max, long *ret)
{
        char text[16];
        char *end;

        if (n != 1 || v->len >= sizeof(text))
                return fail(r, v->text, "one number is wanted");
        memcpy(text, v->text, v->len);
        text[v->len] = '\0';
        *ret = strtol(text, &end, 10);
        if (*end || text[0] < '0' || text[0] > '9' || *ret > max)
                return fail(r, v->text, "a number from 0 to %ld is wanted", max);
        return 0;
}

static int take_bits(const Reader *r, const Word *words, const Value *v, size_t n, uint32_t *ret)
{
        for (size_t i = 0; i < n; i++) {
                int value = find_word(words, v[i].text, v[i].len);

                if (value < 0)
                        return fail_unknown(r, v[i]);
                *ret |= 1u << value;
        }
        return 0;
}

static int take_yes(const Reader *r, const Value *v, size_t n, bool *ret)
{
        int value = n == 1 ? find_word(yes_words, v->text, v->len) : -1;

        if (value < 0)
                return fail(r, v->text, "'yes' or 'no' is wanted");
        *ret = value;
        return 0;
}

static int set_authority(Reader *r, const Value *v, size_t n)
{
        return take_yes(r, v, n, &r->profile->authority);
}

static int set_no_check(Reader *r, const Value *v, size_t n)
{
        return take_yes(r, v, n, &r->profile->no_check);
}

static int take_days(Reader *r, const Value *v, size_t n, uint32_t *ret)
{
        long days;
        int result = take_number(r, v, n, CA_DAYS_MAX, &days);

        if (!result && days == 0)
                result = fail(r, v->text, "a certificate lives for a day at least");
        if (!result)
                *ret = (uint32_t)days;
        return result;
}

static int set_days(Reader *r, const Value *v, size_t n)
{
        return take_days(r, v, n, &r->profile->days);
}

static int set_max_days(Reader *r, const Value *v, size_t n)
{
        return take_days(r, v, n, &r->profile->max_days);
}

/* Printable ASCII without what RFC 3986 leaves out, so that whoever follows it reads what we have read. */
static int take_url(Reader *r, const Value *v, size_t n, CaUrl url)
{
        bool http = v->len > strlen("http://") && strncmp(v->text, "http://", strlen("http://")) == 0;
        bool https = v->len > strlen("https://") && strncmp(v->text, "https://", strlen("https://")) == 0;

        if (n != 1 || v->len > CA_URL_MAX || (!http && !https))
                return fail(r, v->text, "one URL of http or https is wanted, of at most %d characters", CA_URL_MAX);
        for (size_t i = 0; i < v->len; i++)
                if (v->text[i] <= ' ' || v->text[i] > '~' || strchr("\"<>\\^`|", v->text[i]))
                        return fail(r, v->text + i, "this character cannot be in a URL");
        memcpy(r->profile->urls[url], v->text, v->len);
        return 0;
}

static int set_ocsp_url(Reader *r, const Value *v, size_t n)
{
        return take_url(r, v, n, CA_URL_OCSP);
}

static int set_issuer_url(Reader *r, const Value *v, size_t n)
{
        return take_url(r, v, n, CA_URL_ISSUER);
}

static int set_crl_url(Reader *r, const Value *v, size_t n)
{
        return take_url(r, v, n, CA_URL_CRL);
}

static int set_path_length(Reader *r, const Value *v, size_t n)
{
        long length;
        int result = take_number(r, v, n, 8, &length);

        if (!result)
                r->profile->path_length = (int)length;
        return result;
}

static int set_keys(Reader *r, const Value *v, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                KeyAlgorithm a = _KEY_ALGORITHM_INVALID;
                char name[16];

                if (v[i].len < sizeof(name)) {
                        memcpy(name, v[i].text, v[i].len);
                        name[v[i].len] = '\0';
                        a = key_algorithm_from_string(name);
                }
                if (!a || !(key_algorithm_info(a)->purposes & (1u << PURPOSE_SIGN)))
                        return fail_unknown(r, v[i]);
                r->profile->keys |= 1u << a;
        }
        return 0;
}

/* "CN!" must be there, "OU" may be. */
static int set_subject(Reader *r, const Value *v, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                size_t len = v[i].len;
                bool must = len && v[i].text[len - 1] == '!';
                CaPart part = ca_part_from_string(v[i].text, len - must);

                if (part == _CA_PART_MAX)
                        return fail_unknown(r, v[i]);
                r->profile->parts |= 1u << part;
                if (must)
                        r->profile->required |= 1u << part;
        }
        return 0;
}

static int set_names(Reader *r, const Value *v, size_t n)
{
        return take_bits(r, name_words, v, n, &r->profile->names);
}

static int set_named(Reader *r, const Value *v, size_t n)
{
        return take_yes(r, v, n, &r->profile->named);
}

/* "keyEncipherment:rsa": for RSA keys only. */
static int set_usage(Reader *r, const Value *v, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                bool rsa = v[i].len > 4 && strncmp(v[i].text + v[i].len - 4, ":rsa", 4) == 0;
                int bit = find_word(usage_words, v[i].text, v[i].len - (rsa ? 4 : 0));

                if (bit < 0)
                        return fail_unknown(r, v[i]);
                *(rsa ? &r->profile->usage_rsa : &r->profile->usage) |= 1u << bit;
        }
        return 0;
}

static int set_extended(Reader *r, const Value *v, size_t n)
{
        return take_bits(r, extended_words, v, n, &r->profile->extended);
}

static int set_domains(Reader *r, const Value *v, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (v[i].len > CA_DOMAIN_MAX || r->profile->n_domains == CA_DOMAINS_MAX)
                        return fail(r, v[i].text, "at most %d domains of at most %d characters", CA_DOMAINS_MAX, CA_DOMAIN_MAX);
                memcpy(r->profile->domains[r->profile->n_domains++], v[i].text, v[i].len);
        }
        return 0;
}

static const struct {
        const char *name;
        int (*set)(Reader *r, const Value *v, size_t n);
} settings[] = {
        {"authority", set_authority}, {"path-length", set_path_length}, {"days", set_days}, {"keys", set_keys},
        {"subject", set_subject}, {"names", set_names}, {"named", set_named}, {"domains", set_domains}, {"usage", set_usage},
        {"extended", set_extended}, {"no-check", set_no_check}, {"max-days", set_max_days}, {"ocsp-url", set_ocsp_url},
        {"issuer-url", set_issuer_url}, {"crl-url", set_crl_url},
};

static int split(const Reader *r, const char *p, const char *end, Value ret[static VALUES_MAX], size_t *ret_n)
{
        size_t n = 0;

        while (p < end) {
                size_t len = 0;

                if (*p == ' ' || *p == '\t' || *p == ',') {
                        p++;
                        continue;
                }
                while (p + len < end && !strchr(" \t,", p[len]))
                        len++;
                if (n == VALUES_MAX)
                        return fail(r, p, "too many values");
                ret[n++] = (Value){p, len};
                p += len;
        }
        if (n == 0)
                return fail(r, end, "a value is wanted");
        *ret_n = n;
        return 0;
}

static int read_line(Reader *r, const char *p, const char *end, uint32_t *seen)
{
        Value values[VALUES_MAX];
        const char *equals, *name_end;
        size_t n, i = 0;
        int result;

        while (p < end && (*p == ' ' || *p == '\t'))
                p++;
        while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        if (p == end || *p == '#')
                return 0;
        equals = memchr(p, '=', (size_t)(end - p));
        if (!equals)
                return fail(r, p, "'word = values' is wanted");
        for (name_end = equals; name_end > p && (name_end[-1] == ' ' || name_end[-1] == '\t');)
                name_end--;
        while (i < ELEMENTSOF(settings) && (strlen(settings[i].name) != (size_t)(name_end - p) ||
                                                           strncmp(settings[i].name, p, (size_t)(name_end - p))))
                i++;
        if (i == ELEMENTSOF(settings))
                return fail_unknown(r, (Value){p, (size_t)(name_end - p)});
        if (*seen & (1u << i))
                return fail(r, p, "'%s' is said twice", settings[i].name);
        *seen |= 1u << i;
        result = split(r, equals + 1, end, values, &n);
        return result ? result : settings[i].set(r, values, n);
}

/* What no single line can see. */
static int check_whole(const Reader *r)
{
        const CaProfile *p = r->profile;
        const uint32_t signs = 1u << CA_USAGE_KEY_CERT_SIGN;

        if (!p->days || !p->keys || !p->usage)
                return fail(r, r->start, "days, keys and usage are wanted");
        if (p->max_days && p->days > p->max_days)
                return fail(r, r->start, "days is more than max-days");
        if (p->authority != !!((p->usage | p->usage_rsa) & signs))
                return fail(r, r->start, "keyCertSign and authority go together");
        if (!p->authority && p->path_length >= 0)
                return fail(r, r->start, "path-length is for authorities");
        if (p->named && !p->names)
                return fail(r, r->start, "named wants names");
        return 0;
}

int ca_profile_read(const char *path, const char *name, Bytes text, CaProblem *problem, CaProfile *ret)
{
        CaProfile profile = {.path_length = -1};
        Reader r = {.path = path, .start = (const char *)text.data, .problem = problem, .profile = &profile};
        const char *end = (const char *)text.data + text.len;
        uint32_t seen = 0;
        int result;

        if (!name_is_valid(name) || text.len > CA_PROFILE_FILE_MAX || memchr(text.data, '\0', text.len))
                return fail(&r, r.start, "no text of at most %d bytes", CA_PROFILE_FILE_MAX);
        for (const char *p = r.start; p < end;) {
                const char *newline = memchr(p, '\n', (size_t)(end - p));
                const char *stop = newline ? newline : end;

                r.line++;
                r.start = p;
                result = read_line(&r, p, stop, &seen);
                if (result)
                        return result;
                p = newline ? newline + 1 : end;
        }
        r.line++;
        r.start = end;
        result = check_whole(&r);
        if (result)
                return result;
        snprintf(profile.name, sizeof(profile.name), "%s", name);
        *ret = profile;
        return 0;
}

const char *ca_part_to_string(CaPart part)
{
        return part < _CA_PART_MAX ? part_words[part].text : NULL;
}

CaPart ca_part_from_string(const char *text, size_t len)
{
        for (const Word *w = part_words; w->text; w++)
                if (strlen(w->text) == len && strncasecmp(w->text, text, len) == 0)
                        return (CaPart)w->value;
        return _CA_PART_MAX;
}

const char *ca_name_kind_to_string(CaNameKind kind)
{
        return kind < _CA_NAME_KIND_MAX ? name_words[kind].text : NULL;
}
