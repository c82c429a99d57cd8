/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/system-bus.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/bus.h"
#include "daemon/user.h"
#include "dbus/errors.h"
#include "dbus/names.h"

#define PEERS_MAX 1024
#define WAITING_MAX 64 /* calls that wait for one peer's credentials */
#define RETRY_USEC (500 * 1000ULL)

typedef struct Peer Peer;
struct Peer {
        Peer *next;
        SystemBus *bus;
        char *name;
        Caller *caller; /* NULL until the bus has told */
        User *user;
        sd_bus_slot *asking, *watching;
        sd_bus_message *waiting[WAITING_MAX];
        size_t n_waiting;
};

struct SystemBus {
        Daemon *daemon;
        sd_bus *bus;
        sd_event_source *retry, *ending; /* made once: coming back needs no memory that may not be there */
        Peer *peers;
        size_t n_peers;
        bool said; /* that it is not there */
        bool named, refused;
};

static void peer_free(Peer *p)
{
        for (size_t i = 0; i < p->n_waiting; i++)
                sd_bus_message_unref(p->waiting[i]);
        sd_bus_slot_unref(p->asking);
        sd_bus_slot_unref(p->watching);
        caller_unref(p->caller);
        user_unref(p->bus->daemon, p->user);
        free(p->name);
        free(p);
}

static void peer_remove(Peer *p)
{
        for (Peer **at = &p->bus->peers; *at; at = &(*at)->next)
                if (*at == p) {
                        *at = p->next;
                        p->bus->n_peers--;
                        break;
                }
        peer_free(p);
}

typedef struct Credentials {
        bool has_uid;
        uint32_t uid, pid;
        const void *groups;
        size_t n_groups;
} Credentials;

static int read_credential(sd_bus_message *m, const char *name, Credentials *ret)
{
        int r;

        if (strcmp(name, "UnixUserID") == 0) {
                r = sd_bus_message_read(m, "v", "u", &ret->uid);
                ret->has_uid = r >= 0;
                return r;
        }
        if (strcmp(name, "ProcessID") == 0)
                return sd_bus_message_read(m, "v", "u", &ret->pid);
        if (strcmp(name, "UnixGroupIDs") == 0) {
                r = sd_bus_message_enter_container(m, 'v', "au");
                if (r >= 0)
                        r = sd_bus_message_read_array(m, 'u', &ret->groups, &ret->n_groups);
                ret->n_groups /= sizeof(uint32_t);
                return r >= 0 ? sd_bus_message_exit_container(m) : r;
        }
        return sd_bus_message_skip(m, "v");
}

static int read_credentials(sd_bus_message *m, Caller **ret)
{
        Credentials c = {0};
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &name);
                if (r >= 0)
                        r = read_credential(m, name, &c);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r < 0 || !c.has_uid)
                return r == -ENOMEM ? r : -EPERM;
        /* The bus gives no primary group apart; it is among the others. */
        return caller_from_bus(c.uid, c.n_groups ? *(const uint32_t *)c.groups : (gid_t)-1, (pid_t)c.pid,
                        c.groups, c.n_groups, ret);
}

/* To a call that waited: sd-bus answers for nobody any more. */
static void refuse(SystemBus *b, sd_bus_message *m, int r)
{
        int sent;

        if (r == -EPERM)
                sent = sd_bus_reply_method_errorf(m, errors_bus_name(HF_E_POLICY_DENIED),
                                "The bus does not say who you are. Nothing was done; use the direct socket.");
        else
                sent = sd_bus_reply_method_errorf(m, errors_bus_name(HF_E_INTERNAL), "%s", errors_sentence(HF_E_INTERNAL));
        if (sent < 0)
                system_bus_hang_up(b);
}

static int on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Peer *p = userdata;
        Daemon *d = p->bus->daemon;
        int r;

        (void)error;
        p->asking = sd_bus_slot_unref(p->asking);
        r = sd_bus_message_is_method_error(m, NULL) ? -EPERM : read_credentials(m, &p->caller);
        if (r == 0)
                r = user_get(d, p->caller->uid, &p->user);
        for (size_t i = 0; i < p->n_waiting; i++) {
                sd_bus_message *call = p->waiting[i];

                if (r)
                        refuse(p->bus, call, r);
                else if (bus_dispatch(d, call, p->caller, p->user, NULL) < 0)
                        refuse(p->bus, call, HF_E_INTERNAL);
                sd_bus_message_unref(call);
        }
        p->n_waiting = 0;
        if (r)
                peer_remove(p);
        return 0;
}

/* The match says sender=org.freedesktop.DBus, which only the bus itself can be. */
static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *name, *old, *new;

        (void)error;
        if (sd_bus_message_read(m, "sss", &name, &old, &new) >= 0 && !*new)
                peer_remove(userdata);
        return 0;
}

static int peer_ask(SystemBus *b, Peer *p)
{
        char match[512];
        int r;

        snprintf(match, sizeof(match),
                        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member="
                        "'NameOwnerChanged',"
                        "path='/org/freedesktop/DBus',arg0='%s'",
                        p->name);
        r = sd_bus_add_match_async(b->bus, &p->watching, match, on_gone, NULL, p);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(b->bus, &p->asking, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "GetConnectionCredentials", on_credentials, p, "s", p->name);
}

static int peer_get(SystemBus *b, const char *name, Peer **ret)
{
        Peer *p;

        for (p = b->peers; p; p = p->next)
                if (strcmp(p->name, name) == 0) {
                        *ret = p;
                        return 0;
                }
        if (b->n_peers >= PEERS_MAX)
                return -ENOBUFS;
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->bus = b;
        p->name = strdup(name);
        if (!p->name || peer_ask(b, p) < 0) {
                peer_free(p);
                return -ENOMEM;
        }
        p->next = b->peers;
        b->peers = p;
        b->n_peers++;
        *ret = p;
        return 0;
}

/* The name may come after all, when whoever had it has gone, and it may be taken away. */
static void on_name_signal(SystemBus *b, sd_bus_message *m)
{
        bool acquired = sd_bus_message_is_signal(m, "org.freedesktop.DBus", "NameAcquired") > 0;
        const char *name;

        if (!acquired && sd_bus_message_is_signal(m, "org.freedesktop.DBus", "NameLost") <= 0)
                return;
        if (strcmp(sd_bus_message_get_sender(m), "org.freedesktop.DBus") || sd_bus_message_read(m, "s", &name) < 0 ||
                        strcmp(name, HF_BUS_NAME) || b->named == acquired)
                return;
        b->named = acquired;
        if (acquired && b->refused)
                log_notice("the name %s is ours now on the system bus", HF_BUS_NAME);
        else if (!acquired)
                log_error("the name %s was taken away on the system bus; the direct socket is still served",
                                HF_BUS_NAME);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *sender = sd_bus_message_get_sender(m);
        SystemBus *b = userdata;
        uint8_t type;
        Peer *p;
        int r;

        (void)error;
        if (sd_bus_message_get_type(m, &type) >= 0 && type == SD_BUS_MESSAGE_SIGNAL && sender)
                on_name_signal(b, m);
        if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL || !sender ||
                        sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Peer", NULL))
                return 0; /* sd-bus answers Ping itself */
        r = peer_get(b, sender, &p);
        if (r == -ENOMEM) {
                system_bus_hang_up(b); /* sd-bus 252 does not survive a match that it had half the memory for */
                return r;
        }
        if (r || (!p->caller && p->n_waiting == WAITING_MAX))
                return sd_bus_reply_method_errorf(m, errors_bus_name(HF_E_LIMIT_EXCEEDED), "%s",
                                errors_sentence(HF_E_LIMIT_EXCEEDED));
        if (p->caller)
                return bus_dispatch(b->daemon, m, p->caller, p->user, NULL);
        p->waiting[p->n_waiting++] = sd_bus_message_ref(m);
        return 1;
}

static void disconnect(SystemBus *b)
{
        while (b->peers)
                peer_remove(b->peers);
        if (b->bus)
                (void)sd_bus_detach_event(b->bus);
        b->bus = sd_bus_close_unref(b->bus);
        b->named = false;
}

static void schedule_retry(SystemBus *b)
{
        if (sd_event_source_set_time_relative(b->retry, RETRY_USEC) < 0 ||
                        sd_event_source_set_enabled(b->retry, SD_EVENT_ONESHOT) < 0)
                daemon_abandon(b->daemon, "the system bus cannot be waited for");
}

static int on_ending(sd_event_source *source, void *userdata)
{
        SystemBus *b = userdata;

        (void)source;
        disconnect(b);
        schedule_retry(b);
        return 0;
}

/* Not at once: this is called from inside of sd-bus. */
void system_bus_hang_up(SystemBus *b)
{
        if (sd_event_source_set_enabled(b->ending, SD_EVENT_ONESHOT) < 0)
                daemon_abandon(b->daemon, "the system bus cannot be left");
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        (void)m;
        (void)error;
        log_warning("the system bus went away; the direct socket is still served");
        system_bus_hang_up(userdata);
        return 0;
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        SystemBus *b = userdata;
        uint32_t code = 0;

        (void)error;
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &code) < 0 ||
                        (code != 1 && code != 4)) {
                const sd_bus_error *e = sd_bus_message_get_error(m);

                log_error("the name %s cannot be had on the system bus: %s; the direct socket is served", HF_BUS_NAME,
                                e ? e->message : "somebody else owns it");
                b->refused = true;
                return 0;
        }
        b->named = true;
        return 0;
}

static int connect_bus(SystemBus *b)
{
        int r;

        r = sd_bus_new(&b->bus);
        if (r >= 0) {
                const char *address = getenv("DBUS_SYSTEM_BUS_ADDRESS");

                r = sd_bus_set_address(b->bus, address ? address : "unix:path=/run/dbus/system_bus_socket");
        }
        if (r >= 0)
                r = sd_bus_set_bus_client(b->bus, 1);
        if (r >= 0)
                r = sd_bus_negotiate_fds(b->bus, 1);
        if (r >= 0)
                r = sd_bus_start(b->bus);
        if (r >= 0)
                r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, b);
        if (r >= 0)
                r = sd_bus_add_filter(b->bus, NULL, on_message, b);
        if (r >= 0)
                r = sd_bus_request_name_async(b->bus, NULL, HF_BUS_NAME, SD_BUS_NAME_QUEUE, on_name, b);
        if (r >= 0)
                r = sd_bus_attach_event(b->bus, b->daemon->event, SD_EVENT_PRIORITY_NORMAL);
        return r;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        SystemBus *b = userdata;
        int r;

        (void)source;
        (void)usec;
        r = connect_bus(b);
        if (r >= 0) {
                b->said = false;
                return 0;
        }
        if (!b->said)
                log_warning("the system bus is not there (%s); serving the direct socket", strerror(-r));
        b->said = true;
        disconnect(b);
        schedule_retry(b);
        return 0;
}

SystemBus *system_bus_free(SystemBus *b)
{
        if (!b)
                return NULL;
        disconnect(b);
        sd_event_source_disable_unref(b->ending);
        sd_event_source_disable_unref(b->retry);
        free(b);
        return NULL;
}

int system_bus_new(Daemon *d, SystemBus **ret)
{
        _cleanup_(system_bus_freep) SystemBus *b = calloc(1, sizeof(*b));
        int r;

        if (!b)
                return -ENOMEM;
        b->daemon = d;
        r = sd_event_add_time_relative(d->event, &b->retry, CLOCK_MONOTONIC, 0, 0, on_retry, b);
        if (r >= 0)
                r = sd_event_add_defer(d->event, &b->ending, on_ending, b);
        if (r >= 0) /* before anything more is read */
                r = sd_event_source_set_priority(b->ending, SD_EVENT_PRIORITY_IMPORTANT);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->retry, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->ending, SD_EVENT_OFF);
        if (r < 0)
                return r;
        on_retry(NULL, 0, b);
        *ret = TAKE_PTR(b);
        return 0;
}

bool system_bus_is_connected(const SystemBus *b)
{
        return b && b->named;
}
