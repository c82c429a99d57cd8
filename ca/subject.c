/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/subject.h"

#include <stdio.h>
#include <strings.h>

#include "base/error.h"
#include "ca/text.h"
#include "crypto/csr-parts.h"

#define PARTS_MAX 32
#define VALUE_MAX 255
#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._*"

static const int part_nids[_CA_PART_MAX] = {
        [CA_PART_C] = NID_countryName,
        [CA_PART_ST] = NID_stateOrProvinceName,
        [CA_PART_L] = NID_localityName,
        [CA_PART_O] = NID_organizationName,
        [CA_PART_OU] = NID_organizationalUnitName,
        [CA_PART_CN] = NID_commonName,
        [CA_PART_SERIAL_NUMBER] = NID_serialNumber,
};

typedef struct Part {
        CaPart part;
        const char *value;
} Part;

typedef struct Parts {
        size_t n;
        Part items[PARTS_MAX];
} Parts;

/* Before the first of a later kind; a part that is there is replaced where it stands. */
static int put_part(Parts *parts, CaPart part, const char *value, bool replace)
{
        size_t at = 0;

        for (size_t i = 0; replace && i < parts->n; i++)
                if (parts->items[i].part == part) {
                        parts->items[i].value = value;
                        return 0;
                }
        if (parts->n == PARTS_MAX)
                return HF_E_LIMIT_EXCEEDED;
        while (at < parts->n && (!replace || parts->items[at].part <= part))
                at++;
        memmove(&parts->items[at + 1], &parts->items[at], (parts->n - at) * sizeof(*parts->items));
        parts->items[at] = (Part){part, value};
        parts->n++;
        return 0;
}

static void drop_part(Parts *parts, CaPart part)
{
        size_t n = 0;

        for (size_t i = 0; i < parts->n; i++)
                if (parts->items[i].part != part)
                        parts->items[n++] = parts->items[i];
        parts->n = n;
}

static int apply_sets(const char *const *set, CaProblem *problem, Parts *parts)
{
        int r = 0;

        for (; !r && set && *set; set++) {
                const char *equals = strchr(*set, '=');
                CaPart part = equals ? ca_part_from_string(*set, (size_t)(equals - *set)) : _CA_PART_MAX;

                if (part == _CA_PART_MAX)
                        return ca_refuse(problem, "'%.60s' does not set a part of a subject (C, ST, L, O, OU, CN, serialNumber)",
                                        *set);
                if (equals[1])
                        r = put_part(parts, part, equals + 1, true);
                else
                        drop_part(parts, part);
        }
        return r ? ca_refuse(problem, "the subject has more than %d parts", PARTS_MAX) : 0;
}

static const char *find_part(const Parts *parts, CaPart part)
{
        for (size_t i = 0; i < parts->n; i++)
                if (parts->items[i].part == part)
                        return parts->items[i].value;
        return NULL;
}

static int check_parts(const CaProfile *profile, const Parts *parts, CaProblem *problem)
{
        for (size_t i = 0; i < parts->n; i++)
                if (!(profile->parts & (1u << parts->items[i].part)))
                        return ca_refuse(problem, "profile %s has no %s in the subject", profile->name,
                                        ca_part_to_string(parts->items[i].part));
        for (CaPart part = 0; part < _CA_PART_MAX; part++)
                if (profile->required & (1u << part) && !find_part(parts, part))
                        return ca_refuse(problem, "profile %s wants %s in the subject; --set %s=...", profile->name,
                                        ca_part_to_string(part), ca_part_to_string(part));
        return 0;
}

static bool value_is_valid(CaPart part, const char *value)
{
        if (strlen(value) > VALUE_MAX || !ca_text_is_plain(value))
                return false;
        return part != CA_PART_C || (strlen(value) == 2 && strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 2);
}

static bool within_domains(const CaProfile *profile, const char *name)
{
        size_t len = strlen(name);

        for (size_t i = 0; i < profile->n_domains; i++) {
                const char *domain = profile->domains[i];
                size_t n = strlen(domain);

                if (len >= n && strcasecmp(name + len - n, domain) == 0 &&
                                (len == n || domain[0] == '.' || name[len - n - 1] == '.'))
                        return true;
        }
        return profile->n_domains == 0;
}

/* Clients take the CN for a host's name where there is no alternative name of kind dns. */
static int check_common_name(const CaProfile *profile, const char *name, CaProblem *problem)
{
        if (!name || !strchr(name, '.') || strspn(name, HOST_CHARACTERS) < strlen(name) || within_domains(profile, name))
                return 0;
        return ca_refuse(problem, "CN is '%.60s', which is outside the domains of profile %s", name, profile->name);
}

int subject_make(const CaCertificateParams *p, CaProblem *problem, CaSummary *summary, X509_NAME *ret)
{
        const char *value;
        Parts parts = {};
        CaPart part;
        int r = 0;

        for (size_t i = 0; !r && p->request && ca_request_part(p->request, i, &part, &value); i++)
                r = put_part(&parts, part, value, false);
        /* Who issues says which device it is, so the request cannot bear the name of another one. */
        if (!r && p->device.id && *p->device.id)
                r = put_part(&parts, CA_PART_CN, p->device.id, true);
        if (!r)
                r = apply_sets(p->set, problem, &parts);
        if (!r)
                r = check_parts(p->profile, &parts, problem);
        if (!r)
                r = check_common_name(p->profile, find_part(&parts, CA_PART_CN), problem);
        for (size_t i = 0; !r && i < parts.n; i++) {
                value = parts.items[i].value;
                /* How long each may be is OpenSSL's table (RFC 5280 appendix A.1, the upper bounds). */
                if (!value_is_valid(parts.items[i].part, value) ||
                                X509_NAME_add_entry_by_NID(ret, part_nids[parts.items[i].part], MBSTRING_UTF8,
                                                (const uint8_t *)value, -1, -1, 0) <= 0)
                        r = ca_refuse(problem, "'%.60s' cannot be the value of %s in a subject", value,
                                        ca_part_to_string(parts.items[i].part));
        }
        if (r)
                return r;
        value = find_part(&parts, CA_PART_CN);
        snprintf(summary->common_name, sizeof(summary->common_name), "%s", value ? value : "");
        value = find_part(&parts, CA_PART_OU);
        snprintf(summary->domain, sizeof(summary->domain), "%s", value ? value : "");
        return 0;
}

/* ---- alternative names ---- */

typedef struct NameList {
        size_t n;
        const char *items[CSR_NAMES_MAX + 1];
} NameList;

static int add_name(NameList *list, const char *name)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->items[i], name) == 0)
                        return 0;
        if (list->n == CSR_NAMES_MAX)
                return HF_E_LIMIT_EXCEEDED;
        list->items[list->n++] = name;
        return 0;
}

/* A device's id is given by the one who issues, not by the device. */
static int check_uri(const char *uri, const char *id, const char *label, CaProblem *problem)
{
        if (!ca_device_is_uri(uri) || strcmp(uri, id) == 0 || strcmp(uri, label) == 0)
                return 0;
        return ca_refuse(problem, "the request names the device '%.60s' itself; that is for --device-id and --device-label", uri);
}

static int collect(const CaCertificateParams *p, CaNameKind kind, NameList *list)
{
        const char *const *sources[] = {p->request ? ca_request_names(p->request, kind) : NULL, p->names[kind]};
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                for (const char *const *s = sources[i]; !r && s && *s; s++)
                        r = add_name(list, *s);
        return r;
}

static int check_names(const CaCertificateParams *p, const NameList lists[static _CA_NAME_KIND_MAX], CaProblem *problem)
{
        for (CaNameKind kind = 0; kind < _CA_NAME_KIND_MAX; kind++)
                if (lists[kind].n && !(p->profile->names & (1u << kind)))
                        return ca_refuse(problem, "profile %s has no alternative names of kind %s", p->profile->name,
                                        ca_name_kind_to_string(kind));
        for (size_t i = 0; i < lists[CA_NAME_DNS].n; i++)
                if (!within_domains(p->profile, lists[CA_NAME_DNS].items[i]))
                        return ca_refuse(problem, "'%.100s' is outside the domains of profile %s", lists[CA_NAME_DNS].items[i],
                                        p->profile->name);
        return 0;
}

int subject_make_names(const CaCertificateParams *p, CaProblem *problem, CaSummary *summary, GENERAL_NAMES **ret)
{
        NameList lists[_CA_NAME_KIND_MAX] = {};
        char id[CA_DEVICE_URI_MAX], label[CA_DEVICE_URI_MAX];
        CsrRequest all = {.dns = lists[CA_NAME_DNS].items, .ip = lists[CA_NAME_IP].items, .uri = lists[CA_NAME_URI].items,
                        .email = lists[CA_NAME_EMAIL].items};
        int r = ca_device_check(&p->device, problem);

        if (r)
                return r;
        ca_device_id_uri(&p->device, id);
        ca_device_label_uri(&p->device, label);
        for (CaNameKind kind = 0; !r && kind < _CA_NAME_KIND_MAX; kind++)
                r = collect(p, kind, &lists[kind]);
        for (size_t i = 0; !r && !(p->request && ca_request_is_ours(p->request)) && i < lists[CA_NAME_URI].n; i++)
                r = check_uri(lists[CA_NAME_URI].items[i], id, label, problem);
        if (!r && *id)
                r = add_name(&lists[CA_NAME_URI], id);
        if (!r && *label)
                r = add_name(&lists[CA_NAME_URI], label);
        if (r == HF_E_LIMIT_EXCEEDED)
                return ca_refuse(problem, "there are more than %d alternative names", CSR_NAMES_MAX);
        if (!r)
                r = check_names(p, lists, problem);
        if (!r && csr_make_names(&all, ret))
                r = ca_refuse(problem, "an alternative name is not well-formed, or there are more than %d", CSR_NAMES_MAX);
        if (!r && p->profile->named && !*ret)
                r = ca_refuse(problem, "profile %s wants an alternative name; --dns, --ip or --uri", p->profile->name);
        if (!r && lists[CA_NAME_DNS].n)
                snprintf(summary->domain, sizeof(summary->domain), "%s", lists[CA_NAME_DNS].items[0]);
        return r;
}

int subject_like(const CaIssuer *like, X509_NAME **ret)
{
        const uint8_t *der = like->subject.data;

        return d2i_X509_NAME(ret, &der, (long)like->subject.len) ? 0 : -ENOMEM;
}

int subject_like_names(const CaIssuer *like, GENERAL_NAMES **ret)
{
        const uint8_t *der = like->names.data;

        return !like->names.len || d2i_GENERAL_NAMES(ret, &der, (long)like->names.len) ? 0 : -ENOMEM;
}
