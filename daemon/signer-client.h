/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The channel to holdfast-signer, seen from the loop
 *
 * Connects to the signer's socket, says hello, and again whenever the connection is lost. Calls are answered
 * in any order through their callback, each exactly once: with the signer's result, or with
 * HF_E_SIGNER_UNAVAILABLE when it went away. Messages leave in the order of the calls, which the signer
 * relies on.
 */
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "link/signer.h"

#define SIGNER_IN_FLIGHT_MAX                                                                                 \
        64 /* operations given to the signer at once; the others wait in our fair queue */

typedef struct SignerClient SignerClient;

/* `body` is what follows the result in the reply, borrowed; empty unless result is 0 or UNLOCK_FAILED (text).
 */
typedef void (*SignerReplyFunc)(void *userdata, int result, Bytes body);

typedef enum SignerState {
        SIGNER_AWAY,          /* there is none, or it has not answered yet; it is tried again and again */
        SIGNER_OTHER_VERSION, /* it answers as ours would not; tried again too, for one of them will be restarted */
        SIGNER_UP,
} SignerState;

typedef struct SignerClientParams {
        const char *path;
        void (*up)(void *userdata, const SignerHello *hello);
        void (*down)(void *userdata);
        void (*room)(void *userdata); /* signer_client_has_room() may have become true */
        void *userdata;
} SignerClientParams;

int signer_client_new(sd_event *event, const SignerClientParams *params, SignerClient **ret);
SignerClient *signer_client_free(SignerClient *c);
DEFINE_CLEANUP(SignerClient, signer_client_free)

SignerState signer_client_state(const SignerClient *c);
bool signer_client_is_up(const SignerClient *c);
/* Up, and not gone in the moment since the loop last looked. */
bool signer_client_is_there(const SignerClient *c);
/* "absent", "other-version", "connected" */
const char *signer_state_to_string(SignerState s);
bool signer_client_has_room(const SignerClient *c);
/* The same besides so many that have a window of their own. */
bool signer_client_has_room_besides(const SignerClient *c, size_t others);
const SignerHello *signer_client_hello(const SignerClient *c);

/* Begin a message; append the body to the buffer; then signer_call(). */
Buffer *signer_begin(SignerClient *c, SignerRequest type);
/* Sends what was begun. Descriptors are duplicated as needed. HF_E_SIGNER_UNAVAILABLE, -ENOMEM; then the
 * callback is not called. */
int signer_call(SignerClient *c, const int *fds, size_t n_fds, SignerReplyFunc reply, void *userdata);
