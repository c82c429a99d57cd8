/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int max_level = LOG_INFO;

void log_set_max_level(int level)
{
        max_level = level;
}

void log_full(int level, const char *format, ...)
{
        char line[2048];
        int n, head = 0;
        va_list ap;

        if (level > max_level)
                return;
        if (getenv("JOURNAL_STREAM"))
                head = snprintf(line, sizeof(line), "<%d>", level);
        va_start(ap, format);
        n = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, ap);
        va_end(ap);
        if (n < 0)
                return;
        n += head;
        if ((size_t)n > sizeof(line) - 2)
                n = sizeof(line) - 2;
        line[n++] = '\n';
        if (write(STDERR_FILENO, line, (size_t)n) < 0)
                return; /* nobody is left to tell */
}

char *log_escape(const char *text, char *ret, size_t size)
{
        size_t n = 0;

        for (const unsigned char *p = (const unsigned char *)text; *p && n + 5 < size; p++)
                if (*p >= 0x20 && *p < 0x7f && *p != '\\')
                        ret[n++] = (char)*p;
                else
                        n += (size_t)snprintf(ret + n, size - n, "\\x%02x", *p);
        ret[n] = '\0';
        return ret;
}
