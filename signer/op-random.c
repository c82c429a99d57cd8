/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Random bytes of the kernel's generator. */
#include <errno.h>

#include "base/error.h"
#include "crypto/random.h"
#include "signer/call.h"

int op_random(Call *call)
{
        WireReader reader = wire_reader(call->body);
        uint32_t n = wire_get_u32(&reader);
        int r;

        if (wire_done(&reader))
                return -EPROTO;
        if (n == 0 || n > SIGNER_RANDOM_MAX)
                return HF_E_INVALID_ARGS;
        r = buffer_reserve(call->reply, 4 + n);
        if (r)
                return r;
        (void)wire_put_u32(call->reply, n);
        random_bytes(call->reply->data + call->reply->len, n);
        call->reply->len += n;
        return 0;
}
