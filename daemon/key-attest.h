/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the TPM states about a key of its own, as JSON: docs/formats/attestation.md */
#include "daemon/operation.h"

/* Asked and allowed already. Answers by itself, when its line is durable. HF_E_NOT_SUPPORTED: a software key. */
int key_attest(Operation *op, Bytes nonce);
