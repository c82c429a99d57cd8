/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a key is said to be: the a{sv} of Describe, taken out of its message. */
#include <holdfast.h>
#include <systemd/sd-bus.h>

/* A ReplyReader; userdata is HfDescription **. */
int description_read(sd_bus_message *reply, void *userdata);
