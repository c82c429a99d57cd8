/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What daemon/vault.c, vault-init.c and vault-repair.c share: the loop's side of a VaultJob. */
#include "daemon/vault-open.h"

/* A new job, if nothing else is under way and the signer is there. HF_E_BUSY, HF_E_SIGNER_UNAVAILABLE. */
int vault_job_begin(Daemon *d, const Caller *caller, VaultDoneFunc done, void *userdata, VaultJob **ret);
/* What answers SIGNER_INIT and SIGNER_UNLOCK begins with, into job->keys and job->life; of a failed unlock the reasons.
 * Gives the result on, or HF_E_SIGNER_FAILED. */
int vault_job_take_keys(VaultJob *j, int result, WireReader *r);
/* Calls `done` and frees the job. */
void vault_job_tell(VaultJob *j, int result);
/* job->keys are there: the worker opens the store, then it is ready or refused, and `done` is told. */
int vault_job_start_open(VaultJob *j);
/* STATE/store/slots into vault.slots, and the audit directory for reading. */
int vault_read_slots_file(Daemon *d);
/* Asks for the counter that these slots name, with is_it_ours also whether the TPM is the one of the slots in force. Goes
 * on with `then` in any case, the answer in j->freshness; perhaps at once. */
void vault_job_ask_tpm(VaultJob *j, Bytes slots, bool is_it_ours, void (*then)(VaultJob *j));
/* Makes a slots file out of this one that fits this machine and its TPM, in j->new_slots; j->tpm_lost is set if the keys of
 * the old TPM are lost. */
void vault_job_adopt(VaultJob *j, Bytes slots, void (*then)(VaultJob *j, int result));
/* The body of SIGNER_UNLOCK. */
int vault_put_unlock(const Daemon *d, Buffer *b, Bytes slots, bool attended);
/* In the log, or beside it while the store is locked. job->reason is in words afterwards. */
void vault_note_failed_unlock(Daemon *d, VaultJob *j);
/* Says it in the journal and to the service manager too. */
void vault_set_state(Daemon *d, VaultState state, int error, const char *reason);
/* SIGNER_LOCK: the signer forgets the master; `order`: until somebody unlocks. */
int vault_ask_lock(Daemon *d, bool order, SignerReplyFunc done, void *userdata);
