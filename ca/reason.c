/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/reason.h"

#include <string.h>

static const char *const names[_CA_REASON_MAX] = {
        [CA_REASON_UNSPECIFIED] = "unspecified",
        [CA_REASON_KEY_COMPROMISE] = "keyCompromise",
        [CA_REASON_CA_COMPROMISE] = "cACompromise",
        [CA_REASON_AFFILIATION_CHANGED] = "affiliationChanged",
        [CA_REASON_SUPERSEDED] = "superseded",
        [CA_REASON_CESSATION_OF_OPERATION] = "cessationOfOperation",
        [CA_REASON_CERTIFICATE_HOLD] = "certificateHold",
        [CA_REASON_PRIVILEGE_WITHDRAWN] = "privilegeWithdrawn",
        [CA_REASON_AA_COMPROMISE] = "aACompromise",
};

const char *ca_reason_to_string(CaReason reason)
{
        return reason < _CA_REASON_MAX ? names[reason] : NULL;
}

bool ca_reason_from_string(const char *text, CaReason *ret)
{
        for (CaReason i = 0; i < _CA_REASON_MAX; i++)
                if (names[i] && strcmp(names[i], text) == 0) {
                        *ret = i;
                        return true;
                }
        return false;
}
