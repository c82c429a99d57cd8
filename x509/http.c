/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "x509/http.h"

#include <stdio.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define DATE "\r\nDate: "
#define DATE_LEN 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

static const uint8_t *find(Bytes in, const char *what)
{
        return in.len > 0 ? memmem(in.data, in.len, what, strlen(what)) : NULL;
}

uint64_t http_date(Bytes answer)
{
        const uint8_t *end = find(answer, "\r\n\r\n"), *at;
        char text[DATE_LEN + 1] = "";
        struct tm tm = {0};
        time_t seconds;

        if (!end || answer.len < 5 || memcmp(answer.data, "HTTP/", 5) != 0)
                return 0;
        at = find(BYTES(answer.data, end - answer.data), DATE);
        if (!at || end - at < (ssize_t)strlen(DATE) + DATE_LEN)
                return 0;
        memcpy(text, at + strlen(DATE), DATE_LEN);
        if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
                return 0;
        seconds = timegm(&tm);
        return seconds < 0 ? 0 : (uint64_t)seconds * USEC_PER_SEC;
}

bool http_refusal(Bytes answer, char ret_detail[static FINDING_DETAIL_SIZE])
{
        static const char *const pages[] = {"The SSL certificate error", "No required SSL certificate was sent"};

        if (!find(BYTES(answer.data, answer.len < 16 ? answer.len : 16), " 400 "))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(pages); i++)
                if (find(answer, pages[i])) {
                        snprintf(ret_detail, FINDING_DETAIL_SIZE, "HTTP 400 (%s)", pages[i]);
                        return true;
                }
        return false;
}
