/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Failures of this library: the sentence goes to hf_error_sentence(), into OpenSSL's error queue and, where it is about a
 * connection, to that. A caller writes `return failure_...`.
 */
#include <openssl/types.h>

#include "x509/finding.h"

/* sentence NULL: the general one. Returns result. */
int failure_set(int result, const char *sentence);
/* -errno of the machine, or a result. */
int failure_from(int r);
/* Tells the first finding about identity `name`. ssl may be NULL: no connection yet. */
int failure_findings(const SSL *ssl, const char *name, const FindingList *findings);
/* As failure_set(), for a connection. */
int failure_on(const SSL *ssl, int result, const char *sentence);
/* A new handshake begins. */
void failure_forget(SSL *ssl);
