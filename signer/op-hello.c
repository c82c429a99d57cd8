/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who am I and what have I done so far: the first thing a connecting holdfastd asks. */
#include <errno.h>

#include "base/error.h"
#include "signer/call.h"

int op_hello(Call *call)
{
        WireReader r = wire_reader(call->body);
        uint32_t version = wire_get_u32(&r);
        SignerHello hello = {
                        .version = LINK_VERSION,
                        .served = call->ledger.served,
                        .ops = call->ledger.ops,
                        .open = call->signer->vault.open,
                        .memory = (uint8_t)secret_memory_kind(),
                        .machine_known = call->signer->vault.machine_known,
        };

        if (wire_done(&r))
                return -EPROTO;
        if (version != LINK_VERSION)
                return HF_E_VERSION_MISMATCH;
        memcpy(hello.life, call->ledger.life, sizeof(hello.life));
        return signer_hello_encode(&hello, call->reply);
}
