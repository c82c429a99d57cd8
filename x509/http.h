/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* As much of HTTP as tells what a server thinks of us (inside this room). */
#include "base/bytes.h"
#include "x509/finding.h"

#define HTTP_ANSWER_MAX 8192
/* Takes the host. */
#define HTTP_REQUEST "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"

/* The Date of an answer's head (RFC 9110 section 5.6.7, the preferred form); microseconds since 1970, 0: none. */
uint64_t http_date(Bytes answer);
/* nginx ends the handshake well and refuses with a page. True: the detail says which. */
bool http_refusal(Bytes answer, char ret_detail[static FINDING_DETAIL_SIZE]);
