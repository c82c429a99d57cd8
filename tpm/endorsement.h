/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What this TPM can show of itself
 *
 * The endorsement key its maker gave a certificate for, and an attestation key of ours in the same hierarchy, which is
 * made alike each time and so is always the same one on this TPM. TCG EK Credential Profile 2.3.
 */
#include "tpm/kept.h"

/* Is there a certificate of its maker? */
int endorsement_has_certificate(Device *d, bool *ret);
/* Everything is known and the attestation key's context saved; kept until kept_forget(). */
int endorsement_know(Kept *k, const Endorsement **ret);
void endorsement_forget(Endorsement *e);
