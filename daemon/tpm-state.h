/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is known of the TPM
 *
 * Nobody watches a TPM that does its work: that one is away is learnt when something is asked of it. From then on, and
 * while the store waits for it in any way, it is asked again every 2 s (sooner at first), and what was held up goes on by
 * itself: unattended slots are tried again, the log is anchored again.
 */
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "link/signer.h"

typedef struct Daemon Daemon;
typedef struct KeyEntry KeyEntry;

typedef struct TpmWatch {
        bool known; /* the signer has told once */
        SignerTpmMatch match;
        TpmState state;
        bool in_flight;
        bool trouble;       /* something failed since it last answered */
        bool unlock_waits;  /* an opening failed for want of it */
        sd_event_source *timer;
        uint64_t pause;
        struct TpmAsker *askers;
} TpmWatch;

/* Calls `done` when the answer is there, and after `patience` microseconds without one: then what was known counts.
 * `fresh`: the TPM itself is asked. */
void tpm_ask(Daemon *d, bool fresh, uint64_t patience, void (*done)(void *userdata), void *userdata);
/* Something that needs the TPM has failed, or will. */
void tpm_trouble(Daemon *d);
/* The same, if `result` says so. */
void tpm_note_result(Daemon *d, int result);
/* An unattended opening failed; `reasons` are the signer's. */
void tpm_note_unlock(Daemon *d, const char *reasons);
void tpm_stop(Daemon *d);

bool tpm_is_ready(const Daemon *d);
const char *tpm_state_words(const TpmWatch *t);
/* Why a key with protection tpm cannot be used now; NULL: nothing is known against it. */
const char *tpm_key_unavailable(const Daemon *d, const KeyEntry *key);
