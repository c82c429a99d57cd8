/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ca/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

int ca_refuse(CaProblem *problem, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vsnprintf(problem->text, sizeof(problem->text), format, ap);
        va_end(ap);
        for (char *p = problem->text; *p; p++)
                if (*p < 0x20 || *p > 0x7e)
                        *p = '?';
        return HF_E_REQUEST_REFUSED;
}
