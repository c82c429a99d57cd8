/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Operations on keys: what they share with others who call and read bytes back. */
#include <holdfast-admin.h>
#include <systemd/sd-bus.h>

/* A ReplyReader for one `ay`; userdata is Room *. */
int room_read(sd_bus_message *reply, void *userdata);

#define SIGN_ARGS_MAX 4

/* The arguments of Sign or SignMany for a scheme and its flags, with the data in place; args has room for
 * SIGN_ARGS_MAX. 0, or a result that was set. */
int sign_args(unsigned scheme, const HfArg *data, HfArg *args, size_t *ret_n);
