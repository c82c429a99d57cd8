/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A place to try stores in, and keys that fit them. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* stands on the four before */

#include "store/store.h"

typedef struct Place {
        char path[64];
        int fd;
        uint8_t database_key[32], log_key[32];
        Uuid id;
        StoreReason reason;
} Place;

int place_setup(void **state);           /* cmocka: *state is a new Place with an empty directory */
int place_setup_in_memory(void **state); /* on a disk that is none, if there is one */
int place_teardown(void **state);        /* removes it with all that is in it */

StoreParams place_params(const Place *p);
Store *place_create(Place *p);
Store *place_open(Place *p); /* and scans; fails the test if it does not work */
/* A plain SQLCipher handle on a file, as somebody with the database key has it. */
sqlite3 *place_sql(Place *p, const char *name);
void sql_run(sqlite3 *db, const char *sql);

/* A key's attributes with everything derived from the number. */
KeyAttributes sample_key(unsigned number);
void put_sample(Store *s, const KeyAttributes *a, StoreKeyState state);
/* `n` keys, one change each, seq counted up. */
void add_samples(Store *s, unsigned n);

Buffer file_read(int dir_fd, const char *name);
void file_write(int dir_fd, const char *name, const void *data, size_t len, mode_t mode);
/* SHA-256 of name and name-wal. */
void file_hash(int dir_fd, const char *name, uint8_t ret[static 32]);
