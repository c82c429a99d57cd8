/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In a foreign event loop: descriptor, events, timeout, dispatch, and signing with a callback. Answers are
 * taken in under the lock and called back without it, oldest first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dbus/names.h"
#include "libclient/connection.h"
#include "libclient/error.h"
#include "libclient/key.h"
#include "libclient/operation.h"

/* Locked on success: *ret is the connection, connected. */
static int lock_connected(HfConnection *c, HfConnection **ret)
{
        int r;

        c = connection_or_default(c);
        if (!c)
                return error_from_errno(-ENOMEM);
        connection_lock(c);
        r = connection_ensure(c);
        if (r < 0) {
                connection_unlock(c);
                return error_from_errno(r);
        }
        *ret = c;
        return HF_OK;
}

int hf_connection_fd(HfConnection *c, int *ret)
{
        _cleanup_(connection_unlockp) HfConnection *locked = NULL;
        int r;

        r = lock_connected(c, &locked);
        if (r == HF_OK)
                *ret = locked->fd;
        return r;
}

int hf_connection_events(HfConnection *c, short *ret)
{
        _cleanup_(connection_unlockp) HfConnection *locked = NULL;
        int r;

        r = lock_connected(c, &locked);
        if (r)
                return r;
        r = sd_bus_get_events(locked->bus);
        if (r < 0)
                return error_from_errno(r);
        *ret = (short)r;
        return HF_OK;
}

int hf_connection_timeout(HfConnection *c, uint64_t *ret)
{
        _cleanup_(connection_unlockp) HfConnection *locked = NULL;
        uint64_t usec = 0;
        int r;

        r = lock_connected(c, &locked);
        if (r)
                return r;
        r = locked->done ? 0 : sd_bus_get_timeout(locked->bus, &usec);
        if (r < 0)
                return error_from_errno(r);
        *ret = usec;
        return HF_OK;
}

/* The done list, oldest first. */
static Pending *take_done(HfConnection *c)
{
        Pending *first = NULL;

        while (c->done) {
                Pending *p = c->done;

                c->done = p->next;
                p->next = first;
                first = p;
        }
        return first;
}

static void call_back(Pending *p)
{
        while (p) {
                Pending *next = p->next;

                p->callback(p->result, p->result ? NULL : p->sig, p->result ? 0 : p->sig_len, p->userdata);
                free(p);
                p = next;
        }
}

int hf_connection_dispatch(HfConnection *c)
{
        Pending *done;
        int r = 0;

        c = connection_or_default(c);
        if (!c)
                return error_from_errno(-ENOMEM);
        connection_lock(c);
        while (c->bus && (r = sd_bus_process(c->bus, NULL)) > 0) {
                /* as long as there is something to do at once */
        }
        if (c->bus && (r < 0 || sd_bus_is_open(c->bus) <= 0)) {
                connection_drop(c);
                r = r < 0 ? r : -ECONNRESET;
        }
        done = take_done(c);
        connection_unlock(c);
        call_back(done);
        return r < 0 ? error_from_errno(r) : HF_OK;
}

/* The answer is here; runs under the lock, from sd_bus_process(). */
static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        Pending *p = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        int r;

        (void)ret_error;
        if (error) {
                r = error_from_bus(-sd_bus_error_get_errno(error), error);
        } else {
                p->sig_len = sizeof(p->sig);
                r = room_read(reply, &(Room){p->sig, &p->sig_len});
        }
        connection_finish(p->connection, p, r < 0 ? error_from_errno(-EBADMSG) : r);
        return 0;
}

static int send_locked(HfConnection *c, const HfCall *call, Pending *p)
{
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        r = call_build(c, call, &m);
        if (r)
                return r;
        r = sd_bus_call_async(c->bus, NULL, m, on_reply, p, c->timeout);
        if (r < 0)
                return error_from_errno(r);
        p->connection = c;
        p->next = c->pending;
        c->pending = p;
        return HF_OK;
}

int hf_sign_async(HfKey *key, unsigned scheme, const void *message, size_t message_len,
                HfSignCallback callback, void *userdata)
{
        _cleanup_(connection_unlockp) HfConnection *locked = NULL;
        HfArg data = {.type = HF_ARG_BYTES, .bytes = {message, message_len}}, args[SIGN_ARGS_MAX];
        HfCall call = {.key = key->name, .member = "Sign", .args = args};
        _cleanup_free_ Pending *p = NULL;
        int r;

        if (message_len > HF_MESSAGE_MAX)
                return error_set(HF_ERROR_MESSAGE_TOO_LARGE, NULL);
        r = sign_args(scheme, &data, args, &call.n_args);
        if (r)
                return r;
        p = malloc(sizeof(*p));
        if (!p)
                return error_from_errno(-ENOMEM);
        p->callback = callback;
        p->userdata = userdata;
        r = lock_connected(key->connection, &locked);
        if (r == HF_OK)
                r = send_locked(locked, &call, p);
        if (r == HF_OK)
                TAKE_PTR(p);
        return r;
}
