/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Log for people
 *
 * One line to stderr with the "<N>" priority prefix that journald reads (sd-daemon(3)); without the journal the
 * prefix is left out. Control characters in arguments are the caller's business: escape what strangers sent with
 * log_escape(). No secret and no payload is ever an argument. Not the audit log: that is the room audit/.
 */
#include <stddef.h>
#include <syslog.h>

void log_set_max_level(int level); /* LOG_DEBUG ... LOG_ERR; default LOG_INFO */
void log_full(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_full(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_full(LOG_INFO, __VA_ARGS__)
#define log_notice(...) log_full(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_full(LOG_ERR, __VA_ARGS__)

/* Printable ASCII stays, everything else becomes \xNN; cut at size. Returns ret. */
char *log_escape(const char *text, char *ret, size_t size);
