/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The TPM, as far as it is a thing that may be absent
 *
 * Opened when it is first needed and again after the road to it broke. Each answer of the library goes through
 * device_result(), which turns it into a result of ours and remembers what should be done before another try.
 */
#include <stdbool.h>
#include <tss2/tss2_esys.h>

#include "link/tpm.h"
#include "tpm/errors.h"

typedef struct Tcti Tcti;

#define STRANDED_MAX 6 /* more objects and sessions than a TPM without a manager holds */

typedef struct Device {
        const Tcti *tcti;
        const char *conf;     /* what stands behind the TCTI's name */
        bool managed;         /* by the kernel's resource manager: nobody else's handles are seen, none of ours stay behind */
        TSS2_TCTI_CONTEXT *road;
        ESYS_CONTEXT *esys;   /* NULL: not open */
        uint64_t opened;      /* how many times: what was kept is of one of them */
        TSS2_RC last;         /* the failure not yet handled, or TSS2_RC_SUCCESS */
        Reaction reaction;    /* to it */
        TPM2_HANDLE stranded[STRANDED_MAX]; /* ours, still loaded when the road broke: flushed on the next one */
        size_t n_stranded;
        ESYS_TR later; /* to be flushed; ESYS_TR_NONE: nothing */
        bool doubtful; /* a command failed: what it loaded, or was to flush, may still be there */
        char detail[TPM_DETAIL_MAX];
} Device;

/* "device:/dev/tpmrm0" or "swtpm:path=/socket". -EINVAL for another TCTI, or a road over a network. */
int device_init(const char *conf, Device *ret);
/* 0, or HF_E_TPM_...: no TPM answers. */
int device_open(Device *d);
void device_close(Device *d);
/* Flushes what could wait. */
void device_tidy(Device *d);
/* TPM2_Shutdown, where nobody else does it. */
void device_shutdown(Device *d);
/* 0, or HF_E_TPM_... with last, reaction and detail set. */
int device_result(Device *d, TSS2_RC code);
/* The failure has been understood: no other try because of it. Returns result. */
int device_handled(Device *d, int result);
/* What is in the TPM for good, or HF_E_NO_SUCH_KEY: nothing is at that handle, and the question left nothing behind. */
int device_take_up(Device *d, TPM2_HANDLE handle, ESYS_TR *ret);
/* An answer that does not fit: HF_E_TPM_FAILED. */
int device_nonsense(Device *d, const char *what);
void device_detail(Device *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Something loaded, flushed at the end of its scope unless it was there before us. */
typedef struct Loaded {
        Device *device;
        ESYS_TR tr;
        bool borrowed;
} Loaded;

/* Flushed only by device_tidy(). */
void loaded_later(Loaded *l);
#define LOADED_NONE ((Loaded){.tr = ESYS_TR_NONE})
void loaded_release(Loaded *l);
#define _cleanup_loaded_ __attribute__((cleanup(loaded_release)))

/* What is loaded is authorised by this until it is forgotten, which releasing it does too. */
int device_authorise(Device *d, ESYS_TR tr, const uint8_t *auth, size_t len);
void device_forget(Device *d, ESYS_TR tr);

/* The three sessions a command may have. */
#define NO_SESSION ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE
#define ONE_SESSION(session) (session), ESYS_TR_NONE, ESYS_TR_NONE

/* What the library allocated. */
static inline void esys_freep(void *p)
{
        Esys_Free(*(void **)p);
}
#define _cleanup_esys_ __attribute__((cleanup(esys_freep)))
