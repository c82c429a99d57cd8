/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A key as the library holds it: the way it is addressed, nothing more. */
#include <holdfast.h>

#include "base/name.h"

struct HfKey {
        HfConnection *connection; /* NULL: the default one */
        char name[NAME_SIZE];
};

/* A caller's buffer for the bytes of an answer. */
typedef struct Room {
        void *data;
        size_t *len;
} Room;
