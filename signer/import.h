/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Import: one key file, parsed where there is nothing to steal
 *
 * `holdfast-signer --import` gets one packet with two descriptors (the file, at most IMPORT_FILE_MAX bytes, and one
 * end of a SOCK_SEQPACKET pair) on its connection, parses under the same filter as the signer but without a master, and
 * writes one packet to the pair: {u32 result} and, where that is 0, what it found. A PKCS#8 key is {u8 1, u8 algorithm,
 * block raw, block spki}; a TSS2 PRIVATE KEY, which only its TPM can judge, is {u8 2, u32 parent, block public, block
 * private}. The signer holds the other end.
 */
#include "base/bytes.h"
#include "crypto/privkey.h"
#include "crypto/tss2-key.h"

#define IMPORT_FILE_MAX 65536u
#define IMPORT_PACKET_MAX 4096u
#define IMPORT_WAIT_MS 10000

/* The importer's one job on its connection; runs on a secret stack. `space` has IMPORT_FILE_MAX + 1 bytes of
 * secret memory. 0 when something was answered, or -errno. */
int import_serve(int connection, uint8_t *space);
/* One of the two. */
typedef struct Imported {
        PrivKey *key; /* or NULL */
        Tss2Key tss2;
} Imported;
void imported_deinit(Imported *i);
/* The signer's end: waits for the packet. 0, the importer's own result, or HF_E_INVALID_FD. `ret` is empty before. */
int import_receive(int fd, Imported *ret);
