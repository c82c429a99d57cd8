/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dbus/errors.h"

#include <string.h>

#include "base/cleanup.h"
#include "dbus/names.h"

typedef struct ErrorRow {
        const char *bus_name;
        int exit_code;
        const char *sentence;
} ErrorRow;

#define NAME(bus) HF_ERROR_PREFIX #bus

static const ErrorRow rows[_HF_E_MAX] = {
        [HF_E_INVALID_ARGS] = {NAME(InvalidArgs), EXIT_CODE_USAGE,
                "An argument is missing, unknown or out of range. Nothing was done; org.holdfast.Keystore1(5) says what the "
                "call takes."},
        [HF_E_INVALID_NAME] = {NAME(InvalidName), EXIT_CODE_USAGE,
                "A name has 1 to 64 characters of a-z A-Z 0-9 . _ - and begins with a letter or digit. Nothing was done."},
        [HF_E_INVALID_FD] = {NAME(InvalidFd), EXIT_CODE_USAGE,
                "The descriptor is not of the kind, seals or size that this call takes (a secret: sealed memfd of 1 to "
                "1024 bytes). It was not read and nothing was done."},
        [HF_E_MESSAGE_TOO_LARGE] = {NAME(MessageTooLarge), EXIT_CODE_USAGE,
                "The message is over 65536 bytes. Nothing was signed. Sign a hash of it with a key made for digests, or "
                "sign a shorter statement that contains its SHA-256."},
        [HF_E_LIMIT_EXCEEDED] = {NAME(LimitExceeded), EXIT_CODE_FAILED,
                "A limit of the service is reached (keys, list entries, connections or jobs). Nothing was done; ask for "
                "less or try again later."},
        [HF_E_RATE_LIMITED] = {NAME(RateLimited), EXIT_CODE_NOT_PERMITTED,
                "The rule that allows this has a rate, and it is used up for the moment. Nothing was done; try again "
                "after a pause."},
        [HF_E_USES_EXHAUSTED] = {NAME(UsesExhausted), EXIT_CODE_NOT_PERMITTED,
                "The rule that allows this grants a number of uses, and all are spent. Nothing was done; an administrator "
                "grants more: `holdfast policy grant KEY RULE`."},
        [HF_E_POLICY_DENIED] = {NAME(PolicyDenied), EXIT_CODE_NOT_PERMITTED,
                "Policy does not allow this to you. Nothing was done. `holdfast policy explain` says which rule decided."},
        [HF_E_POLICY_INVALID] = {NAME(PolicyInvalid), EXIT_CODE_FAILED,
                "The policy files have an error. The policy that was in force stays in force; mend the line and reload."},
        [HF_E_NO_SUCH_KEY] = {NAME(NoSuchKey), EXIT_CODE_NOT_FOUND,
                "There is no such key, or you may not know of it. Nothing was done. `holdfast policy explain` tells an "
                "administrator which of the two."},
        [HF_E_KEY_EXISTS] = {NAME(KeyExists), EXIT_CODE_FAILED,
                "A current key of this name exists. Nothing was changed; choose another name, or retire or destroy that "
                "key first."},
        [HF_E_KEY_DISABLED] = {NAME(KeyDisabled), EXIT_CODE_NOT_PERMITTED,
                "The key is disabled. It was not used; `holdfast key enable` makes it usable again."},
        [HF_E_KEY_FROZEN] = {NAME(KeyFrozen), EXIT_CODE_NOT_PERMITTED,
                "The key is frozen: it is never deleted or changed again. Nothing was changed; it can still be used."},
        [HF_E_KEY_MISMATCH] = {NAME(KeyMismatch), EXIT_CODE_VERIFICATION,
                "The key's record does not open or is not the key it says it is: somebody or something changed it. The "
                "key was not used. Restore a backup and read the audit log."},
        [HF_E_PURPOSE_NOT_PERMITTED] = {NAME(PurposeNotPermitted), EXIT_CODE_NOT_PERMITTED,
                "The key was made for another purpose. It was not used; a key has one purpose, so make one for this."},
        [HF_E_ALGORITHM_NOT_SUPPORTED] = {NAME(AlgorithmNotSupported), EXIT_CODE_USAGE,
                "This algorithm is not supported. Nothing was done; `holdfast key create --help` lists those that are."},
        [HF_E_SCHEME_NOT_SUPPORTED] = {NAME(SchemeNotSupported), EXIT_CODE_USAGE,
                "The key's algorithm does not do this scheme. It was not used; `holdfast key show` lists its schemes."},
        [HF_E_WEAK_KEY] = {NAME(WeakKey), EXIT_CODE_VERIFICATION,
                "The key is weaker than RSA-2048 or P-256, or badly made. It was refused and nothing was kept."},
        [HF_E_IMPORT_DISABLED] = {NAME(ImportDisabled), EXIT_CODE_NOT_PERMITTED,
                "Import of keys is off. Nothing was read; `import=yes` in holdfast.conf turns it on."},
        [HF_E_DECRYPT_FAILED] = {NAME(DecryptFailed), EXIT_CODE_VERIFICATION,
                "The data could not be opened with this key: it was changed, or made for another key or label."},
        [HF_E_USE_DIRECT_SOCKET] = {NAME(UseDirectSocket), EXIT_CODE_FAILED,
                "The result of this call is a secret and is not given over the system bus, which root can watch. Nothing "
                "was done; call it on the direct socket /run/holdfast/bus."},
        [HF_E_NOT_SUPPORTED] = {NAME(NotSupported), EXIT_CODE_FAILED,
                "This key or this build cannot do that. Nothing was done."},
        [HF_E_STORE_UNINITIALISED] = {NAME(StoreUninitialised), EXIT_CODE_LOCKED,
                "There is no store yet. Nothing was done; `holdfast init` makes it."},
        [HF_E_STORE_INITIALISED] = {NAME(StoreInitialised), EXIT_CODE_NOTHING_TO_DO,
                "The store exists already and was left as it is."},
        [HF_E_STORE_LOCKED] = {NAME(StoreLocked), EXIT_CODE_LOCKED,
                "The store is locked. Nothing was done; `holdfast unlock` opens it."},
        [HF_E_STORE_FOREIGN] = {NAME(StoreForeign), EXIT_CODE_LOCKED,
                "This store was made on another machine and does not open here. Nothing was changed; on a replacement "
                "board run `holdfast recover`, on a cloned image remove the store and run `holdfast init`."},
        [HF_E_STORE_ROLLED_BACK] = {NAME(StoreRolledBack), EXIT_CODE_LOCKED,
                "The store is older than the audit log says. It stays closed and was not changed; restore the newer one, "
                "or `holdfast recover --accept-rollback`."},
        [HF_E_STORE_DAMAGED] = {NAME(StoreDamaged), EXIT_CODE_LOCKED,
                "The store is damaged. It stays closed and was not changed; restore a backup with `holdfast restore`."},
        [HF_E_STORE_TOO_NEW] = {NAME(StoreTooNew), EXIT_CODE_FAILED,
                "The store was written by a newer version of Holdfast. It was not touched; install that version."},
        [HF_E_STORE_IN_USE] = {NAME(StoreInUse), EXIT_CODE_FAILED,
                "Another process holds the store. Nothing was done; there is one daemon to a store."},
        [HF_E_STORE_UNSAFE] = {NAME(StoreUnsafe), EXIT_CODE_LOCKED,
                "A file of the store has the wrong kind, owner or mode. It was not read; `holdfast doctor` prints the "
                "command that mends it."},
        [HF_E_UNLOCK_FAILED] = {NAME(UnlockFailed), EXIT_CODE_LOCKED,
                "No key slot opened. The store stays as it was; check the secret, or give that of another slot."},
        [HF_E_NO_SUCH_SLOT] = {NAME(NoSuchSlot), EXIT_CODE_NOT_FOUND,
                "There is no such key slot. Nothing was changed; `holdfast slot list` shows those there are."},
        [HF_E_LAST_SLOT] = {NAME(LastSlot), EXIT_CODE_NOT_PERMITTED,
                "This is the last key slot: without it nobody could open the store. It was kept; add another one first."},
        [HF_E_SLOT_EXISTS] = {NAME(SlotExists), EXIT_CODE_FAILED,
                "A key slot of this label exists. Nothing was changed; choose another label."},
        [HF_E_NOTHING_TO_DO] = {NAME(NothingToDo), EXIT_CODE_NOTHING_TO_DO, "It is so already. Nothing was changed."},
        [HF_E_LOG_FULL] = {NAME(LogFull), EXIT_CODE_FAILED,
                "There is no space for the audit log, so nothing was done. Free space, or prune archived segments with "
                "`holdfast audit prune`; service resumes by itself."},
        [HF_E_LOG_DAMAGED] = {NAME(LogDamaged), EXIT_CODE_LOCKED,
                "The audit log was changed after it was written. The store stays closed; keep the files for the auditor, "
                "then `holdfast restore`, or `holdfast recover --accept-rollback`."},
        [HF_E_LOG_TRUNCATED] = {NAME(LogTruncated), EXIT_CODE_LOCKED,
                "The audit log ends before what the store has recorded: lines are missing. The store stays closed; "
                "restore the log, or `holdfast recover --accept-rollback`."},
        [HF_E_LOG_FAILED] = {NAME(LogFailed), EXIT_CODE_FAILED,
                "The audit log could not be written, so the result is withheld. The service restarts and recovers."},
        [HF_E_SIGNER_UNAVAILABLE] = {NAME(SignerUnavailable), EXIT_CODE_FAILED,
                "The signing process went away. Nothing was released; it is being restarted, try again."},
        [HF_E_SIGNER_FAILED] = {NAME(SignerFailed), EXIT_CODE_FAILED,
                "The signing process refused or could not do this. Nothing was released; see the journal."},
        [HF_E_BACKUP_INVALID] = {NAME(BackupInvalid), EXIT_CODE_VERIFICATION,
                "The file is not a whole backup of a store that this secret opens. Nothing was changed."},
        [HF_E_BUSY] = {NAME(Busy), EXIT_CODE_FAILED, "A change of this kind is under way. Nothing was done; try again."},
        [HF_E_TIMED_OUT] = {NAME(TimedOut), EXIT_CODE_TIMED_OUT,
                "No answer came in time. Whether it was done is not known; look before you repeat it."},
        [HF_E_DAEMON_UNAVAILABLE] = {NAME(DaemonUnavailable), EXIT_CODE_NO_DAEMON,
                "holdfastd does not answer. Nothing was done; see `systemctl status holdfastd`."},
        [HF_E_VERSION_MISMATCH] = {NAME(VersionMismatch), EXIT_CODE_FAILED,
                "Two parts of Holdfast are of different versions. Nothing was done; restart the services."},
        [HF_E_INTERNAL] = {NAME(Internal), EXIT_CODE_FAILED,
                "Something failed that should not. Nothing was released; the journal has the details."},
        [HF_E_TPM_UNAVAILABLE] = {NAME(TpmUnavailable), EXIT_CODE_FAILED,
                "The TPM does not answer. Nothing was done; software keys go on working, and keys in the TPM work again within "
                "seconds of its return. `holdfast doctor` says what is seen of it."},
        [HF_E_TPM_FAILED] = {NAME(TpmFailed), EXIT_CODE_FAILED,
                "The TPM refused or answered nonsense. Nothing was released; the journal has its code."},
        [HF_E_TPM_FAILURE_MODE] = {NAME(TpmFailureMode), EXIT_CODE_FAILED,
                "The TPM is in failure mode and does nothing until it is reset. Nothing was done; restart the machine."},
        [HF_E_TPM_LOCKOUT] = {NAME(TpmLockout), EXIT_CODE_LOCKED,
                "The TPM takes no more tries, because too many PINs were wrong. Nothing was tried; wait as long as is said here "
                "or use the recovery code."},
        [HF_E_TPM_FULL] = {NAME(TpmFull), EXIT_CODE_FAILED,
                "The TPM has no room: other programs hold its slots, or its NV memory is used up. Nothing was done; try again, "
                "or look with tpm2_getcap."},
        [HF_E_TPM_IDENTITY_CHANGED] = {NAME(TpmIdentityChanged), EXIT_CODE_LOCKED,
                "This is not the TPM the store was made with, or it was cleared. Nothing was deleted; software keys go on "
                "working. If the board was changed on purpose: `holdfast recover`."},
        [HF_E_PCR_CHANGED] = {NAME(PcrChanged), EXIT_CODE_LOCKED,
                "The machine did not start in the state this slot is sealed to. It was not opened; open with the recovery code "
                "and, if the change was meant, `holdfast slot reseal`."},
        [HF_E_KEY_LOST] = {NAME(KeyLost), EXIT_CODE_FAILED,
                "The key was in a TPM that is gone or was cleared, so nobody can use it any more. Nothing was done; make a new "
                "one and replace its certificates."},
        [HF_E_KEY_NEEDED] = {NAME(KeyNeeded), EXIT_CODE_FAILED,
                "A key slot of the store is made from this key. Nothing was changed; give the slot another key first: "
                "`holdfast slot change ID --key NAME`."},
        [HF_E_NO_SUCH_IDENTITY] = {NAME(NoSuchIdentity), EXIT_CODE_NOT_FOUND,
                "There is no such identity, or you may not know of its key. Nothing was done. `holdfast policy explain` tells "
                "an administrator which of the two."},
        [HF_E_KEY_IN_USE] = {NAME(KeyInUse), EXIT_CODE_FAILED,
                "A certificate or a CA stands on this key. Nothing was changed; remove the certificate first: `holdfast cert "
                "remove NAME`. A CA keeps its key."},
        [HF_E_CERTIFICATE_UNUSABLE] = {NAME(CertificateUnusable), EXIT_CODE_CERTIFICATE,
                "The certificate cannot be used with this key as it is. Nothing was changed; what is said here names the "
                "finding and what to do."},
        [HF_E_REQUEST_REFUSED] = {NAME(RequestRefused), EXIT_CODE_VERIFICATION,
                "The CA does not issue what was asked for. Nothing was issued; what is said here names what the request has "
                "to be without."},
        [HF_E_CA_NOT_INITIALISED] = {NAME(CaNotInitialised), EXIT_CODE_NOT_FOUND,
                "There is no CA of this name, or you may not know of it. Nothing was done. Make one: `holdfast ca init root "
                "--set CN=...`, then `holdfast ca init intermediate --set CN=...`."},
        [HF_E_CA_EXISTS] = {NAME(CaExists), EXIT_CODE_FAILED,
                "There is a CA of this name already. Nothing was changed; see it: `holdfast ca show --ca NAME`. Another in its "
                "place, which those that it issued outlive: `holdfast ca rollover NAME`; one that orphans them: `holdfast ca "
                "init ... --name NAME --anew`."},
        [HF_E_CA_AT_REST] = {NAME(CaAtRest), EXIT_CODE_NOT_PERMITTED,
                "This root is at rest: it signs nothing until somebody wakes it. Nothing was issued. For an hour: `holdfast ca "
                "enable NAME`."},
        [HF_E_NO_SUCH_CERTIFICATE] = {NAME(NoSuchCertificate), EXIT_CODE_NOT_FOUND,
                "No certificate of this CA has that name, serial or fingerprint. Nothing was done. Those there are: `holdfast ca "
                "list`."},
        [HF_E_REVOCATION_LIST_REFUSED] = {NAME(RevocationListRefused), EXIT_CODE_VERIFICATION,
                "The revocation list is not one that servers here can be given. Nothing was changed; what is said here names "
                "what is wrong with it."},
        [HF_E_CA_REPLACED] = {NAME(CaReplaced), EXIT_CODE_FAILED,
                "The CA, or one above it, was made anew since, and the key of the one before is destroyed. Nothing was done. "
                "Have certificates issued by the new one: `holdfast ca issue`; take a CA below it along: `holdfast ca rollover "
                "NAME`."},
        [HF_E_BACKUP_NEEDED] = {NAME(BackupNeeded), EXIT_CODE_FAILED,
                "No backup has this CA as it is now, and making it anew destroys its key. Nothing was changed; make one first: "
                "`holdfast backup FILE`, or say --without-backup."},
        [HF_E_ORPHANS_CHANGED] = {NAME(OrphansChanged), EXIT_CODE_FAILED,
                "By now it is another number of certificates that would lose their CA. Nothing was changed; ask again, and look "
                "at the new number."},
};

_Static_assert(ELEMENTSOF(rows) == _HF_E_MAX, "every error has a row");

static const ErrorRow *row(int r)
{
        if (r <= 0 || r >= _HF_E_MAX)
                r = HF_E_INTERNAL;
        return &rows[r];
}

const char *errors_bus_name(int r)
{
        return row(r)->bus_name;
}

const char *errors_sentence(int r)
{
        return row(r)->sentence;
}

int errors_exit_code(int r)
{
        return r == 0 ? EXIT_CODE_OK : row(r)->exit_code;
}

/* What the bus itself or sd-bus may answer in our place. */
static const struct {
        const char *name;
        int error;
} foreign[] = {
        {"org.freedesktop.DBus.Error.AccessDenied", HF_E_POLICY_DENIED},
        {"org.freedesktop.DBus.Error.InvalidArgs", HF_E_INVALID_ARGS},
        {"org.freedesktop.DBus.Error.InvalidSignature", HF_E_INVALID_ARGS},
        {"org.freedesktop.DBus.Error.UnknownMethod", HF_E_NOT_SUPPORTED},
        {"org.freedesktop.DBus.Error.UnknownInterface", HF_E_NOT_SUPPORTED},
        {"org.freedesktop.DBus.Error.UnknownObject", HF_E_NO_SUCH_KEY},
        {"org.freedesktop.DBus.Error.LimitsExceeded", HF_E_LIMIT_EXCEEDED},
        {"org.freedesktop.DBus.Error.NoReply", HF_E_TIMED_OUT},
        {"org.freedesktop.DBus.Error.Timeout", HF_E_TIMED_OUT},
        {"org.freedesktop.DBus.Error.ServiceUnknown", HF_E_DAEMON_UNAVAILABLE},
        {"org.freedesktop.DBus.Error.NameHasNoOwner", HF_E_DAEMON_UNAVAILABLE},
        {"org.freedesktop.DBus.Error.Disconnected", HF_E_DAEMON_UNAVAILABLE},
        {"org.freedesktop.DBus.Error.Spawn.ExecFailed", HF_E_DAEMON_UNAVAILABLE},
};

int errors_from_bus_name(const char *name)
{
        for (int r = 1; r < _HF_E_MAX; r++)
                if (strcmp(rows[r].bus_name, name) == 0)
                        return r;
        for (size_t i = 0; i < ELEMENTSOF(foreign); i++)
                if (strcmp(foreign[i].name, name) == 0)
                        return foreign[i].error;
        return HF_E_INTERNAL;
}
