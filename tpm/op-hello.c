/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tpm/call.h"

#include "base/error.h"

/* Whether two versions can talk is the signer's to say. */
int op_hello(Call *call)
{
        WireReader r = wire_reader(call->body);

        (void)wire_get_u32(&r);
        return wire_done(&r) ? HF_E_INVALID_ARGS : wire_put_u32(call->reply, TPM_LINK_VERSION);
}
