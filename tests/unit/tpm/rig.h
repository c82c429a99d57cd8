/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A TPM, holdfast-tpm, and we as its signer
 *
 * Each rig has a directory, a swtpm and a holdfast-tpm of its own, and is the listening end of the channel. Requests are
 * sent and answered here one at a time; every process is ended by its id. Any call that cannot do its part fails the test.
 */
#include <openssl/evp.h>
#include <stdbool.h>
#include <sys/types.h>

#include "link/tpm.h"

typedef struct Rig {
        char dir[64];
        char state[96], tpm_socket[96], control[104], signer_socket[96], tcti[112];
        pid_t swtpm, program;
        int listening, fd;
        uint64_t job;
        uint8_t *space;
        Bytes body; /* of the last reply, behind result and detail */
        char detail[TPM_DETAIL_MAX];
} Rig;

/* Everything up; rig_end() ends what is left of it and removes the directory. */
int rig_begin(void **state);
int rig_end(void **state);

void rig_start_swtpm(Rig *rig);
/* SIGKILL: as a machine that loses its power. */
void rig_kill_swtpm(Rig *rig);
/* A machine that goes down and comes up again. */
void rig_reset_tpm(Rig *rig);
/* Another TPM behind the same socket. */
void rig_replace_tpm(Rig *rig);
/* Another one, whose maker gave it a certificate; more words for swtpm_setup(8). */
void rig_certify_tpm(Rig *rig, const char *options);
void rig_start_program(Rig *rig);
void rig_end_program(Rig *rig, int signal);
/* Waits for it to connect again. */
void rig_accept(Rig *rig);
/* One of tpm2-tools on the rig's TPM, with -T given; words are split at blanks. True: it ended with 0. */
bool rig_tool(Rig *rig, const char *command) __attribute__((warn_unused_result));
/* How many of these handles there are: "handles-transient", "handles-loaded-session". */
unsigned rig_handles(Rig *rig, const char *which);
/* So many there are, if not at once: what was used a moment ago stays loaded for a moment. */
void rig_handles_come_to(Rig *rig, const char *which, unsigned n);

/* Sends and waits. The result, and -EPIPE when the program is gone. */
int rig_ask(Rig *rig, uint16_t type, Bytes body);

/* A key and what is needed to use it. */
typedef struct RigKey {
        uint8_t parent[TPM_NAME_SIZE];
        uint8_t public[TPM_PART_MAX], private[TPM_PART_MAX];
        size_t public_len, private_len;
        uint8_t auth[TPM_AUTH_SIZE];
        uint8_t number[TPM_NUMBER_MAX];
        size_t number_len;
        TpmAlgorithm algorithm;
        TpmUse use;
} RigKey;

int rig_create(Rig *rig, TpmAlgorithm algorithm, TpmUse use, const uint8_t *parent, RigKey *ret);
TpmBlob rig_blob(const RigKey *key);
/* The last reply's blob into key. */
void rig_take_blob(WireReader *r, RigKey *key);
int rig_operate(Rig *rig, const RigKey *key, TpmOp op, Bytes data, uint8_t *ret, size_t *ret_len);
void rig_state(Rig *rig, bool fresh, TpmState *ret);
/* And whether this parent is there. */
void rig_state_of(Rig *rig, bool fresh, Bytes parent, TpmState *ret);

/* OpenSSL, the judge. */
EVP_PKEY *judge_key(const RigKey *key);
bool judge_ecdsa(const RigKey *key, Bytes digest, Bytes signature);
bool judge_rsa(const RigKey *key, int padding, Bytes digest, Bytes signature);
