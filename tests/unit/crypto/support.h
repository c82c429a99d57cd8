/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of this room share: spans out of hex, keys made in one line, stock commands as judges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/io.h"
#include "crypto/privkey.h"
#include "crypto/pubkey.h"

typedef struct Hex {
        size_t len;
        uint8_t data[4096];
} Hex;

static inline Bytes hex(Hex *h, const char *text)
{
        h->len = strlen(text) / 2;
        assert_true(h->len <= sizeof(h->data));
        assert_int_equal(hex_decode(text, strlen(text), h->data, h->len), 0);
        return BYTES(h->data, h->len);
}

#define HEX(text) hex(&(Hex){}, (text))

static inline void assert_bytes(Bytes got, Bytes want)
{
        assert_int_equal(got.len, want.len);
        if (want.len)
                assert_memory_equal(got.data, want.data, want.len);
}

static inline PrivKey *make(KeyAlgorithm a)
{
        PrivKey *k = NULL;

        assert_int_equal(privkey_generate(a, &k), 0);
        return k;
}

typedef struct Public {
        size_t len;
        uint8_t data[640];
} Public;

static inline Bytes public_of(const PrivKey *k, Public *ret)
{
        assert_int_equal(privkey_public(k, ret->data, sizeof(ret->data), &ret->len), 0);
        return BYTES(ret->data, ret->len);
}

/* A directory of its own, the working directory of the test; removed at the end. */
static inline int enter_directory(void **state)
{
        char path[] = "/tmp/holdfast-test-XXXXXX";

        if (!mkdtemp(path) || chdir(path) < 0)
                return -1;
        *state = strdup(path);
        return 0;
}

static inline int leave_directory(void **state)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
        free(*state);
        return chdir("/") < 0 || system(command);
}

static inline void put_file(const char *name, Bytes content)
{
        FILE *f = fopen(name, "we");

        assert_non_null(f);
        assert_int_equal(fwrite(content.data, 1, content.len, f), content.len);
        assert_int_equal(fclose(f), 0);
}

static inline Bytes get_file(const char *name, Hex *ret)
{
        FILE *f = fopen(name, "re");

        assert_non_null(f);
        ret->len = fread(ret->data, 1, sizeof(ret->data), f);
        fclose(f);
        return BYTES(ret->data, ret->len);
}

#define run(...)                                                                                             \
        ({                                                                                                   \
                char command_[1024];                                                                         \
                                                                                                             \
                snprintf(command_, sizeof(command_), __VA_ARGS__);                                           \
                system(command_);                                                                            \
        })
