/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/bus.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/system-bus.h"
#include "daemon/text.h"
#include "daemon/user.h"
#include "daemon/xml.h"
#include "dbus/errors.h"
#include "dbus/names.h"

#define IFACE_PROPERTIES "org.freedesktop.DBus.Properties"
#define IFACE_INTROSPECTABLE "org.freedesktop.DBus.Introspectable"
#define IFACE_BUS "org.freedesktop.DBus"
#define ERROR_UNKNOWN_METHOD "org.freedesktop.DBus.Error.UnknownMethod"
#define ERROR_UNKNOWN_OBJECT "org.freedesktop.DBus.Error.UnknownObject"
#define ERROR_UNKNOWN_PROPERTY "org.freedesktop.DBus.Error.UnknownProperty"
#define ERROR_READ_ONLY "org.freedesktop.DBus.Error.PropertyReadOnly"

typedef enum ObjectKind {
        OBJECT_NONE,
        OBJECT_NODE, /* on the way to an object: only Introspect */
        OBJECT_MANAGER,
        OBJECT_AUDIT,
        OBJECT_KEY,
        OBJECT_IDENTITY,
        OBJECT_AUTHORITY,
        _OBJECT_MAX,
} ObjectKind;

typedef struct Object {
        const Method *methods;
        const char *interface;
        const char *xml;
} Object;

static const Object objects[] = {
                [OBJECT_MANAGER] = {manager_methods, HF_IFACE_MANAGER, xml_manager},
                [OBJECT_AUDIT] = {audit_methods, HF_IFACE_AUDIT, xml_audit},
                [OBJECT_KEY] = {key_methods, HF_IFACE_KEY, xml_key},
                [OBJECT_IDENTITY] = {identity_methods, HF_IFACE_IDENTITY, xml_identity},
                [OBJECT_AUTHORITY] = {authority_methods, HF_IFACE_AUTHORITY, xml_authority},
};

/* `kind` if the path is one under this prefix, OBJECT_NONE or -errno. */
static int find_named(const char *path, const char *prefix, ObjectKind kind, char ret_name[static NAME_SIZE])
{
        _cleanup_free_ char *decoded = NULL;
        int r = sd_bus_path_decode(path, prefix, &decoded);

        if (r <= 0)
                return r < 0 ? r : OBJECT_NONE;
        if (name_is_valid(decoded) || (kind == OBJECT_KEY && uuid_parse(decoded, &(Uuid){})))
                strcpy(ret_name, decoded);
        return kind;
}

/* Which object (an ObjectKind or -errno), and for a key or an identity the text that names it ("" if it could be no name:
 * then there is none). */
static int find_object(const char *path, char ret_key[static NAME_SIZE])
{
        int r;

        ret_key[0] = '\0';
        if (strcmp(path, HF_PATH_MANAGER) == 0)
                return OBJECT_MANAGER;
        if (strcmp(path, HF_PATH_AUDIT) == 0)
                return OBJECT_AUDIT;
        if (strcmp(path, HF_PATH_KEY) == 0 || strcmp(path, HF_PATH_IDENTITY) == 0 ||
                        strcmp(path, HF_PATH_AUTHORITY) == 0 || strcmp(path, HF_PATH_ROOT) == 0 ||
                        strcmp(path, "/org/holdfast") == 0 || strcmp(path, "/org") == 0 ||
                        strcmp(path, "/") == 0)
                return OBJECT_NODE;
        r = find_named(path, HF_PATH_KEY, OBJECT_KEY, ret_key);
        if (!r)
                r = find_named(path, HF_PATH_IDENTITY, OBJECT_IDENTITY, ret_key);
        return r ? r : find_named(path, HF_PATH_AUTHORITY, OBJECT_AUTHORITY, ret_key);
}

int read_options(Operation *op, const OptionSpec *specs, void *target)
{
        char bad[64];
        int r = options_read(op->call, specs, target, NULL, bad);

        if (r <= 0)
                return r;
        operation_fail_because(op, r,
                        "The option '%s' of %s is unknown, given twice or of the wrong type. Nothing was "
                        "done.",
                        bad, op->method->member);
        return OPERATION_ANSWERED;
}

int send_or_unref(Operation *op, sd_bus_message *reply, int r)
{
        if (r < 0) {
                sd_bus_message_unref(reply);
                return r;
        }
        operation_send(op, reply);
        return 0;
}

void send_done(Operation *op, sd_bus_message *reply, int r)
{
        operation_send(op, r < 0 ? sd_bus_message_unref(reply) : reply);
}

/* ---- values ---- */

static int append_basic(sd_bus_message *m, const char *key, char type, const void *value)
{
        const char contents[] = {type, '\0'};
        int r = sd_bus_message_open_container(m, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', contents);
        if (r >= 0)
                r = sd_bus_message_append_basic(m, type, value);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

int reply_append_string(sd_bus_message *m, const char *key, const char *value)
{
        _cleanup_free_ char *copy = NULL;

        if (value && !text_is_valid(value)) {
                copy = strdup(value);
                if (!copy)
                        return -ENOMEM;
                value = text_make_valid(copy);
        }
        return append_basic(m, key, 's', value);
}

int reply_append_u32(sd_bus_message *m, const char *key, uint32_t value)
{
        return append_basic(m, key, 'u', &value);
}

int reply_append_u64(sd_bus_message *m, const char *key, uint64_t value)
{
        return append_basic(m, key, 't', &value);
}

int reply_append_bool(sd_bus_message *m, const char *key, bool value)
{
        int b = value;

        return append_basic(m, key, 'b', &b);
}

int reply_append_bytes(sd_bus_message *m, const char *key, Bytes value)
{
        int r = sd_bus_message_open_container(m, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', value.data, value.len);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

int reply_append_strings(sd_bus_message *m, const char *key, const char *const *values)
{
        int r = sd_bus_message_open_container(m, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **)values);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r >= 0 ? sd_bus_message_close_container(m) : r;
}

/* ---- introspection ---- */

static const char *const children[][6] = {
                {"/", "org"}, {"/org", "holdfast"}, {"/org/holdfast", "Keystore1"},
                {HF_PATH_ROOT, "Manager", "Audit", "key", "identity", "ca"},
                {HF_PATH_KEY}, /* keys are listed by ListKeys, to those who may know of them */
                {HF_PATH_IDENTITY},
                {HF_PATH_AUTHORITY},
};

static int introspect_node(sd_bus_message *m, const char *path)
{
        char xml[1024];
        int n;

        n = snprintf(xml, sizeof(xml), "%s<node>\n", xml_doctype);
        for (size_t i = 0; i < ELEMENTSOF(children); i++)
                for (size_t k = 1; strcmp(children[i][0], path) == 0 && k < ELEMENTSOF(children[i]) && children[i][k]; k++)
                        n += snprintf(xml + n, sizeof(xml) - (size_t)n, " <node name=\"%s\"/>\n",
                                        children[i][k]);
        snprintf(xml + n, sizeof(xml) - (size_t)n, "</node>\n");
        return sd_bus_reply_method_return(m, "s", xml);
}

static int introspect(sd_bus_message *m, ObjectKind kind, const char *path)
{
        if (kind == OBJECT_NODE)
                return introspect_node(m, path);
        return sd_bus_reply_method_return(m, "s", objects[kind].xml);
}

/* ---- what a bus daemon would answer, on the direct socket ---- */

static int answer_as_bus(sd_bus_message *m)
{
        const char *member = sd_bus_message_get_member(m);

        if (strcmp(member, "Hello") == 0)
                return sd_bus_reply_method_return(m, "s", ":1.0");
        if (strcmp(member, "AddMatch") == 0 || strcmp(member, "RemoveMatch") == 0)
                return sd_bus_reply_method_return(m, NULL);
        if (strcmp(member, "GetNameOwner") == 0)
                return sd_bus_reply_method_return(m, "s", ":1.0");
        if (strcmp(member, "StartServiceByName") == 0)
                return sd_bus_reply_method_return(m, "u", 2U);
        if (strcmp(member, "RequestName") == 0 || strcmp(member, "ReleaseName") == 0)
                return sd_bus_reply_method_errorf(
                                m, SD_BUS_ERROR_ACCESS_DENIED, "This is no bus but a direct connection");
        return sd_bus_reply_method_errorf(m, ERROR_UNKNOWN_METHOD, "A direct connection has no '%s'", member);
}

/* ---- methods ---- */

static const Method *find_method(const Object *o, const char *interface, const char *member)
{
        if (interface && strcmp(interface, o->interface))
                return NULL;
        for (const Method *m = o->methods; m->member; m++)
                if (strcmp(m->member, member) == 0)
                        return m;
        return NULL;
}

static void fail_by_state(Operation *op)
{
        const Vault *v = &op->daemon->vault;
        int r = vault_state_error(v);

        if (v->state == VAULT_READY || !v->reason[0])
                operation_fail(op, r);
        else
                operation_fail_because(op, r, "%s (%s)", errors_sentence(r), v->reason);
}

/* The store is being opened, or is open but the signer is not yet again, or is gone and the loop is about to learn it: that
 * takes a moment and then works or not, so the caller waits. */
static bool must_wait(const Operation *op, unsigned states)
{
        const Vault *v = &op->daemon->vault;

        if (v->state == VAULT_STARTING)
                return !(states & VAULT_STARTING);
        return states == VAULT_READY && v->state == VAULT_READY &&
               (!v->signer_open || !signer_client_is_there(op->daemon->signer));
}

static void park(Operation *op)
{
        Daemon *d = op->daemon;

        op->queue_next = NULL;
        *(d->parked_last ? &d->parked_last->queue_next : &d->parked_first) = op;
        d->parked_last = op;
        use_patience(d);
}

static KeyEntry *find_authority_key(const Vault *v, const char *name)
{
        const AuthorityEntry *a = v->registry ? registry_authority(v->registry, name) : NULL;

        return a ? catalogue_find_uuid(v->catalogue, &a->row.key) : NULL;
}

static void run(Operation *op)
{
        const Method *method = op->method;
        unsigned states = method->states ? method->states : VAULT_READY;
        Vault *v = &op->daemon->vault;
        int r;

        if (!sd_bus_message_has_signature(op->call, method->in)) {
                operation_fail_because(op, HF_E_INVALID_ARGS,
                                "%s takes arguments of type '%s'. Nothing was done.", method->member,
                                method->in);
                return;
        }
        if ((method->flags & METHOD_DIRECT) && !op->caller->direct) {
                operation_fail(op, HF_E_USE_DIRECT_SOCKET);
                return;
        }
        if (must_wait(op, states)) {
                park(op);
                return;
        }
        if (!(states & v->state)) {
                fail_by_state(op);
                return;
        }
        if ((method->flags & METHOD_IDENTITY) && v->identities)
                op->identity = identity_ref(identities_find(v->identities, op->key_text));
        if (op->identity)
                op->key = catalogue_find_uuid(v->catalogue, &op->identity->row.key);
        else if (method->flags & METHOD_AUTHORITY)
                op->key = find_authority_key(v, op->key_text);
        else if (method->flags & METHOD_KEY)
                op->key = v->catalogue ? catalogue_find(v->catalogue, op->key_text) : NULL;
        if (op->key)
                key_entry_ref(op->key);
        if (method->operation) {
                r = operation_authorise(op, &(Question){.operation = method->operation});
                if (r)
                        return;
        }
        r = method->handle(op);
        if (r && r != OPERATION_ANSWERED)
                operation_fail(op, r);
}

void bus_run_parked(Daemon *d)
{
        Operation *list = d->parked_first, *op;

        d->parked_first = d->parked_last = NULL;
        while ((op = list)) {
                list = op->queue_next;
                run(op);
        }
}

static int begin(Daemon *d, sd_bus_message *m, Caller *caller, User *user, Connection *c,
                const Method *method, const char *key)
{
        Operation *op;

        if (!c && user->n_jobs >= d->config.max_jobs_per_user)
                return sd_bus_reply_method_errorf(m, errors_bus_name(HF_E_LIMIT_EXCEEDED), "%s",
                                errors_sentence(HF_E_LIMIT_EXCEEDED));
        if (operation_new(d, m, caller, user, c, &op) < 0)
                return -ENOMEM;
        op->method = method;
        strcpy(op->key_text, key);
        run(op);
        return 1;
}

/* ---- properties ---- */

static const char *const manager_properties[] = {"Version", "State"};
static const char *const key_properties[] = {
                "Name", "Uuid", "Algorithm", "Purpose", "Protection", "State", "PublicKey"};
static const char *const identity_properties[] = {
                "Name", "Key", "Issuer", "State", "Layout", "NotBefore", "NotAfter", "Chain"};

static int append_manager_property(const Operation *op, sd_bus_message *m, const char *name)
{
        if (strcmp(name, "Version") == 0)
                return sd_bus_message_append(m, "v", "s", HOLDFAST_VERSION);
        if (strcmp(name, "State") == 0)
                return sd_bus_message_append(m, "v", "s", vault_state_to_string(op->daemon->vault.state));
        return -ENXIO;
}

static int append_property(const Operation *op, sd_bus_message *m, const char *name)
{
        if (op->identity)
                return identity_append_property(op->daemon, m, op->identity, name);
        return op->key ? key_append_property(m, op->key, name) : append_manager_property(op, m, name);
}

static int fail_unknown_property(Operation *op, const char *name)
{
        sd_bus_message *reply = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;

        (void)sd_bus_error_setf(&e, ERROR_UNKNOWN_PROPERTY, "There is no property '%s'", name);
        (void)sd_bus_message_new_method_error(op->call, &reply, &e);
        sd_bus_error_free(&e);
        operation_send(op, reply);
        return OPERATION_ANSWERED;
}

static int handle_get(Operation *op)
{
        const char *interface, *name;
        sd_bus_message *reply = NULL;
        int r;

        if (sd_bus_message_read(op->call, "ss", &interface, &name) < 0)
                return HF_E_INVALID_ARGS;
        if (operation_reply_new(op, &reply) < 0)
                return -ENOMEM;
        r = append_property(op, reply, name);
        if (r == -ENXIO) {
                sd_bus_message_unref(reply);
                return fail_unknown_property(op, name);
        }
        return send_or_unref(op, reply, r);
}

static int handle_get_all(Operation *op)
{
        const char *const *names = op->identity ? identity_properties : op->key ? key_properties : manager_properties;
        size_t n = op->identity ? ELEMENTSOF(identity_properties)
                   : op->key    ? ELEMENTSOF(key_properties)
                                : ELEMENTSOF(manager_properties);
        sd_bus_message *reply = NULL;
        int r;

        r = operation_reply_new(op, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++) {
                r = sd_bus_message_open_container(reply, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(reply, 's', names[i]);
                if (r >= 0)
                        r = append_property(op, reply, names[i]);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r < 0) {
                sd_bus_message_unref(reply);
                return r;
        }
        operation_send(op, reply);
        return 0;
}

static int handle_set(Operation *op)
{
        sd_bus_message *reply = NULL;
        sd_bus_error e = SD_BUS_ERROR_MAKE_CONST(ERROR_READ_ONLY, "Properties of Holdfast are read-only");

        (void)sd_bus_message_new_method_error(op->call, &reply, &e);
        operation_send(op, reply);
        return 0;
}

#define PROPERTY_METHODS(states, flags, operation)                                                           \
        {                                                                                                    \
                {IFACE_PROPERTIES, "Get", "ss", "v", states, flags, operation, handle_get},                  \
                {IFACE_PROPERTIES, "GetAll", "s", "a{sv}", states, flags, operation, handle_get_all},        \
                {IFACE_PROPERTIES, "Set", "ssv", "", states, flags, operation, handle_set},                  \
        }

static const Method property_methods[_OBJECT_MAX][3] = {
                [OBJECT_MANAGER] = PROPERTY_METHODS(VAULT_ANY, 0, 0),
                [OBJECT_AUDIT] = PROPERTY_METHODS(VAULT_ANY, 0, 0),
                [OBJECT_KEY] = PROPERTY_METHODS(0, METHOD_KEY, POLICY_OP_DESCRIBE),
                [OBJECT_IDENTITY] = PROPERTY_METHODS(0, METHOD_IDENTITY, POLICY_OP_DESCRIBE),
};

static const Method *find_property_method(ObjectKind kind, const char *member)
{
        for (size_t i = 0; i < ELEMENTSOF(property_methods[kind]); i++)
                if (property_methods[kind][i].member && strcmp(property_methods[kind][i].member, member) == 0)
                        return &property_methods[kind][i];
        return NULL;
}

int bus_dispatch(Daemon *d, sd_bus_message *m, Caller *caller, User *user, Connection *connection)
{
        const char *interface = sd_bus_message_get_interface(m), *member = sd_bus_message_get_member(m);
        const char *path = sd_bus_message_get_path(m);
        const Method *method = NULL;
        char key[NAME_SIZE];
        uint8_t type;
        int kind;

        if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL || !member || !path)
                return 0;
        if (connection && interface && strcmp(interface, IFACE_BUS) == 0)
                return answer_as_bus(m);
        if (interface && strcmp(interface, "org.freedesktop.DBus.Peer") == 0)
                return 0; /* sd-bus answers Ping itself */
        kind = find_object(path, key);
        if (kind < 0)
                return kind;
        if (kind == OBJECT_NONE)
                return sd_bus_reply_method_errorf(m, ERROR_UNKNOWN_OBJECT, "There is no object '%s'", path);
        if ((!interface || strcmp(interface, IFACE_INTROSPECTABLE) == 0) && strcmp(member, "Introspect") == 0)
                return introspect(m, kind, path);
        if (kind != OBJECT_NODE && interface && strcmp(interface, IFACE_PROPERTIES) == 0)
                method = find_property_method(kind, member);
        else if (kind != OBJECT_NODE)
                method = find_method(&objects[kind], interface, member);
        if (!method)
                return sd_bus_reply_method_errorf(m, ERROR_UNKNOWN_METHOD,
                                "There is no method '%s%s%s' on '%s'", interface ? interface : "",
                                interface ? "." : "", member, path);
        return begin(d, m, caller, user, connection, method, key);
}
