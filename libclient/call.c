/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls: an HfCall becomes a message, goes out, and its answer is read under the lock. The call is a value,
 * so that it can be made into a message again for a new connection.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "dbus/names.h"
#include "libclient/connection.h"
#include "libclient/error.h"

/* Room in a message for everything that is not a caller's bytes: header, path, options. */
#define MESSAGE_OVERHEAD 4096

static int append_spans(sd_bus_message *m, const HfSpan *spans, size_t n)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "ay");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append_array(m, 'y', spans[i].data, spans[i].len);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, const HfArg *a)
{
        switch (a->type) {
        case HF_ARG_STRING:
                return sd_bus_message_append(m, "s", a->string);
        case HF_ARG_BOOL:
                return sd_bus_message_append(m, "b", (int)(a->number != 0));
        case HF_ARG_U32:
                return a->number > UINT32_MAX ? -EINVAL : sd_bus_message_append(m, "u", (uint32_t)a->number);
        case HF_ARG_U64:
                return sd_bus_message_append(m, "t", a->number);
        case HF_ARG_FD:
                return sd_bus_message_append(m, "h", a->fd);
        case HF_ARG_BYTES:
                return sd_bus_message_append_array(m, 'y', a->bytes.data, a->bytes.len);
        case HF_ARG_SPANS:
                return append_spans(m, a->spans, a->n_items);
        case HF_ARG_STRINGS:
                return sd_bus_message_append_strv(m, (char **)a->strings);
        case HF_ARG_NUMBERS:
                return sd_bus_message_append_array(m, 'u', a->numbers, a->n_items * sizeof(uint32_t));
        }
        return -EINVAL;
}

static const char *value_signature(HfArgType type)
{
        switch (type) {
        case HF_ARG_STRING:
                return "s";
        case HF_ARG_BOOL:
                return "b";
        case HF_ARG_U32:
                return "u";
        case HF_ARG_U64:
                return "t";
        case HF_ARG_FD:
                return "h";
        case HF_ARG_BYTES:
                return "ay";
        case HF_ARG_SPANS:
                return "aay";
        case HF_ARG_STRINGS:
                return "as";
        case HF_ARG_NUMBERS:
                return "au";
        }
        return NULL;
}

static int append_option(sd_bus_message *m, const HfArg *a)
{
        const char *signature = value_signature(a->type);
        int r;

        r = signature ? sd_bus_message_open_container(m, 'e', "sv") : -EINVAL;
        if (r >= 0)
                r = sd_bus_message_append(m, "s", a->option);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', signature);
        if (r >= 0)
                r = append_value(m, a);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_args(sd_bus_message *m, const HfCall *call)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < call->n_args; i++)
                if (!call->args[i].option)
                        r = append_value(m, &call->args[i]);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (size_t i = 0; r >= 0 && i < call->n_args; i++)
                if (call->args[i].option)
                        r = append_option(m, &call->args[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The daemon hangs up on a message over its limit; a result with a name is better. */
static bool fits_message(const HfCall *call)
{
        size_t sum = MESSAGE_OVERHEAD;

        for (size_t i = 0; i < call->n_args; i++) {
                const HfArg *a = &call->args[i];

                if (a->type == HF_ARG_BYTES)
                        sum += a->bytes.len;
                for (size_t k = 0; a->type == HF_ARG_SPANS && k < a->n_items && sum <= HF_BUS_MESSAGE_MAX;
                                k++)
                        sum += a->spans[k].len + 8;
                if (sum > HF_BUS_MESSAGE_MAX)
                        return false;
        }
        return true;
}

static const char *usual_interface(const char *path)
{
        if (strcmp(path, HF_PATH_MANAGER) == 0)
                return HF_IFACE_MANAGER;
        return strcmp(path, HF_PATH_AUDIT) == 0 ? HF_IFACE_AUDIT : HF_IFACE_KEY;
}

int call_build(HfConnection *c, const HfCall *call, sd_bus_message **ret)
{
        _cleanup_free_ char *key_path = NULL;
        _cleanup_message_ sd_bus_message *m = NULL;
        const char *path = call->path;
        int r = 0;

        if (!path && !call->key)
                return error_set(HF_ERROR_INVALID_ARGS, NULL);
        if (!fits_message(call))
                return error_set(HF_ERROR_MESSAGE_TOO_LARGE, NULL);
        if (!path) {
                r = sd_bus_path_encode(HF_PATH_KEY, call->key, &key_path);
                path = key_path;
        }
        if (r >= 0)
                r = sd_bus_message_new_method_call(c->bus, &m, c->road == ROAD_BUS ? HF_BUS_NAME : NULL, path,
                                call->interface ? call->interface : usual_interface(path), call->member);
        if (r >= 0 && call->secret)
                r = sd_bus_message_sensitive(m);
        if (r >= 0)
                r = append_args(m, call);
        if (r < 0)
                return error_from_errno(r);
        *ret = TAKE_PTR(m);
        return HF_OK;
}

/* sd_bus_call() would wait for the handshake with a patience of its own, 90 s. Until then nothing of a call
 * is sent. */
static int wait_ready(sd_bus *bus, uint64_t timeout)
{
        uint64_t start = clock_monotonic(), passed;
        int r;

        while ((r = sd_bus_is_ready(bus)) == 0) {
                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                passed = clock_monotonic() - start;
                if (passed >= timeout)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, timeout - passed);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return r < 0 ? r : 0;
}

/* *ret_again: the connection broke, but another try does no harm. */
static int call_once(HfConnection *c, const HfCall *call, sd_bus_message **ret_reply, bool *ret_again)
{
        uint64_t timeout = call->timeout ? call->timeout : c->timeout;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *m = NULL;
        int r;

        r = connection_ensure(c);
        if (r < 0)
                return error_from_errno(r);
        r = wait_ready(c->bus, timeout);
        if (r < 0) {
                connection_drop(c);
                *ret_again = connection_is_broken(r);
                return error_from_errno(r);
        }
        r = call_build(c, call, &m);
        if (r)
                return r;
        r = sd_bus_call(c->bus, m, timeout, &error, ret_reply);
        if (r >= 0) {
                if (call->secret)
                        sd_bus_message_sensitive(*ret_reply);
                return HF_OK;
        }
        if (!connection_is_broken(r) || sd_bus_is_open(c->bus) > 0)
                return error_from_bus(r, &error);
        connection_drop(c);
        *ret_again = call->idempotent;
        return error_set(HF_ERROR_DAEMON_UNAVAILABLE, "The connection to holdfastd broke before the answer "
                                                      "came. Whether it was done is not known; look "
                                                      "before you repeat it.");
}

static int call_locked(HfConnection *c, const HfCall *call, sd_bus_message **ret_reply)
{
        bool again = false;
        int r = call_once(c, call, ret_reply, &again);

        return again ? call_once(c, call, ret_reply, &again) : r;
}

int connection_call(HfConnection *c, const HfCall *call, ReplyReader read, void *userdata)
{
        _cleanup_(connection_unlockp) HfConnection *locked = NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        c = connection_or_default(c);
        if (!c)
                return error_from_errno(-ENOMEM);
        connection_lock(c);
        locked = c;
        r = call_locked(c, call, &reply);
        if (r || !read)
                return r;
        r = read(reply, userdata);
        return r < 0 ? error_from_errno(-EBADMSG) : r;
}

static int keep_reply(sd_bus_message *reply, void *userdata)
{
        *(sd_bus_message **)userdata = sd_bus_message_ref(reply);
        return HF_OK;
}

int hf_call(HfConnection *c, const HfCall *call, sd_bus_message **ret_reply)
{
        return connection_call(c, call, ret_reply ? keep_reply : NULL, ret_reply);
}

int hf_secret_fd(const void *secret, size_t len, int *ret)
{
        if (len == 0 || len > SECRET_FD_MAX)
                return error_set(HF_ERROR_INVALID_FD, NULL);
        return error_from_errno(secret_fd_new(secret, len, ret));
}
