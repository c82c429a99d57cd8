/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/bus-store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/note.h"
#include "base/clock.h"
#include "base/secret.h"
#include "daemon/change.h"
#include "daemon/identity.h"
#include "daemon/slot-tpm.h"
#include "daemon/vault-job.h"
#include "dbus/errors.h"

typedef struct SlotOptions {
        int secret, recovery;
        const char *label;
        bool unattended;
        bool accept_rollback;
        SlotTpmOptions tpm;
} SlotOptions;

static const OptionSpec init_options[] = {
                {"secret", OPTION_FD, offsetof(SlotOptions, secret)},
                {"recovery", OPTION_FD, offsetof(SlotOptions, recovery)},
                {"unattended", OPTION_BOOL, offsetof(SlotOptions, unattended)},
                {"label", OPTION_STRING, offsetof(SlotOptions, label)},
                {"pcr", OPTION_STRING, offsetof(SlotOptions, tpm.pcr)},
                {"policy-key", OPTION_BYTES, offsetof(SlotOptions, tpm.policy_key)},
                {0},
};
static const OptionSpec secret_option[] = {{"secret", OPTION_FD, offsetof(SlotOptions, secret)}, {0}};
static const OptionSpec slot_options[] = {
                {"secret", OPTION_FD, offsetof(SlotOptions, secret)},
                {"recovery", OPTION_FD, offsetof(SlotOptions, recovery)},
                {"label", OPTION_STRING, offsetof(SlotOptions, label)},
                {"pcr", OPTION_STRING, offsetof(SlotOptions, tpm.pcr)},
                {"policy-key", OPTION_BYTES, offsetof(SlotOptions, tpm.policy_key)},
                {"key", OPTION_STRING, offsetof(SlotOptions, tpm.key)},
                {0},
};
static const OptionSpec change_options[] = {
                {"secret", OPTION_FD, offsetof(SlotOptions, secret)},
                {"recovery", OPTION_FD, offsetof(SlotOptions, recovery)},
                {"key", OPTION_STRING, offsetof(SlotOptions, tpm.key)},
                {0},
};
static const OptionSpec recover_options[] = {
                {"secret", OPTION_FD, offsetof(SlotOptions, secret)},
                {"accept-rollback", OPTION_BOOL, offsetof(SlotOptions, accept_rollback)},
                {0},
};
static const OptionSpec no_options[] = {{0}};

/* Type, seals and size, before the descriptor goes on to the signer, which checks again. */
static int check_secret(int fd)
{
        size_t len;

        return fd < 0 ? 0 : secret_fd_check(fd, &len);
}

static int check_pipe(int fd)
{
        struct stat st;
        int flags;

        if (fd < 0)
                return 0;
        flags = fcntl(fd, F_GETFL);
        if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode) || flags < 0 || (flags & O_ACCMODE) == O_RDONLY ||
                        (flags & O_PATH))
                return HF_E_INVALID_FD;
        return 0;
}

static int read_slot_options(Operation *op, const OptionSpec *specs, SlotOptions *ret)
{
        int r;

        *ret = (SlotOptions){.secret = -EBADF, .recovery = -EBADF, .label = ""};
        r = read_options(op, specs, ret);
        if (!r)
                r = check_secret(ret->secret);
        if (!r)
                r = check_pipe(ret->recovery);
        if (!r && *ret->label && !name_is_valid(ret->label))
                r = HF_E_INVALID_NAME;
        return r;
}

/* The exact sentence where the vault gave a reason. */
static void fail(Operation *op, int result, const char *reason)
{
        if (reason && *reason)
                operation_fail_because(op, result < 0 ? HF_E_INTERNAL : result, "%s. %s", reason,
                                errors_sentence(result));
        else
                operation_fail(op, result);
}

static int append_key_of_log(sd_bus_message *m, const Vault *v)
{
        char id[UUID_TEXT_SIZE], text[AUDIT_VKEY_MAX], fingerprint[AUDIT_FINGERPRINT_SIZE];
        AuditVkey key;
        int r;

        uuid_format(&v->store_id, id);
        audit_vkey_of_log(&key, &v->store_id, v->checkpoint_public);
        audit_vkey_format(&key, text);
        audit_key_fingerprint(v->checkpoint_public, fingerprint);
        r = reply_append_string(m, "fingerprint", fingerprint);
        if (r >= 0)
                r = reply_append_string(m, "vkey", text);
        return r >= 0 ? reply_append_string(m, "store", id) : r;
}

/* Which kinds take a secret, and which a pipe for the code. */
static int check_kind(SlotKind kind, const SlotOptions *o)
{
        bool may_have_secret = kind == SLOT_PASSPHRASE || kind == SLOT_TPM2;

        if (!kind || (o->secret >= 0 && !may_have_secret) || (o->secret < 0 && kind == SLOT_PASSPHRASE))
                return HF_E_INVALID_ARGS;
        return 0;
}

/* ---- init ---- */

void store_on_init(void *userdata, int result, const char *reason, uint32_t slot)
{
        Operation *op = userdata;
        const Vault *v = &op->daemon->vault;
        sd_bus_message *reply = NULL;
        int r;

        (void)slot;
        if (result) {
                fail(op, result, reason);
                return;
        }
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = append_key_of_log(reply, v);
        if (r >= 0)
                r = reply_append_bool(reply, "pending", v->init_pending);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        send_done(op, reply, r);
}

int store_read_init(Operation *op, VaultInitParams *ret)
{
        const char *kind;
        SlotOptions o;
        int r;

        if (sd_bus_message_read_basic(op->call, 's', &kind) < 0)
                return HF_E_INVALID_ARGS;
        r = read_slot_options(op, init_options, &o);
        if (r)
                return r;
        *ret = (VaultInitParams){.kind = slot_kind_from_string(kind),
                        .unattended = o.unattended,
                        .secret_fd = o.secret,
                        .recovery_fd = o.recovery};
        if (ret->kind == SLOT_RECOVERY || ret->kind == SLOT_TPM2_DERIVED || check_kind(ret->kind, &o) ||
                        ret->unattended != (o.recovery < 0))
                return HF_E_INVALID_ARGS;
        strcpy(ret->label, *o.label ? o.label : kind);
        return slot_tpm_read(op, ret->kind, &o.tpm, o.secret >= 0, &ret->tpm);
}

int store_handle_init(Operation *op)
{
        VaultInitParams params;
        int r = store_read_init(op, &params);

        return r ? r : vault_init(op->daemon, &params, op->caller, store_on_init, op);
}

int store_handle_confirm(Operation *op)
{
        int fd, r;

        if (sd_bus_message_read_basic(op->call, 'h', &fd) < 0)
                return HF_E_INVALID_ARGS;
        r = read_options(op, no_options, NULL);
        if (!r)
                r = check_secret(fd);
        if (!r && !op->daemon->vault.init_pending) {
                operation_fail_because(op, HF_E_NOTHING_TO_DO,
                                "No new store waits for its recovery code: it was not begun, is done, or was given up because "
                                "the signer ended. Nothing was made; begin again with `holdfast init`.");
                return OPERATION_ANSWERED;
        }
        return r ? r : vault_confirm(op->daemon, fd, store_on_init, op);
}

/* ---- unlock, lock, recover ---- */

static int append_slot_fields(sd_bus_message *m, const SlotEntry *e)
{
        int r = reply_append_string(m, "kind", slot_kind_to_string(e->kind));

        if (r >= 0)
                r = reply_append_string(m, "label", e->label);
        return r;
}

static int append_opened(sd_bus_message *m, const Daemon *d, uint32_t slot)
{
        const Vault *v = &d->vault;
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = reply_append_u32(m, "slot", slot);
        for (size_t i = 0; r >= 0 && i < v->slot_list.n; i++)
                if (v->slot_list.slots[i].id == slot)
                        r = append_slot_fields(m, &v->slot_list.slots[i]);
        if (r >= 0)
                r = identities_append_lost(d, m);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

static void on_opened(void *userdata, int result, const char *reason, uint32_t slot)
{
        Operation *op = userdata;
        sd_bus_message *reply = NULL;
        int r;

        if (result) {
                fail(op, result, reason);
                return;
        }
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = append_opened(reply, op->daemon, slot);
        send_done(op, reply, r);
}

int store_handle_unlock(Operation *op)
{
        SlotOptions o;
        int r = read_slot_options(op, secret_option, &o);

        return r ? r : vault_unlock(op->daemon, true, o.secret, op->caller, on_opened, op);
}

static void on_locked(void *userdata, int result, const char *reason, uint32_t slot)
{
        Operation *op = userdata;
        const Vault *v = &op->daemon->vault;
        sd_bus_message *reply = NULL;
        bool unattended = false;
        int r;

        (void)slot;
        if (result) {
                fail(op, result, reason);
                return;
        }
        for (size_t i = 0; i < v->slot_list.n; i++)
                unattended |= v->slot_list.slots[i].unattended;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = reply_append_bool(reply, "unattended", unattended);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        send_done(op, reply, r);
}

int store_handle_lock(Operation *op)
{
        int r = read_options(op, no_options, NULL);

        if (!r)
                vault_lock(op->daemon, op->caller, on_locked, op);
        return r;
}

int store_handle_recover(Operation *op)
{
        SlotOptions o;
        int r = read_slot_options(op, recover_options, &o);

        return r ? r : vault_recover(op->daemon, o.accept_rollback, o.secret, op->caller, on_opened, op);
}

/* ---- slots ---- */

static int append_slot(const Operation *op, sd_bus_message *m, const SlotEntry *e)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = reply_append_u32(m, "id", e->id);
        if (r >= 0)
                r = append_slot_fields(m, e);
        if (r >= 0)
                r = reply_append_bool(m, "unattended", e->unattended);
        if (r >= 0)
                r = reply_append_u64(m, "created", e->created);
        if (r >= 0)
                r = slot_append_tpm(op, m, e);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

int store_handle_slots(Operation *op)
{
        const SlotList *l = &op->daemon->vault.slot_list;
        sd_bus_message *reply = NULL;
        int r = read_options(op, no_options, NULL);

        if (r)
                return r;
        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < l->n; i++)
                r = append_slot(op, reply, &l->slots[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return send_or_unref(op, reply, r);
}

typedef struct SlotChange {
        Change change;
        Operation *op;
        uint32_t id;
        uint32_t replaced; /* 0: none */
        bool makes_id;     /* the signer's answer begins with the new slot's */
        const char *kind;
        char label[NAME_SIZE];
        SignerSlotTpm tpm; /* what a new one is made with; its spans are gone */
        uint8_t base[32]; /* SHA-256 of the file that the new one was made from */
        bool has_counter; /* the new file is the first that names one */
        uint64_t counter;
} SlotChange;

static void put_u64(uint8_t ret[static 8], uint64_t v)
{
        for (size_t i = 0; i < 8; i++)
                ret[i] = (uint8_t)(v >> (8 * i));
}

static int write_slot_change(Change *c, AuditLine *line)
{
        SlotChange *s = c->userdata;
        uint8_t counter[8];

        put_u64(counter, s->counter);
        if (memcmp(s->base, c->daemon->vault.slots_hash, sizeof(s->base)))
                return HF_E_BUSY; /* another change or a rekey came first and would be lost */
        audit_line_u64(line, "slot", s->id);
        audit_line_str(line, "kind", s->kind);
        audit_line_str(line, "label-of-slot", s->label[0] ? s->label : NULL);
        if (s->replaced)
                audit_line_u64(line, "replaced", s->replaced);
        operation_audit_caller(s->op, line);
        return s->has_counter ? store_put_meta(c->daemon->vault.store, META_COUNTER, BYTES_ARRAY(counter)) : 0;
}

/* What is known is in the list at once: the signer, which knows the rest, may die before it has told. */
static void forget_entry(SlotList *l, uint32_t id)
{
        for (size_t i = 0; i < l->n; i++)
                if (l->slots[i].id == id) {
                        memmove(&l->slots[i], &l->slots[i + 1], (l->n - i - 1) * sizeof(l->slots[0]));
                        l->n--;
                        return;
                }
}

/* A new slot, as far as it is known here. */
static void note_entry(SlotList *l, const SlotChange *s)
{
        SlotKind kind = slot_kind_from_string(s->kind);
        SlotEntry *e = &l->slots[l->n];

        for (size_t i = 0; i < l->n; i++)
                if (l->slots[i].id == s->id)
                        return;
        if (l->n == SLOTS_MAX)
                return;
        l->n++;
        *e = (SlotEntry){.id = s->id,
                        .kind = kind,
                        .unattended = kind == SLOT_CREDENTIAL || kind == SLOT_TPM2_DERIVED || (kind == SLOT_TPM2 && !s->tpm.pin),
                        .pin = s->tpm.pin,
                        .signed_policy = s->tpm.policy.algorithm,
                        .created = clock_wall()};
        strcpy(e->label, s->label);
        tpm_pcrs_format(&s->tpm.pcrs, e->pcrs);
        memcpy(e->device_key, s->tpm.device_key, sizeof(e->device_key));
}

static void apply_slot_change(Change *c)
{
        SlotChange *s = c->userdata;

        if (s->has_counter)
                anchor_adopt(c->daemon, s->counter);
        if (s->replaced)
                forget_entry(&c->daemon->vault.slot_list, s->replaced);
        if (strcmp(c->event, "slot.remove") == 0)
                forget_entry(&c->daemon->vault.slot_list, s->id);
        else
                note_entry(&c->daemon->vault.slot_list, s);
        (void)vault_read_slots(c->daemon, buffer_bytes(&c->daemon->vault.slots));
}

static void finish_slot_change(Change *c, int result)
{
        SlotChange *s = c->userdata;
        Operation *op = s->op;
        sd_bus_message *reply = NULL;
        bool tells = strcmp(c->event, "slot.add") == 0 || strcmp(c->event, "slot.change") == 0;
        uint32_t id = s->id;
        int r = 0;

        free(s);
        if (result) {
                operation_fail(op, result);
                return;
        }
        r = operation_reply_new(op, &reply);
        if (r >= 0 && tells)
                r = sd_bus_message_append_basic(reply, 'u', &id);
        send_done(op, reply, r);
}

static void fail_slot_change(SlotChange *s, int result)
{
        bool no_credential = result == HF_E_UNLOCK_FAILED && strcmp(s->kind, slot_kind_to_string(SLOT_CREDENTIAL)) == 0;
        Operation *op = s->op;

        buffer_deinit(&s->change.slots);
        free(s);
        tpm_note_result(op->daemon, result);
        if (no_credential)
                operation_fail_because(op, result,
                                "holdfast-signer has no credential of 16 bytes or more to make the slot from; holdfast-signer(8) "
                                "says how it gets one. Nothing was changed.");
        else
                operation_fail(op, result);
}

/* A store that was made without a TPM, and the first slot of one: from now on it has a counter. */
static void on_counter(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        SlotChange *s = userdata;

        if (!result) {
                s->counter = wire_get_u64(&r);
                s->has_counter = wire_done(&r) == 0;
        }
        change_submit(s->op->daemon, &s->change);
}

static int ask_counter(SlotChange *s)
{
        SignerClient *signer = s->op->daemon->signer;
        Buffer *b = signer_begin(signer, SIGNER_COUNTER);
        int r = wire_put_block(b, buffer_bytes(&s->change.slots));

        if (!r)
                r = wire_put_u8(b, TPM_COUNTER_READ);
        return r ? r : signer_call(signer, NULL, 0, on_counter, s);
}

static void on_slots_made(void *userdata, int result, Bytes body)
{
        WireReader r = wire_reader(body);
        SlotChange *s = userdata;
        Operation *op = s->op;
        Bytes slots;

        if (!result && s->makes_id)
                s->id = wire_get_u32(&r);
        if (!result) {
                slots = wire_get_block(&r, SLOTS_FILE_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED
                                       : buffer_append(&s->change.slots, slots.data, slots.len);
        }
        if (!result && op->daemon->anchor.state == ANCHOR_NONE)
                result = ask_counter(s);
        else if (!result)
                change_submit(op->daemon, &s->change);
        if (result)
                fail_slot_change(s, result);
}

static int slot_change_new(Operation *op, const char *event, SlotChange **ret)
{
        SlotChange *s;

        if (!change_is_idle(op->daemon)) /* the signer makes the new file out of the one in force */
                return HF_E_BUSY;
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->op = op;
        change_slots_hash(buffer_bytes(&op->daemon->vault.slots), s->base);
        s->change = (Change){
                        .event = event,
                        .seal = true,
                        .write = write_slot_change,
                        .apply = apply_slot_change,
                        .finish = finish_slot_change,
                        .userdata = s,
                        .slots = BUFFER_INIT(SLOTS_FILE_MAX),
        };
        *ret = s;
        return 0;
}

static int call_for_slots_then(SlotChange *s, int r, const SlotOptions *o, SignerReplyFunc made)
{
        int fd = o->secret >= 0 ? o->secret : o->recovery;

        if (!r)
                r = signer_call(s->op->daemon->signer, &fd, fd >= 0 ? 1 : 0, made, s);
        if (r)
                free(s);
        return r;
}

static int call_for_slots(SlotChange *s, int r, const SlotOptions *o)
{
        return call_for_slots_then(s, r, o, on_slots_made);
}

int store_handle_slot_add(Operation *op)
{
        Daemon *d = op->daemon;
        SignerSlotTpm tpm;
        const char *kind_name;
        SlotChange *s;
        SlotOptions o;
        SlotKind kind;
        int r;

        if (sd_bus_message_read_basic(op->call, 's', &kind_name) < 0)
                return HF_E_INVALID_ARGS;
        r = read_slot_options(op, slot_options, &o);
        if (r)
                return r;
        kind = slot_kind_from_string(kind_name);
        if (check_kind(kind, &o) || (kind == SLOT_RECOVERY) != (o.recovery >= 0))
                return HF_E_INVALID_ARGS;
        r = slot_tpm_read(op, kind, &o.tpm, o.secret >= 0, &tpm);
        if (r)
                return r;
        r = slot_change_new(op, "slot.add", &s);
        if (r)
                return r;
        s->kind = slot_kind_to_string(kind);
        s->makes_id = true;
        s->tpm = tpm;
        strcpy(s->label, *o.label ? o.label : kind_name);
        r = slot_put_add(signer_begin(d->signer, SIGNER_SLOT_ADD), buffer_bytes(&d->vault.slots), kind, s->label, &tpm);
        return call_for_slots(s, r, &o);
}

static const SlotEntry *find_slot(const Daemon *d, uint32_t id)
{
        for (size_t i = 0; i < d->vault.slot_list.n; i++)
                if (d->vault.slot_list.slots[i].id == id)
                        return &d->vault.slot_list.slots[i];
        return NULL;
}

/* The old slot is out of the file; the new one, from the other key, goes in. Only the file with both done is ever in
 * force. */
static void on_derived_removed(void *userdata, int result, Bytes body)
{
        SlotChange *s = userdata;
        SignerClient *signer = s->op->daemon->signer;
        WireReader r = wire_reader(body);
        Bytes slots;

        if (!result) {
                slots = wire_get_block(&r, SLOTS_FILE_MAX);
                result = wire_done(&r) ? HF_E_SIGNER_FAILED
                                       : slot_put_add(signer_begin(signer, SIGNER_SLOT_ADD), slots, SLOT_TPM2_DERIVED,
                                                         s->label, &s->tpm);
        }
        if (!result)
                result = signer_call(signer, NULL, 0, on_slots_made, s);
        if (result)
                fail_slot_change(s, result);
}

static int change_existing(Operation *op, const char *event, SignerRequest request, const OptionSpec *specs)
{
        Daemon *d = op->daemon;
        const SlotEntry *e;
        SignerReplyFunc made = on_slots_made;
        SignerSlotTpm tpm = {0};
        SlotOptions o;
        SlotChange *s;
        uint32_t id;
        Buffer *b;
        int r;

        if (sd_bus_message_read_basic(op->call, 'u', &id) < 0)
                return HF_E_INVALID_ARGS;
        r = read_slot_options(op, specs, &o);
        if (r)
                return r;
        e = find_slot(d, id);
        if (!e)
                return HF_E_NO_SUCH_SLOT;
        if (request == SIGNER_SLOT_CHANGE && (o.tpm.key || e->kind == SLOT_TPM2_DERIVED)) {
                r = slot_tpm_read(op, e->kind, &o.tpm, false, &tpm);
                if (r)
                        return r;
        }
        r = slot_change_new(op, event, &s);
        if (r)
                return r;
        s->id = id;
        s->kind = slot_kind_to_string(e->kind);
        strcpy(s->label, e->label);
        if (o.tpm.key) {
                s->replaced = id;
                s->makes_id = true;
                s->tpm = tpm;
                request = SIGNER_SLOT_REMOVE;
                made = on_derived_removed;
        }
        b = signer_begin(d->signer, request);
        r = wire_put_block(b, buffer_bytes(&d->vault.slots));
        if (!r)
                r = wire_put_u32(b, id);
        return call_for_slots_then(s, r, &o, made);
}

int store_handle_slot_remove(Operation *op)
{
        return change_existing(op, "slot.remove", SIGNER_SLOT_REMOVE, no_options);
}

int store_handle_slot_change(Operation *op)
{
        return change_existing(op, "slot.change", SIGNER_SLOT_CHANGE, change_options);
}

int store_handle_slot_reseal(Operation *op)
{
        return change_existing(op, "slot.reseal", SIGNER_SLOT_RESEAL, secret_option);
}
