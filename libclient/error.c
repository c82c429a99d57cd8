/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors of the library: the public results are the enum of base/error.h under public names, held equal here;
 * their names and sentences come from the one table of dbus/errors.c.
 */
#include "libclient/error.h"

#include <errno.h>
#include <holdfast-admin.h>
#include <holdfast.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dbus/errors.h"
#include "dbus/names.h"

#define X(sym, bus)                                                                                          \
        _Static_assert((int)HF_ERROR_##sym == (int)HF_E_##sym, "public and private value of " #sym);
HF_ERROR_LIST(X)
#undef X
_Static_assert((int)HF_ERROR_ORPHANS_CHANGED == _HF_E_MAX - 1, "the public enum lacks the newest errors");
_Static_assert(HF_SIGN_MANY_LIMIT == HF_SIGN_MANY_MAX && HF_MESSAGE_LIMIT == HF_MESSAGE_MAX,
                "limits of the contract");

#define SENTENCE_SIZE 1024

static __thread char last_sentence[SENTENCE_SIZE];
static __thread int last_result;

int error_set(int result, const char *sentence)
{
        snprintf(last_sentence, sizeof(last_sentence), "%s", sentence ? sentence : errors_sentence(result));
        last_result = result;
        return result;
}

static int result_of_errno(int e)
{
        switch (e) {
        case ETIMEDOUT:
                return HF_ERROR_TIMED_OUT;
        case ENOENT:
        case ECONNREFUSED:
        case ECONNRESET:
        case ENOTCONN:
        case ESHUTDOWN:
        case EPIPE:
                return HF_ERROR_DAEMON_UNAVAILABLE;
        case EACCES:
        case EPERM:
                return HF_ERROR_POLICY_DENIED;
        case EMSGSIZE:
                return HF_ERROR_MESSAGE_TOO_LARGE;
        case EINVAL:
                return HF_ERROR_INVALID_ARGS;
        default:
                return HF_ERROR_INTERNAL;
        }
}

int error_from_errno(int r)
{
        char text[128], sentence[256];

        if (r >= 0)
                return r == 0 ? 0 : error_set(r, NULL);
        switch (result_of_errno(-r)) {
        case HF_ERROR_POLICY_DENIED:
                return error_set(HF_ERROR_POLICY_DENIED, "You may not connect to the socket of holdfastd. "
                                                         "Nothing was done; see its mode and owner.");
        case HF_ERROR_INTERNAL:
                snprintf(sentence, sizeof(sentence), "In this program: %s. Nothing was released.",
                                strerror_r(-r, text, sizeof(text)));
                return error_set(HF_ERROR_INTERNAL, sentence);
        default:
                return error_set(result_of_errno(-r), NULL);
        }
}

int error_from_bus(int r, const sd_bus_error *error)
{
        bool ours;

        if (!error || !error->name || strncmp(error->name, "System.Error.", 13) == 0)
                return error_from_errno(r);
        ours = strncmp(error->name, HF_ERROR_PREFIX, sizeof(HF_ERROR_PREFIX) - 1) == 0;
        return error_set(errors_from_bus_name(error->name),
                        ours && error->message && error->message[0] ? error->message : NULL);
}

const char *hf_error_sentence(void)
{
        return last_sentence;
}

int hf_error(void)
{
        return last_result;
}

int hf_error_set(int result, const char *sentence)
{
        return error_set(result, sentence);
}

const char *hf_strerror(int result)
{
        return result == HF_OK ? "Done." : errors_sentence(result);
}

const char *hf_error_to_name(int result)
{
        return result == HF_OK ? "Ok" : errors_bus_name(result) + sizeof(HF_ERROR_PREFIX) - 1;
}
