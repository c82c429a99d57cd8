/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"

#include <limits.h>
#include <string.h>

const char *hf_error_name(int r)
{
        static const char *const names[_HF_E_MAX] = {
                [_HF_E_OK] = "OK",
#define X(sym, bus) [HF_E_##sym] = #bus,
                HF_ERROR_LIST(X)
#undef X
        };

        if (r == INT_MIN)
                return "Internal";
        if (r < 0)
                return strerror(-r);
        return r < _HF_E_MAX ? names[r] : "Internal";
}
