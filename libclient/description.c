/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Description: members by name; those of a kind nobody here knows are passed over, so that daemons may say
 * more. */
#include "libclient/description.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define MEMBERS_MAX 64

typedef enum MemberKind {
        MEMBER_OTHER, /* passed over */
        MEMBER_STRING,
        MEMBER_NUMBER,
        MEMBER_BYTES,
        MEMBER_LIST,
} MemberKind;

typedef struct Member {
        char *name;
        MemberKind kind;
        char *string;
        uint64_t number;
        void *bytes;
        size_t len;
        char **list;
} Member;

struct HfDescription {
        size_t n;
        Member members[MEMBERS_MAX];
};

DEFINE_CLEANUP(HfDescription, hf_description_free)

HfDescription *hf_description_free(HfDescription *d)
{
        for (size_t i = 0; d && i < d->n; i++) {
                Member *m = &d->members[i];

                for (size_t k = 0; m->list && m->list[k]; k++)
                        free(m->list[k]);
                free(m->list);
                free(m->name);
                free(m->string);
                free(m->bytes);
        }
        free(d);
        return NULL;
}

static int read_string(sd_bus_message *reply, char **ret)
{
        const char *s;
        int r;

        r = sd_bus_message_read(reply, "s", &s);
        if (r < 0)
                return r;
        *ret = strdup(s);
        return *ret ? 0 : -ENOMEM;
}

static int read_number(sd_bus_message *reply, char type, uint64_t *ret)
{
        uint32_t u;
        int b, r;

        switch (type) {
        case 't':
                return sd_bus_message_read(reply, "t", ret);
        case 'u':
                r = sd_bus_message_read(reply, "u", &u);
                *ret = r < 0 ? 0 : u;
                return r;
        default:
                r = sd_bus_message_read(reply, "b", &b);
                *ret = r < 0 ? 0 : (uint64_t)b;
                return r;
        }
}

static int read_bytes(sd_bus_message *reply, Member *m)
{
        const void *data;
        int r;

        r = sd_bus_message_read_array(reply, 'y', &data, &m->len);
        if (r < 0)
                return r;
        m->bytes = malloc(m->len ? m->len : 1);
        if (!m->bytes)
                return -ENOMEM;
        if (m->len > 0)
                memcpy(m->bytes, data, m->len);
        return 0;
}

static int read_value(sd_bus_message *reply, const char *signature, Member *m)
{
        int r;

        if (strcmp(signature, "s") == 0) {
                m->kind = MEMBER_STRING;
                return read_string(reply, &m->string);
        }
        if (strcmp(signature, "t") == 0 || strcmp(signature, "u") == 0 || strcmp(signature, "b") == 0) {
                m->kind = MEMBER_NUMBER;
                return read_number(reply, signature[0], &m->number);
        }
        if (strcmp(signature, "ay") == 0) {
                m->kind = MEMBER_BYTES;
                return read_bytes(reply, m);
        }
        if (strcmp(signature, "as") == 0) {
                m->kind = MEMBER_LIST;
                r = sd_bus_message_read_strv(reply, &m->list);
                return r;
        }
        return sd_bus_message_skip(reply, signature);
}

static int read_member(sd_bus_message *reply, Member *m)
{
        const char *signature;
        int r;

        r = read_string(reply, &m->name);
        if (r >= 0)
                r = sd_bus_message_peek_type(reply, NULL, &signature);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'v', signature);
        if (r >= 0)
                r = read_value(reply, signature, m);
        return r < 0 ? r : sd_bus_message_exit_container(reply);
}

int description_read(sd_bus_message *reply, void *userdata)
{
        _cleanup_(hf_description_freep) HfDescription *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                if (d->n == MEMBERS_MAX)
                        return -E2BIG;
                d->n++;
                r = read_member(reply, &d->members[d->n - 1]);
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *(HfDescription **)userdata = TAKE_PTR(d);
        return 0;
}

static const Member *find(const HfDescription *d, const char *name, MemberKind kind)
{
        for (size_t i = 0; i < d->n; i++)
                if (d->members[i].kind == kind && strcmp(d->members[i].name, name) == 0)
                        return &d->members[i];
        return NULL;
}

const char *hf_description_string(const HfDescription *d, const char *member)
{
        const Member *m = find(d, member, MEMBER_STRING);

        return m ? m->string : NULL;
}

uint64_t hf_description_number(const HfDescription *d, const char *member, uint64_t otherwise)
{
        const Member *m = find(d, member, MEMBER_NUMBER);

        return m ? m->number : otherwise;
}

HfSpan hf_description_bytes(const HfDescription *d, const char *member)
{
        const Member *m = find(d, member, MEMBER_BYTES);

        return m ? (HfSpan){m->bytes, m->len} : (HfSpan){NULL, 0};
}

const char *hf_description_item(const HfDescription *d, const char *member, size_t i)
{
        const Member *m = find(d, member, MEMBER_LIST);

        for (size_t k = 0; m && m->list && m->list[k]; k++)
                if (k == i)
                        return m->list[k];
        return NULL;
}
