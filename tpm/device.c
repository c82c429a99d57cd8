/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tcti_device.h>
#include <tss2/tss2_tcti_swtpm.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/secret.h"

#define FLUSH_TRIES 3

/* Linked, not looked up at run time: behind the filter nothing can be loaded any more. */
struct Tcti {
        const char *name;
        const char *usual;
        const char *must_begin; /* a path of this machine, never a network */
        TSS2_RC (*init)(TSS2_TCTI_CONTEXT *context, size_t *size, const char *conf);
};

static const Tcti tctis[] = {
                {"device", "/dev/tpmrm0", "/dev/", Tss2_Tcti_Device_Init},
                {"swtpm", "", "path=/", Tss2_Tcti_Swtpm_Init},
};

int device_init(const char *conf, Device *ret)
{
        for (size_t i = 0; i < ELEMENTSOF(tctis); i++) {
                const Tcti *t = &tctis[i];
                size_t n = strlen(t->name);

                if (strncmp(conf, t->name, n) != 0 || (conf[n] && conf[n] != ':'))
                        continue;
                *ret = (Device){.tcti = t, .later = ESYS_TR_NONE, .conf = conf[n] ? conf + n + 1 : t->usual};
                ret->managed = strncmp(ret->conf, "/dev/tpmrm", 10) == 0;
                return strncmp(ret->conf, t->must_begin, strlen(t->must_begin)) == 0 ? 0 : -EINVAL;
        }
        return -EINVAL;
}

void device_detail(Device *d, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vsnprintf(d->detail, sizeof(d->detail), format, ap);
        va_end(ap);
}

int device_result(Device *d, TSS2_RC code)
{
        const ErrorRow *row;

        if (code == TSS2_RC_SUCCESS)
                return 0;
        row = error_find(code);
        d->last = code;
        d->reaction = row->reaction;
        d->doubtful = true;
        error_text(code, d->detail, sizeof(d->detail));
        log_debug("the TPM: %s", d->detail);
        return row->result;
}

int device_handled(Device *d, int result)
{
        d->last = TSS2_RC_SUCCESS;
        d->reaction = REACTION_NONE;
        d->detail[0] = '\0';
        return result;
}

int device_take_up(Device *d, TPM2_HANDLE handle, ESYS_TR *ret)
{
        bool doubtful = d->doubtful;
        ESYS_TR tr;
        int r = device_result(d, Esys_TR_FromTPMPublic(d->esys, handle, NO_SESSION, &tr));

        if (r == 0)
                *ret = tr;
        if (r == 0 || error_base(d->last) != TPM2_RC_HANDLE)
                return r;
        d->doubtful = doubtful;
        return device_handled(d, HF_E_NO_SUCH_KEY);
}

int device_nonsense(Device *d, const char *what)
{
        d->last = TSS2_ESYS_RC_MALFORMED_RESPONSE;
        d->reaction = REACTION_NONE;
        device_detail(d, "the TPM's answer does not fit: %s", what);
        return HF_E_TPM_FAILED;
}

static int road_open(Device *d)
{
        size_t size = 0;
        TSS2_RC code = d->tcti->init(NULL, &size, d->conf);

        if (!code && !(d->road = calloc(1, size)))
                return -ENOMEM;
        if (!code)
                code = d->tcti->init(d->road, &size, d->conf);
        if (code) {
                free(d->road);
                d->road = NULL;
        }
        return device_result(d, code);
}

/* After an answer that made no sense the library does nothing more on that context, not even flush. */
static void strand(Device *d, ESYS_TR tr)
{
        TPM2_HANDLE handle;

        if (!d->managed && d->n_stranded < STRANDED_MAX && Esys_TR_GetTpmHandle(d->esys, tr, &handle) == 0)
                d->stranded[d->n_stranded++] = handle;
}

static void flush_stranded(Device *d)
{
        for (; d->n_stranded > 0; d->n_stranded--) {
                ESYS_TR tr;

                if (Esys_TR_FromTPMPublic(d->esys, d->stranded[d->n_stranded - 1], NO_SESSION, &tr))
                        continue; /* gone with a reset */
                if (Esys_FlushContext(d->esys, tr))
                        (void)Esys_TR_Close(d->esys, &tr);
        }
}

int device_open(Device *d)
{
        int r;

        if (d->esys)
                return 0;
        r = road_open(d);
        if (!r)
                r = device_result(d, Esys_Initialize(&d->esys, d->road, NULL));
        if (r) {
                device_close(d);
                return HF_E_TPM_UNAVAILABLE;
        }
        d->opened++;
        flush_stranded(d);
        return 0;
}

void device_close(Device *d)
{
        device_tidy(d);
        if (d->esys)
                Esys_Finalize(&d->esys);
        if (d->road) {
                Tss2_Tcti_Finalize(d->road);
                free(d->road);
        }
        d->esys = NULL;
        d->road = NULL;
}

/* On a managed device the kernel shuts the TPM down when the machine goes down, and its other users live on. */
void device_shutdown(Device *d)
{
        if (d->esys && !d->managed)
                (void)Esys_Shutdown(d->esys, NO_SESSION, TPM2_SU_CLEAR);
}

/* The library only forgets the length: overwrite first. */
void device_forget(Device *d, ESYS_TR tr)
{
        TPM2B_AUTH over = {.size = sizeof(over.buffer)};

        memset(over.buffer, 0xff, sizeof(over.buffer));
        (void)Esys_TR_SetAuth(d->esys, tr, &over);
        (void)Esys_TR_SetAuth(d->esys, tr, NULL);
}

/* What the failure was that led here stays what is told: this one's results are nobody's. */
void loaded_release(Loaded *l)
{
        TSS2_RC code = TSS2_RC_SUCCESS;

        if (l->tr == ESYS_TR_NONE || l->borrowed)
                return;
        device_forget(l->device, l->tr);
        for (int i = 0; i < FLUSH_TRIES; i++) {
                code = Esys_FlushContext(l->device->esys, l->tr);
                if (code == TSS2_RC_SUCCESS || error_find(code)->reaction != REACTION_AGAIN)
                        break;
        }
        if (code) {
                l->device->doubtful = true;
                strand(l->device, l->tr);
                (void)Esys_TR_Close(l->device->esys, &l->tr);
        }
        l->tr = ESYS_TR_NONE;
}

int device_authorise(Device *d, ESYS_TR tr, const uint8_t *auth, size_t len)
{
        TPM2B_AUTH value = {.size = (UINT16)len};
        TSS2_RC code;

        if (len > sizeof(value.buffer))
                return HF_E_INVALID_ARGS;
        memcpy(value.buffer, auth, len);
        code = Esys_TR_SetAuth(d->esys, tr, &value);
        secret_erase(&value, sizeof(value));
        return device_result(d, code);
}

void loaded_later(Loaded *l)
{
        Device *d = l->device;

        device_tidy(d);
        device_forget(d, l->tr);
        d->later = l->tr;
        l->tr = ESYS_TR_NONE;
}

void device_tidy(Device *d)
{
        Loaded l = {.device = d, .tr = d->later};

        d->later = ESYS_TR_NONE;
        if (d->esys)
                loaded_release(&l);
}
