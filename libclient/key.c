/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys: open, close, describe, public key. */
#include "libclient/key.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/uuid.h"
#include "libclient/connection.h"
#include "libclient/description.h"
#include "libclient/error.h"
#include "libclient/operation.h"

int hf_key_open(HfConnection *c, const char *name, HfKey **ret)
{
        HfKey *key;
        Uuid uuid;

        if (!name || (!name_is_valid(name) && !uuid_parse(name, &uuid)))
                return error_set(HF_ERROR_INVALID_NAME, NULL);
        key = calloc(1, sizeof(*key));
        if (!key)
                return error_from_errno(-ENOMEM);
        key->connection = c;
        memcpy(key->name, name, strlen(name) + 1);
        *ret = key;
        return HF_OK;
}

HfKey *hf_key_close(HfKey *key)
{
        free(key);
        return NULL;
}

int hf_key_describe(HfKey *key, HfDescription **ret)
{
        return connection_call(key->connection,
                        &(HfCall){.key = key->name, .member = "Describe", .idempotent = true},
                        description_read, ret);
}

int hf_key_public(HfKey *key, const char *format, void *buf, size_t *len)
{
        const HfArg args[] = {{.type = HF_ARG_STRING, .string = format}};

        return connection_call(key->connection,
                        &(HfCall){.key = key->name,
                                        .member = "GetPublicKey",
                                        .args = args,
                                        .n_args = ELEMENTSOF(args),
                                        .idempotent = true},
                        room_read, &(Room){buf, len});
}
