/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit/event.h"

#include <string.h>

#define STR(n)                                                                                               \
        {                                                                                                    \
                .name = n, .type = AUDIT_STR                                                                 \
        }
#define U64(n)                                                                                               \
        {                                                                                                    \
                .name = n, .type = AUDIT_U64                                                                 \
        }
#define HEX(n)                                                                                               \
        {                                                                                                    \
                .name = n, .type = AUDIT_HEX                                                                 \
        }
#define STR_REQUIRED(n)                                                                                      \
        {                                                                                                    \
                .name = n, .type = AUDIT_STR, .required = true                                               \
        }
#define U64_REQUIRED(n)                                                                                      \
        {                                                                                                    \
                .name = n, .type = AUDIT_U64, .required = true                                               \
        }
#define HEX_REQUIRED(n)                                                                                      \
        {                                                                                                    \
                .name = n, .type = AUDIT_HEX, .required = true                                               \
        }
#define UUID_REQUIRED(n)                                                                                     \
        {                                                                                                    \
                .name = n, .type = AUDIT_UUID, .required = true                                              \
        }
#define UUID_OPTIONAL(n)                                                                                     \
        {                                                                                                    \
                .name = n, .type = AUDIT_UUID                                                                \
        }

/* Who asked, over which road ("direct", "bus", "internal"), and the policy rule that decided. */
#define CALLER U64_REQUIRED("uid"), U64("pid"), STR("unit"), STR("label"), STR("road"), STR("rule")
#define KEY UUID_REQUIRED("key"), STR_REQUIRED("name")
#define STATE HEX_REQUIRED("state")
/* Of changes that are made together: the first has the state, the others the number of the first. */
#define STATE_OR_WITH HEX("state"), U64("with")
/* A key with its certificates: its own name, and the key's. */
#define IDENTITY STR_REQUIRED("identity"), KEY
/* What is about to be signed: `public` is SHA-256 of the SPKI. */
#define CERTIFICATE HEX_REQUIRED("serial"), STR_REQUIRED("subject"), HEX_REQUIRED("public"), U64_REQUIRED("not-after")
/* Items of one SignMany carry the same `call`, the sequence number of its first line. */
#define USE KEY, CALLER, STR("scheme"), HEX("digest"), U64("size"), U64("call"), U64("item"), U64("job")
/* The last effective change, and one that waits for its `done` or `undone`. */
#define CHANGES U64_REQUIRED("change"), STATE, U64("open"), HEX("open-state")
#define SLOT U64_REQUIRED("slot"), STR("kind"), STR("label-of-slot")

/* Sorted by name: audit_event_find() bisects, a test checks. */
static const AuditEvent events[] = {
                {"ca.anew", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, STR_REQUIRED("kind"), STR_REQUIRED("algorithm"), STR_REQUIRED("protection"),
                                                STR("parent"), UUID_REQUIRED("before"), U64_REQUIRED("orphans"),
                                                STR_REQUIRED("backup"), HEX("serial"), STR("subject"), HEX_REQUIRED("public"),
                                                U64("not-after"), CALLER}},
                {"ca.crl", AUDIT_EVENT_CHANGE, {STATE, KEY, U64_REQUIRED("number"), CALLER}},
                {"ca.crl-put", AUDIT_EVENT_CHANGE,
                                {STATE, STR_REQUIRED("issuer"), HEX_REQUIRED("list"), HEX("crl-number"),
                                                U64_REQUIRED("this-update"), U64_REQUIRED("next-update"),
                                                U64_REQUIRED("entries"), CALLER}},
                {"ca.csr", AUDIT_EVENT_USE, {USE}},
                {"ca.enable", AUDIT_EVENT_CHANGE, {STATE, KEY, U64_REQUIRED("until"), U64_REQUIRED("number"), CALLER}},
                {"ca.import", AUDIT_EVENT_CHANGE, {STATE, KEY, HEX_REQUIRED("fingerprint"), U64_REQUIRED("not-after"), CALLER}},
                {"ca.init", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, STR_REQUIRED("kind"), STR_REQUIRED("algorithm"), STR_REQUIRED("protection"),
                                                STR("parent"), CERTIFICATE, CALLER}},
                {"ca.issue", AUDIT_EVENT_CHANGE, {STATE_OR_WITH, KEY, STR_REQUIRED("profile"), CERTIFICATE, CALLER}},
                {"ca.issued", AUDIT_EVENT_CHANGE, {STATE_OR_WITH, KEY, HEX_REQUIRED("serial"), HEX_REQUIRED("fingerprint"),
                                               HEX("supersedes"), CALLER}},
                {"ca.listed", AUDIT_EVENT_CHANGE, {STATE, KEY, U64_REQUIRED("number"), HEX_REQUIRED("list"), CALLER}},
                {"ca.revoke", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, HEX_REQUIRED("serial"), STR_REQUIRED("reason"), STR("text"),
                                                U64_REQUIRED("number"), CALLER}},
                {"ca.rolled", AUDIT_EVENT_CHANGE, {STATE, KEY, STR_REQUIRED("to"), HEX_REQUIRED("fingerprint"), CALLER}},
                {"ca.rollover", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, STR_REQUIRED("follows"), STR_REQUIRED("algorithm"), STR_REQUIRED("protection"),
                                                HEX_REQUIRED("serial"), HEX("old-with-new"), HEX("new-with-old"),
                                                HEX_REQUIRED("public"), CALLER}},
                {"ca.sign", AUDIT_EVENT_USE, {USE}},
                {"ca.wait", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, STR_REQUIRED("kind"), STR("follows"), STR_REQUIRED("algorithm"),
                                                STR_REQUIRED("protection"), HEX_REQUIRED("public"), CALLER}},
                {"cert.removed", AUDIT_EVENT_CHANGE, {STATE, IDENTITY, CALLER}},
                {"cert.set", AUDIT_EVENT_CHANGE,
                                {STATE, IDENTITY, STR_REQUIRED("issuer"), HEX_REQUIRED("certificate"),
                                                U64_REQUIRED("not-after"), CALLER}},
                {"checkpoint", AUDIT_EVENT_RESERVE, {STR_REQUIRED("note"), CHANGES, STR("next-key")}},
                {"denied", 0,
                                {STR_REQUIRED("wanted"), UUID_OPTIONAL("key"), STR("name"),
                                                STR_REQUIRED("reason"), CALLER}},
                {"denied.flood", 0,
                                {U64_REQUIRED("uid"), U64_REQUIRED("count"), STR("wanted"), STR("since")}},
                {"done", AUDIT_EVENT_RESERVE, {U64_REQUIRED("ref")}},
                {"failed", AUDIT_EVENT_RESERVE, {U64_REQUIRED("ref"), STR_REQUIRED("error")}},
                {"key.agree", AUDIT_EVENT_USE, {USE}},
                {"key.attest", 0, {KEY, CALLER, HEX("nonce")}},
                {"key.create", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, STR_REQUIRED("algorithm"), STR_REQUIRED("purpose"),
                                                STR_REQUIRED("protection"), HEX("public"), STR("for"),
                                                CALLER}},
                {"key.csr", AUDIT_EVENT_USE, {USE, STR("subject")}},
                {"key.decrypt", AUDIT_EVENT_USE, {USE}},
                {"key.destroy", AUDIT_EVENT_CHANGE, {STATE, KEY, HEX("public"), CALLER}},
                {"key.disable", AUDIT_EVENT_CHANGE, {STATE, KEY, STR("reason"), CALLER}},
                {"key.enable", AUDIT_EVENT_CHANGE, {STATE, KEY, STR("reason"), CALLER}},
                {"key.freeze", AUDIT_EVENT_CHANGE, {STATE, KEY, STR("reason"), CALLER}},
                {"key.import", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, STR_REQUIRED("algorithm"), STR_REQUIRED("purpose"),
                                                STR_REQUIRED("protection"), HEX("public"), CALLER}},
                {"key.lost", AUDIT_EVENT_CHANGE, {STATE, KEY, STR_REQUIRED("reason"), HEX("public"), STR("identities"), CALLER}},
                {"key.mac", AUDIT_EVENT_USE, {USE}},
                {"key.random", 0, {U64_REQUIRED("size"), CALLER}},
                {"key.retire", AUDIT_EVENT_CHANGE, {STATE, KEY, STR("reason"), CALLER}},
                {"key.seal", AUDIT_EVENT_USE, {USE}},
                {"key.sign", AUDIT_EVENT_USE, {USE}},
                {"key.unseal", AUDIT_EVENT_USE, {USE}},
                {"locked.copy", 0, {STR_REQUIRED("text")}},
                {"locked.dropped", 0, {U64_REQUIRED("count")}},
                {"log.cut", AUDIT_EVENT_RESERVE, {U64_REQUIRED("from"), U64_REQUIRED("bytes"), U64("lost")}},
                {"log.export", 0, {U64_REQUIRED("from"), U64("to"), CALLER}},
                {"log.prune", 0,
                                {U64_REQUIRED("before"), U64_REQUIRED("first"), U64_REQUIRED("archived"),
                                                U64_REQUIRED("uid")}},
                {"log.start", 0, {STR_REQUIRED("version"), STR_REQUIRED("checkpoint-key")}},
                {"policy.loaded", 0,
                                {U64_REQUIRED("rules"), U64("files"), HEX("digest"), U64("uid"),
                                                STR("reason")}},
                {"policy.refused", 0,
                                {STR_REQUIRED("error"), STR("file"), U64("line"), U64("column"), U64("uid")}},
                {"segment.start", AUDIT_EVENT_RESERVE,
                                {U64_REQUIRED("segment"), UUID_REQUIRED("log"), CHANGES}},
                {"slot.add", AUDIT_EVENT_CHANGE, {STATE, SLOT, CALLER}},
                {"slot.change", AUDIT_EVENT_CHANGE, {STATE, SLOT, U64("replaced"), CALLER}},
                {"slot.remove", AUDIT_EVENT_CHANGE, {STATE, SLOT, CALLER}},
                {"slot.reseal", AUDIT_EVENT_CHANGE, {STATE, SLOT, CALLER}},
                {"store.backup", AUDIT_EVENT_CHANGE, {STATE, CALLER, HEX("digest"), U64("size")}},
                {"store.init", AUDIT_EVENT_CHANGE, {STATE, STR("version"), STR("machine"), SLOT, CALLER}},
                {"store.lock", AUDIT_EVENT_RESERVE, {CALLER, STR("reason")}},
                {"store.recover", AUDIT_EVENT_CHANGE,
                                {STATE, STR_REQUIRED("reason"), U64("store-seq"), U64("log-seq"), CALLER}},
                {"store.rekey", AUDIT_EVENT_CHANGE, {STATE, STR("checkpoint-key"), U64("keys"), CALLER}},
                {"store.restore", AUDIT_EVENT_CHANGE,
                                {STATE, STR_REQUIRED("reason"), U64("store-seq"), U64("log-seq"), CALLER}},
                {"store.start", 0, {STR("version"), STR("memory"), STR("machine"), STR("reason")}},
                {"store.stop", AUDIT_EVENT_RESERVE, {STR("reason")}},
                {"store.unlock", 0, {SLOT, CALLER}},
                {"store.upgrade", AUDIT_EVENT_CHANGE, {STATE, U64_REQUIRED("from"), U64_REQUIRED("to")}},
                {"tls.rewritten", 0, {STR_REQUIRED("identity"), STR_REQUIRED("reason")}},
                {"undone", AUDIT_EVENT_RESERVE, {U64_REQUIRED("ref"), STR("reason")}},
                {"unlock.failed", 0, {STR_REQUIRED("reason"), U64("slot"), STR("kind"), CALLER}},
                {"use.lost", AUDIT_EVENT_USE | AUDIT_EVENT_RESERVE, {STR("reason")}},
                {"uses.grant", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, STR_REQUIRED("granted-rule"), U64_REQUIRED("left"), CALLER}},
                {"uses.reserve", AUDIT_EVENT_CHANGE,
                                {STATE, KEY, STR_REQUIRED("rule"), U64_REQUIRED("count"), U64("left")}},
};

#define N_EVENTS (sizeof(events) / sizeof(events[0]))

const AuditEvent *audit_events(size_t *ret_n)
{
        *ret_n = N_EVENTS;
        return events;
}

const AuditEvent *audit_event_find(const char *name)
{
        size_t low = 0, high = N_EVENTS;

        while (low < high) {
                size_t middle = (low + high) / 2;
                int c = strcmp(name, events[middle].name);

                if (c == 0)
                        return &events[middle];
                if (c < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

const char *audit_field_type_to_string(AuditFieldType type)
{
        static const char *const names[_AUDIT_FIELD_TYPE_MAX] = {
                        [AUDIT_STR] = "str",
                        [AUDIT_U64] = "u64",
                        [AUDIT_HEX] = "hex",
                        [AUDIT_UUID] = "uuid",
        };

        return type > _AUDIT_FIELD_INVALID && type < _AUDIT_FIELD_TYPE_MAX ? names[type] : "invalid";
}
