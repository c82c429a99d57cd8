/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the tests of this room share: a machine with a few users, a clock at a known moment, and policies from
 * text. The clock stands at Wednesday 2026-11-18 12:00:00 UTC.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "policy/decide.h"

#define NOON 1795003200000000ULL
#define MINUTE 60000000ULL
#define USEC 1000000ULL
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

enum {
        UID_TELEMETRY = 1001,
        UID_MOSQUITTO = 1002,
        GID_ADMIN = 900,
        GID_STAFF = 901,
};

typedef struct Warnings {
        unsigned n, asked_users;
        PolicyProblem last;
} Warnings;

static inline int fake_user(void *userdata, const char *name, uid_t *ret)
{
        Warnings *w = userdata;

        if (w)
                w->asked_users++;
        if (strcmp(name, "telemetry") == 0)
                *ret = UID_TELEMETRY;
        else if (strcmp(name, "mosquitto") == 0)
                *ret = UID_MOSQUITTO;
        else if (strcmp(name, "root") == 0)
                *ret = 0;
        else
                return strcmp(name, "unreachable") == 0 ? -EIO : HF_E_INVALID_NAME;
        return 0;
}

static inline int fake_group(void *userdata, const char *name, gid_t *ret)
{
        (void)userdata;
        if (strcmp(name, "holdfast-admin") == 0)
                *ret = GID_ADMIN;
        else if (strcmp(name, "staff") == 0)
                *ret = GID_STAFF;
        else
                return HF_E_INVALID_NAME;
        return 0;
}

static inline bool fake_algorithm(void *userdata, const char *name)
{
        (void)userdata;
        return strcmp(name, "p256") == 0 || strcmp(name, "ed25519") == 0;
}

static inline bool fake_scheme(void *userdata, const char *name)
{
        (void)userdata;
        return strcmp(name, "ES256") == 0 || strcmp(name, "EdDSA") == 0;
}

static inline void keep_warning(void *userdata, const PolicyProblem *warning)
{
        Warnings *w = userdata;

        w->n++;
        w->last = *warning;
}

static inline PolicyParams fake_params(Warnings *w)
{
        return (PolicyParams){
                        .owner = getuid(),
                        .names = {fake_user, fake_group, fake_algorithm, fake_scheme, w},
                        .warn = w ? keep_warning : NULL,
                        .warn_userdata = w,
        };
}

static inline int try_policy(const char *text, PolicyProblem *ret_problem, Policy **ret)
{
        PolicyParams params = fake_params(NULL);

        return policy_load_text(&params, "test.conf", bytes_str(text), ret_problem, ret);
}

/* A policy that must load. */
static inline Policy *make_policy(const char *text)
{
        PolicyProblem problem = {};
        Policy *p = NULL;
        int r = try_policy(text, &problem, &p);

        if (r)
                print_error("%s:%u:%u: %s\n", problem.path, problem.line, problem.column, problem.sentence);
        assert_int_equal(r, 0);
        return p;
}

static inline PolicyRequest telemetry_signs(void)
{
        static const Uuid uuid = {.b = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88, 0x99, 0xaa, 0xbb,
                                                  0xcc, 0xdd, 0xee, 0xff, 0x01}};
        static const gid_t groups[] = {50, 60};

        return (PolicyRequest){
                        .uid = UID_TELEMETRY,
                        .gid = 1001,
                        .groups = groups,
                        .n_groups = 2,
                        .user = "telemetry",
                        .socket = "/run/holdfast/bus",
                        .operation = POLICY_OP_SIGN,
                        .key = "device-tls",
                        .uuid = &uuid,
                        .algorithm = "p256",
                        .scheme = "ES256",
                        .now_wall = NOON,
                        .now_monotonic = HOUR,
        };
}
