/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interface org.holdfast.Keystore1.Identity, and the Manager's methods about identities. What is put in by hand is
 * checked here before it is a change: it came as PEM from somebody who may do this, and is kept as PEM that we have written.
 */
#include "daemon/bus-identity.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/bus.h"
#include "daemon/identity.h"
#include "dbus/names.h"
#include "x509/check.h"
#include "x509/order.h"

#define LIST_SCAN_MAX 8192 /* looked at in one call, seen or not */

static const OptionSpec no_options[] = {{0}};

/* ---- describing ---- */

static int append_findings(sd_bus_message *m, const FindingList *findings)
{
        char sentence[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE];
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', "findings");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "aa{sv}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < findings->n; i++) {
                r = sd_bus_message_open_container(m, 'a', "{sv}");
                if (r >= 0)
                        r = reply_append_string(m, "finding", finding_word(findings->items[i].kind));
                if (r >= 0)
                        r = reply_append_string(m, "sentence", finding_sentence(&findings->items[i], sentence));
                if (r >= 0)
                        r = reply_append_string(m, "remedy", finding_remedy(&findings->items[i], remedy));
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static int append_pins(sd_bus_message *m, Bytes pins)
{
        char text[STORE_PINS_MAX][9 + 45];
        const char *list[STORE_PINS_MAX + 1] = {NULL};

        for (size_t i = 0; i < pins.len / STORE_PIN_SIZE && i < STORE_PINS_MAX; i++) {
                strcpy(text[i], "sha256//");
                base64_encode(pins.data + i * STORE_PIN_SIZE, STORE_PIN_SIZE, text[i] + 8);
                list[i] = text[i];
        }
        return reply_append_strings(m, "pins", list);
}

/* What only a look at the certificates tells. */
static int append_certificates(sd_bus_message *m, const IdentityEntry *e)
{
        _cleanup_(cert_chain_unrefp) CertChain *chain = NULL;
        char fingerprint[CERT_FINGERPRINT_SIZE];
        FindingList findings = {0};
        int r;

        if (cert_chain_parse(e->row.chain, FINDING_OF_OURS, &findings, &chain))
                return -ENOMEM; /* it was parsed when it was set */
        cert_chain_fingerprint(chain, fingerprint);
        r = reply_append_string(m, "fingerprint", fingerprint);
        if (r >= 0)
                r = reply_append_u32(m, "certificates", (uint32_t)cert_chain_count(chain));
        if (r >= 0)
                r = append_pins(m, e->row.pins);
        if (r >= 0)
                r = reply_append_bytes(m, "chain", e->row.chain);
        return r >= 0 ? reply_append_bytes(m, "trust", e->row.trust) : r;
}

static int append_fields(const Daemon *d, sd_bus_message *m, const IdentityEntry *e)
{
        const KeyEntry *key = catalogue_find_uuid(d->vault.catalogue, &e->row.key);
        char uuid[UUID_TEXT_SIZE], directory[CONFIG_TEXT_MAX + NAME_SIZE] = "";
        int r;

        uuid_format(&e->row.key, uuid);
        if (d->config.tls_directory[0])
                snprintf(directory, sizeof(directory), "%s/%s", d->config.tls_directory, e->row.name);
        r = reply_append_string(m, "name", e->row.name);
        if (r >= 0)
                r = reply_append_string(m, "key", key ? identity_key_handle(key, uuid) : "");
        if (r >= 0)
                r = reply_append_string(m, "key-uuid", uuid);
        if (r >= 0)
                r = reply_append_string(m, "issuer", e->row.issuer);
        if (r >= 0)
                r = reply_append_string(m, "state", identity_state(e, key, clock_wall()));
        if (r >= 0)
                r = reply_append_string(m, "layout", e->row.layout);
        if (r >= 0)
                r = reply_append_string(m, "directory", directory);
        if (r >= 0)
                r = reply_append_u32(m, "version", e->row.version);
        if (r >= 0)
                r = reply_append_u64(m, "created", e->row.created);
        if (r >= 0)
                r = reply_append_u64(m, "changed", e->row.changed);
        if (r >= 0)
                r = reply_append_u64(m, "not-before", e->row.not_before);
        return r >= 0 ? reply_append_u64(m, "not-after", e->row.not_after) : r;
}

int identity_append(const Daemon *d, sd_bus_message *m, const IdentityEntry *e, bool certificates, const FindingList *findings)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = append_fields(d, m, e);
        if (r >= 0 && certificates)
                r = append_certificates(m, e);
        if (r >= 0 && findings)
                r = append_findings(m, findings);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

int identity_append_property(const Daemon *d, sd_bus_message *m, const IdentityEntry *e, const char *name)
{
        const KeyEntry *key = catalogue_find_uuid(d->vault.catalogue, &e->row.key);
        char uuid[UUID_TEXT_SIZE];
        int r;

        uuid_format(&e->row.key, uuid);
        if (strcmp(name, "Name") == 0)
                return sd_bus_message_append(m, "v", "s", e->row.name);
        if (strcmp(name, "Key") == 0)
                return sd_bus_message_append(m, "v", "s", uuid);
        if (strcmp(name, "Issuer") == 0)
                return sd_bus_message_append(m, "v", "s", e->row.issuer);
        if (strcmp(name, "State") == 0)
                return sd_bus_message_append(m, "v", "s", identity_state(e, key, clock_wall()));
        if (strcmp(name, "Layout") == 0)
                return sd_bus_message_append(m, "v", "s", e->row.layout);
        if (strcmp(name, "NotBefore") == 0)
                return sd_bus_message_append(m, "v", "t", e->row.not_before);
        if (strcmp(name, "NotAfter") == 0)
                return sd_bus_message_append(m, "v", "t", e->row.not_after);
        if (strcmp(name, "Chain"))
                return -ENXIO;
        r = sd_bus_message_open_container(m, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', e->row.chain.data, e->row.chain.len);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static int handle_describe(Operation *op)
{
        sd_bus_message *reply = NULL;
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = identity_append(op->daemon, reply, op->identity, true, NULL);
        return send_or_unref(op, reply, r);
}

/* ---- listing ---- */

typedef struct ListOptions {
        const char *pattern, *after;
        uint32_t limit;
} ListOptions;

static const OptionSpec list_options[] = {
                {"pattern", OPTION_STRING, offsetof(ListOptions, pattern)},
                {"after", OPTION_STRING, offsetof(ListOptions, after)},
                {"limit", OPTION_U32, offsetof(ListOptions, limit)},
                {0},
};

/* One is as visible as the key it stands on. */
static bool is_listed(const Operation *op, const ListOptions *o, const IdentityEntry *e)
{
        const KeyEntry *key = catalogue_find_uuid(op->daemon->vault.catalogue, &e->row.key);

        return key && name_matches(o->pattern, e->row.name) && operation_may(op, POLICY_OP_DESCRIBE, key);
}

static int append_page(Operation *op, sd_bus_message *m, const ListOptions *o, const char **ret_next)
{
        const IdentityEntry *e = identities_after(op->daemon->vault.identities, o->after);
        size_t seen = 0, shown = 0;
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        for (*ret_next = ""; r >= 0 && e; e = identities_after(op->daemon->vault.identities, e->row.name)) {
                if (seen++ == LIST_SCAN_MAX || shown == o->limit)
                        break;
                *ret_next = e->row.name;
                if (!is_listed(op, o, e))
                        continue;
                r = identity_append(op->daemon, m, e, false, NULL);
                shown++;
        }
        if (!e)
                *ret_next = "";
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

int identity_handle_list(Operation *op)
{
        ListOptions o = {.pattern = "*", .after = "", .limit = HF_LIST_PAGE_MAX};
        sd_bus_message *reply = NULL;
        const char *next;
        int r;

        r = read_options(op, list_options, &o);
        if (r)
                return r;
        if (o.limit < 1 || o.limit > HF_LIST_PAGE_MAX || !name_pattern_is_valid(o.pattern) ||
                        (*o.after && !name_is_valid(o.after)))
                return HF_E_INVALID_ARGS;
        r = operation_authorise(op, &(Question){.operation = POLICY_OP_LIST});
        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_page(op, reply, &o, &next);
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 's', next);
        return send_or_unref(op, reply, r);
}

/* ---- setting ---- */

typedef struct SetOptions {
        const char *key, *layout;
        Bytes trust;
        char **pins;
} SetOptions;

static const OptionSpec set_options[] = {
                {"key", OPTION_STRING, offsetof(SetOptions, key)},
                {"layout", OPTION_STRING, offsetof(SetOptions, layout)},
                {"trust", OPTION_BYTES, offsetof(SetOptions, trust)},
                {"pins", OPTION_STRINGS, offsetof(SetOptions, pins)},
                {0},
};

typedef struct Setting {
        SetOptions options;
        const char *name;
        Bytes pem;
        CertChain *chain;
        CertAnchors *anchors;
        CertPins pins;
        Buffer chain_text, trust_text;
        FindingList findings, warnings;
} Setting;

static void setting_deinit(Setting *s)
{
        options_strings_free(&s->options.pins);
        cert_chain_unref(s->chain);
        cert_anchors_unref(s->anchors);
        buffer_deinit(&s->chain_text);
        buffer_deinit(&s->trust_text);
}

/* Answers with the first finding; the journal gets its word, and nothing of what is in a certificate. */
static int refuse(Operation *op, const Setting *s)
{
        char sentence[FINDING_TEXT_SIZE], remedy[FINDING_TEXT_SIZE], journal[FINDING_TEXT_SIZE];
        const Finding *f = &s->findings.items[0];

        for (size_t i = 0; i < s->findings.n; i++)
                log_notice("cert set: %s", finding_journal(&s->findings.items[i], s->name, NULL, journal));
        operation_fail_because(op, HF_E_CERTIFICATE_UNUSABLE, "%s (%s) %s Nothing was changed.", finding_sentence(f, sentence),
                        finding_word(f->kind), finding_remedy(f, remedy));
        return OPERATION_ANSWERED;
}

static int refuse_pin(Operation *op, const char *pin)
{
        operation_fail_because(op, HF_E_INVALID_ARGS,
                        "'%.80s' is no pin: it is sha256// and the base64 of the SHA-256 of a public key, 16 at most. Nothing "
                        "was changed.",
                        pin);
        return OPERATION_ANSWERED;
}

static int parse(Operation *op, Setting *s)
{
        int r = cert_chain_parse(s->pem, FINDING_OF_OURS, &s->findings, &s->chain);

        if (!r && s->options.trust.len)
                r = cert_anchors_parse(s->options.trust, &s->findings, &s->anchors);
        if (r)
                return s->findings.n ? refuse(op, s) : r;
        for (char **pin = s->options.pins; pin && *pin; pin++)
                if (cert_pins_add(&s->pins, *pin))
                        return refuse_pin(op, *pin);
        return 0;
}

/* What our own certificate is good for, and whether our anchors vouch for it too, is ours to know and not to forbid: anchors
 * are for peers, and theirs may be another CA. */
static int warn(Setting *s)
{
        FindingList client = {0}, server = {0}, trust = {0};
        CertCheck check = {.chain = s->chain, .whose = FINDING_OF_OURS, .usage = CERT_USAGE_CLIENT};
        const Finding *f;
        int r = cert_check(&check, &client);

        check.usage = CERT_USAGE_SERVER;
        if (!r)
                r = cert_check(&check, &server);
        f = findings_find(&client, FINDING_WRONG_USAGE);
        if (f && findings_find(&server, FINDING_WRONG_USAGE))
                *findings_add(&s->warnings, f->kind, f->whose, f->depth, NULL) = *f;
        check.usage = CERT_USAGE_ANY;
        check.anchors = s->anchors;
        if (!r && s->anchors)
                r = cert_check(&check, &trust);
        f = findings_find(&trust, FINDING_UNTRUSTED);
        if (f)
                *findings_add(&s->warnings, f->kind, f->whose, f->depth, NULL) = *f;
        return r;
}

/* A certificate that is not valid yet is one that was made in time, or a clock that is late: told, not refused. */
static int check(Operation *op, Setting *s)
{
        FindingList all = {0};
        int r = cert_check(&(CertCheck){.chain = s->chain, .whose = FINDING_OF_OURS, .public_key = key_entry_public(op->key)},
                        &all);

        for (size_t i = 0; i < all.n; i++) {
                const Finding *f = &all.items[i];
                FindingList *to = f->kind == FINDING_NOT_YET_VALID ? &s->warnings : &s->findings;

                *findings_add(to, f->kind, f->whose, f->depth, NULL) = *f;
        }
        if (!r && s->findings.n)
                return refuse(op, s);
        return r ? r : warn(s);
}

/* As we write it: in order, and nothing around the certificates. */
static int render(Setting *s)
{
        size_t order[CERT_CHAIN_MAX];
        int r = 0;

        cert_chain_order(s->chain, order);
        for (size_t i = 0; !r && i < cert_chain_count(s->chain); i++)
                r = cert_chain_write(s->chain, order[i], &s->chain_text);
        for (size_t i = 0; !r && s->anchors && i < cert_anchors_count(s->anchors); i++)
                r = cert_anchors_write(s->anchors, i, &s->trust_text);
        return r == -EMSGSIZE ? HF_E_LIMIT_EXCEEDED : r;
}

static int find_key(Operation *op, const Setting *s)
{
        const char *text = s->options.key ? s->options.key : s->name;

        if (!name_is_valid(text) && !uuid_parse(text, &(Uuid){}))
                return HF_E_INVALID_NAME;
        strcpy(op->key_text, text);
        op->key = key_entry_ref(catalogue_find(op->daemon->vault.catalogue, text));
        return 0;
}

/* The key is to be given to this, and where the identity has another name than the key, that name as well: who may do so with
 * one key may not take names that others trust. */
static int authorise(Operation *op, const Setting *s)
{
        int r = operation_authorise(op, &(Question){.operation = POLICY_OP_CERT_SET});

        if (!r && strcmp(s->name, key_entry_name(op->key)))
                r = operation_authorise(op, &(Question){.operation = POLICY_OP_CERT_SET,
                                                            .key_name = s->name,
                                                            .algorithm = key_algorithm_info(op->key->algorithm)->name,
                                                            .keyless = true});
        return r;
}

static int submit(Operation *op, const Setting *s)
{
        char hex[CERT_FINGERPRINT_SIZE];
        IdentitySet set = {.name = s->name,
                        .layout = s->options.layout,
                        .chain = buffer_bytes(&s->chain_text),
                        .trust = buffer_bytes(&s->trust_text),
                        .pins = BYTES(s->pins.hashes, s->pins.n * sizeof(s->pins.hashes[0])),
                        .not_before = cert_chain_not_before(s->chain),
                        .not_after = cert_chain_not_after(s->chain),
                        .warnings = s->warnings};

        cert_chain_fingerprint(s->chain, hex);
        (void)hex_decode(hex, CERT_FINGERPRINT_SIZE - 1, set.fingerprint, sizeof(set.fingerprint));
        return identity_set(op, &set);
}

static int check_layout(Operation *op, const Setting *s)
{
        if (tls_layout_fits(s->options.layout, s->name))
                return 0;
        operation_fail_because(op, HF_E_INVALID_ARGS,
                        "In the layout '%s' the certificate of an identity '%s' would be ca.crt, which is the name of the trust "
                        "anchors. Nothing was changed; choose another layout, or another name.",
                        s->options.layout, s->name);
        return OPERATION_ANSWERED;
}

static int read_setting(Operation *op, Setting *s)
{
        const void *data;
        size_t len;
        int r;

        if (sd_bus_message_read_basic(op->call, 's', &s->name) < 0)
                return HF_E_INVALID_ARGS;
        r = sd_bus_message_read_array(op->call, 'y', &data, &len);
        if (r < 0)
                return options_unreadable(r);
        s->pem = BYTES(data, len);
        r = read_options(op, set_options, &s->options);
        if (r)
                return r;
        if (!name_is_valid(s->name))
                return HF_E_INVALID_NAME;
        return tls_layout_is_known(s->options.layout) ? check_layout(op, s) : HF_E_INVALID_ARGS;
}

int identity_handle_set(Operation *op)
{
        __attribute__((cleanup(setting_deinit))) Setting s = {.options = {.layout = TLS_LAYOUT_USUAL},
                        .chain_text = BUFFER_INIT(STORE_CHAIN_MAX),
                        .trust_text = BUFFER_INIT(STORE_CHAIN_MAX)};
        int r = read_setting(op, &s);

        if (!r)
                r = find_key(op, &s);
        if (!r)
                r = authorise(op, &s);
        if (r)
                return r;
        if (op->key->flags & KEY_FLAG_LOST)
                return HF_E_KEY_LOST;
        if (!op->key->public_len)
                return HF_E_NOT_SUPPORTED;
        r = parse(op, &s);
        if (!r)
                r = check(op, &s);
        if (!r)
                r = render(&s);
        return r ? r : submit(op, &s);
}

static int handle_remove(Operation *op)
{
        int r = read_options(op, no_options, NULL);

        return r ? r : identity_unset(op);
}

const Method identity_methods[] = {
                {HF_IFACE_IDENTITY, "Describe", "a{sv}", "a{sv}", 0, METHOD_IDENTITY, POLICY_OP_DESCRIBE, handle_describe},
                {HF_IFACE_IDENTITY, "RemoveCertificate", "a{sv}", "", 0, METHOD_IDENTITY, POLICY_OP_CERT_REMOVE, handle_remove},
                {0},
};
