/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Results
 *
 * Every function of ours that can fail returns `int`:
 *
 *        0      done;
 *   HF_E_...    positive: a fact of our domain that the caller handles or passes on, one of the list below;
 *   -errno      negative: the machine failed us (memory, disk, a broken descriptor); only ever passed up.
 *
 * This list is the whole vocabulary. Its bus names, sentences and exit codes are in one table,
 * dbus/errors.c; a value without a row there does not compile. New values go at the end of the list:
 * the numbers are part of the wire between our processes and of the library's ABI.
 */
#define HF_ERROR_LIST(X)                                                                                     \
        X(INVALID_ARGS, InvalidArgs)                                                                         \
        X(INVALID_NAME, InvalidName)                                                                         \
        X(INVALID_FD, InvalidFd)                                                                             \
        X(MESSAGE_TOO_LARGE, MessageTooLarge)                                                                \
        X(LIMIT_EXCEEDED, LimitExceeded)                                                                     \
        X(RATE_LIMITED, RateLimited)                                                                         \
        X(USES_EXHAUSTED, UsesExhausted)                                                                     \
        X(POLICY_DENIED, PolicyDenied)                                                                       \
        X(POLICY_INVALID, PolicyInvalid)                                                                     \
        X(NO_SUCH_KEY, NoSuchKey)                                                                            \
        X(KEY_EXISTS, KeyExists)                                                                             \
        X(KEY_DISABLED, KeyDisabled)                                                                         \
        X(KEY_FROZEN, KeyFrozen)                                                                             \
        X(KEY_MISMATCH, KeyMismatch)                                                                         \
        X(PURPOSE_NOT_PERMITTED, PurposeNotPermitted)                                                        \
        X(ALGORITHM_NOT_SUPPORTED, AlgorithmNotSupported)                                                    \
        X(SCHEME_NOT_SUPPORTED, SchemeNotSupported)                                                          \
        X(WEAK_KEY, WeakKey)                                                                                 \
        X(IMPORT_DISABLED, ImportDisabled)                                                                   \
        X(DECRYPT_FAILED, DecryptFailed)                                                                     \
        X(USE_DIRECT_SOCKET, UseDirectSocket)                                                                \
        X(NOT_SUPPORTED, NotSupported)                                                                       \
        X(STORE_UNINITIALISED, StoreUninitialised)                                                           \
        X(STORE_INITIALISED, StoreInitialised)                                                               \
        X(STORE_LOCKED, StoreLocked)                                                                         \
        X(STORE_FOREIGN, StoreForeign)                                                                       \
        X(STORE_ROLLED_BACK, StoreRolledBack)                                                                \
        X(STORE_DAMAGED, StoreDamaged)                                                                       \
        X(STORE_TOO_NEW, StoreTooNew)                                                                        \
        X(STORE_IN_USE, StoreInUse)                                                                          \
        X(STORE_UNSAFE, StoreUnsafe)                                                                         \
        X(UNLOCK_FAILED, UnlockFailed)                                                                       \
        X(NO_SUCH_SLOT, NoSuchSlot)                                                                          \
        X(LAST_SLOT, LastSlot)                                                                               \
        X(SLOT_EXISTS, SlotExists)                                                                           \
        X(NOTHING_TO_DO, NothingToDo)                                                                        \
        X(LOG_FULL, LogFull)                                                                                 \
        X(LOG_DAMAGED, LogDamaged)                                                                           \
        X(LOG_TRUNCATED, LogTruncated)                                                                       \
        X(LOG_FAILED, LogFailed)                                                                             \
        X(SIGNER_UNAVAILABLE, SignerUnavailable)                                                             \
        X(SIGNER_FAILED, SignerFailed)                                                                       \
        X(BACKUP_INVALID, BackupInvalid)                                                                     \
        X(BUSY, Busy)                                                                                        \
        X(TIMED_OUT, TimedOut)                                                                               \
        X(DAEMON_UNAVAILABLE, DaemonUnavailable)                                                             \
        X(VERSION_MISMATCH, VersionMismatch)                                                                 \
        X(INTERNAL, Internal)                                                                                \
        X(TPM_UNAVAILABLE, TpmUnavailable)                                                                   \
        X(TPM_FAILED, TpmFailed)                                                                             \
        X(TPM_FAILURE_MODE, TpmFailureMode)                                                                  \
        X(TPM_LOCKOUT, TpmLockout)                                                                           \
        X(TPM_FULL, TpmFull)                                                                                 \
        X(TPM_IDENTITY_CHANGED, TpmIdentityChanged)                                                          \
        X(PCR_CHANGED, PcrChanged)                                                                           \
        X(KEY_LOST, KeyLost)                                                                                 \
        X(KEY_NEEDED, KeyNeeded)                                                                             \
        X(NO_SUCH_IDENTITY, NoSuchIdentity)                                                                  \
        X(KEY_IN_USE, KeyInUse)                                                                              \
        X(CERTIFICATE_UNUSABLE, CertificateUnusable)                                                         \
        X(REQUEST_REFUSED, RequestRefused)                                                                   \
        X(CA_NOT_INITIALISED, CaNotInitialised)                                                              \
        X(CA_EXISTS, CaExists)                                                                               \
        X(CA_AT_REST, CaAtRest)                                                                              \
        X(NO_SUCH_CERTIFICATE, NoSuchCertificate)                                                            \
        X(REVOCATION_LIST_REFUSED, RevocationListRefused)                                                    \
        X(CA_REPLACED, CaReplaced)                                                                           \
        X(BACKUP_NEEDED, BackupNeeded)                                                                       \
        X(ORPHANS_CHANGED, OrphansChanged)

enum HfError {
        _HF_E_OK = 0,
#define X(sym, bus) HF_E_##sym,
        HF_ERROR_LIST(X)
#undef X
        _HF_E_MAX,
};

/* Name of an error as in the enum without prefix ("StoreLocked"), or "errno" text for negative values. Never NULL. */
const char *hf_error_name(int r);
