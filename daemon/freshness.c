/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/freshness.h"

#include <stdio.h>

#include "base/error.h"

int64_t freshness_noted(const AuditNote *note, uint64_t epoch, int64_t begun)
{
        return note && note->epoch == epoch && note->counter >= 0 ? note->counter : begun;
}

bool freshness_may_return(int result)
{
        return result < 0 || result == HF_E_TPM_UNAVAILABLE || result == HF_E_TPM_FAILED ||
               result == HF_E_TPM_FAILURE_MODE || result == HF_E_TPM_LOCKOUT || result == HF_E_TPM_FULL ||
               result == HF_E_SIGNER_UNAVAILABLE || result == HF_E_TIMED_OUT || result == HF_E_BUSY;
}

static FreshnessVerdict judge_value(const Freshness *f, char reason[static FRESHNESS_REASON_SIZE])
{
        uint64_t noted = (uint64_t)f->noted;

        if (f->noted < 0 || f->counter == noted)
                return FRESHNESS_GOOD;
        if (noted > 0 && f->counter == noted - 1)
                return FRESHNESS_BEHIND;
        snprintf(reason, FRESHNESS_REASON_SIZE,
                        f->counter > noted ? "store and log are an older copy: their last note was anchored at %llu, the TPM's "
                                             "counter stands at %llu"
                                           : "the TPM's counter was put back: the last note of the log was anchored at %llu, "
                                             "the counter stands at %llu",
                        (unsigned long long)noted, (unsigned long long)f->counter);
        return FRESHNESS_OLDER;
}

FreshnessVerdict freshness_judge(const Freshness *f, char reason[static FRESHNESS_REASON_SIZE])
{
        reason[0] = '\0';
        if (f->match == SIGNER_TPM_OTHER || f->result == HF_E_TPM_IDENTITY_CHANGED) {
                snprintf(reason, FRESHNESS_REASON_SIZE,
                                "the TPM is not the one the store was made with, or it was cleared since");
                return FRESHNESS_FOREIGN;
        }
        if (f->result == HF_E_NOT_SUPPORTED)
                return FRESHNESS_NONE;
        if (f->result == HF_E_NO_SUCH_KEY || f->result == HF_E_KEY_MISMATCH) {
                snprintf(reason, FRESHNESS_REASON_SIZE, "the store's counter is gone from the TPM%s",
                                f->result == HF_E_KEY_MISMATCH ? ", and something else stands in its place" : "");
                return FRESHNESS_FOREIGN;
        }
        if (f->result) {
                snprintf(reason, FRESHNESS_REASON_SIZE, "%s",
                                freshness_may_return(f->result) ? "the TPM does not answer"
                                                                : hf_error_name(f->result));
                return FRESHNESS_UNCHECKED;
        }
        return judge_value(f, reason);
}
