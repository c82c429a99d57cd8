/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/unlock-words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

static const struct {
        const char *reason, *words; /* %s: what stands behind the reason */
} table[] = {
                {"needs-secret", "needs its secret"},
                {"wrong", "wrong secret"},
                {"not-tried", "not tried, because a secret was given"},
                {"not-a-code", "what was given is no recovery code"},
                {"missing", "the credential is missing"},
                {"damaged", "damaged"},
                {"no-memory", "no memory"},
                {"no-tpm", "no TPM answers"},
                {"pcr-changed", "the PCR has changed since it was sealed"},
                {"tpm-lockout", "the TPM is locked after too many wrong PINs"},
                {"tpm-identity-changed", "sealed to another TPM, or this one was cleared"},
                {"tpm-failed", "the TPM failed"},
                {"not-supported", "not supported by this build"},
};

typedef struct Text {
        char *at;
        size_t left;
} Text;

static void __attribute__((format(printf, 2, 3))) add(Text *t, const char *format, ...)
{
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(t->at, t->left, format, ap);
        va_end(ap);
        if (n < 0 || (size_t)n >= t->left)
                n = t->left ? (int)t->left - 1 : 0;
        t->at += n;
        t->left -= (size_t)n;
}

static const char *find(const char *reason, size_t len)
{
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strlen(table[i].reason) == len && strncmp(table[i].reason, reason, len) == 0)
                        return table[i].words;
        return NULL;
}

/* "ID KIND: REASON[ DETAIL]" */
static void add_item(Text *t, const char *item, size_t len)
{
        const char *colon = memmem(item, len, ": ", 2), *why = colon ? colon + 2 : NULL, *words;
        size_t left = why ? len - (size_t)(why - item) : 0, n = why ? strcspn(why, " ,(;") : 0;
        int id = (int)strcspn(item, " ");

        if (n > left)
                n = left;
        words = why ? find(why, n) : NULL;
        if (!words || item + id >= colon) {
                add(t, "%.*s", (int)len, item);
                return;
        }
        add(t, "slot %.*s (%.*s): %s", id, item, (int)(colon - item) - id - 1, item + id + 1, words);
        while (n < left && strchr(" ,(:", why[n]))
                n++;
        while (left > n && why[left - 1] == ')')
                left--;
        if (n < left)
                add(t, " (%.*s)", (int)(left - n), why + n);
}

void unlock_words(const char *reasons, char *ret, size_t size)
{
        Text t = {.at = ret, .left = size};

        ret[0] = '\0';
        while (*reasons) {
                const char *end = strstr(reasons, "; ");
                size_t len = end ? (size_t)(end - reasons) : strlen(reasons);

                add_item(&t, reasons, len);
                reasons += len;
                if (end) {
                        add(&t, "; ");
                        reasons += 2;
                }
        }
}

void unlock_words_in_place(char *reasons, size_t size)
{
        char words[UNLOCK_WORDS_MAX];

        unlock_words(reasons, words, size < sizeof(words) ? size : sizeof(words));
        strcpy(reasons, words);
}

int unlock_error(const char *reasons, bool given)
{
        static const struct {
                const char *reason;
                int error;
        } tpm[] = {
                        {": tpm-lockout", HF_E_TPM_LOCKOUT},
                        {": tpm-identity-changed", HF_E_TPM_IDENTITY_CHANGED},
                        {": pcr-changed", HF_E_PCR_CHANGED},
                        {": no-tpm", HF_E_TPM_UNAVAILABLE},
                        {": tpm-failed", HF_E_TPM_FAILED},
        };

        for (size_t i = 0; i < (given ? 1 : ELEMENTSOF(tpm)); i++)
                if (strstr(reasons, tpm[i].reason))
                        return tpm[i].error;
        return HF_E_UNLOCK_FAILED;
}
