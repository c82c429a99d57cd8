/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Backup files
 *
 * One file (docs/formats/backup.md): slots file, the note of the checkpoint it was taken under, the encrypted
 * database, a SHA-256 over all. It is as opaque as the store: a slot's secret opens it. What the database
 * adds up to must be the `state` that the note signs, so nobody can put an own mixture together.
 */
#include "base/bytes.h"
#include "link/signer.h"
#include "store/store.h"

#define BACKUP_DATABASE_MAX (8ULL << 30)

typedef struct BackupSource {
        int store_fd;
        Store *store;
        const SignerOpened *keys;
        Bytes slots;
        const char *note;
} BackupSource;

typedef struct BackupInfo {
        uint64_t sequence; /* of the note */
        uint64_t keys;
        uint64_t bytes;
        uint8_t digest[32];
} BackupInfo;

/* Blocks. The copy is opened and checked before a byte of it is written. 0, HF_E_..., -errno; `reason` says
 * why. */
int backup_write(const BackupSource *source, int fd, char reason[static 640], BackupInfo *ret);

typedef struct BackupContent {
        uint8_t slots[SLOTS_FILE_MAX];
        size_t slots_len;
        char note[CHECKPOINT_NOTE_MAX];
} BackupContent;

/* Reads it whole into (dir_fd, STORE_FILE), which must not exist, checking its digest. HF_E_BACKUP_INVALID.
 */
int backup_read(int fd, int dir_fd, BackupContent *ret);
