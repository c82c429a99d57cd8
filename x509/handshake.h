/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A real handshake, to find out what is wrong with one
 *
 * Connects as the identity would, TLS 1.2 or 1.3, checks the peer with cert_check() and says what does not fit. Everything is
 * bounded by one deadline. Where the first answer is ambiguous, the peer is asked once more without our certificate: after an
 * expired or early certificate for its time (HTTP Date), after a bare handshake_failure for whether other algorithms would do.
 */
#include "x509/identity.h"
#include "x509/pkey.h"

#define HANDSHAKE_SKEW_MAX (5 * 60 * 1000000ULL) /* clocks may differ by so much */

typedef struct HandshakeParams {
        const char *host, *port;
        const CertIdentity *identity; /* NULL: no certificate of ours */
        const CertKey *key;           /* with an identity */
        const CertChain *chain;       /* whose issuers are looked for among those that the peer asks for; NULL: nobody's */
        const CertAnchors *anchors;   /* whom the peer's chain has to end in */
        uint64_t timeout;             /* microseconds, for all of it */
} HandshakeParams;

/* Whose certificates does the peer ask for? It names those it trusts, or says nothing about that. */
typedef enum HandshakeAsks {
        HANDSHAKE_ASKS_NOBODY, /* it wants none, or it did not come so far */
        HANDSHAKE_ASKS_ANYBODY,
        HANDSHAKE_ASKS_OURS, /* an issuer in params->chain is among them */
        HANDSHAKE_ASKS_OTHERS,
} HandshakeAsks;

typedef struct Handshake {
        HandshakeAsks asks;
        char version[16], cipher[64]; /* empty: it did not come so far */
        char fingerprint[CERT_FINGERPRINT_SIZE]; /* of the peer's certificate */
        uint64_t not_after;
} Handshake;

/* Adds what is wrong; nothing added: the peer and we accept each other. 0 or -errno of our own machine. */
int handshake_run(const HandshakeParams *params, FindingList *findings, Handshake *ret);

/* If there is a finding about validity, the peer is asked for its time; a skew goes in front, because a verdict about validity
 * with a wrong clock is none. For what was found without a handshake: neither identity nor key are needed. */
void handshake_look_at_clocks(const HandshakeParams *params, FindingList *findings);

/* "host:port", "[::1]:port", "host" (443). 0 or HF_E_INVALID_ARGS. */
#define HANDSHAKE_HOST_SIZE 256
#define HANDSHAKE_PORT_SIZE 6
int handshake_address(const char *text, char ret_host[static HANDSHAKE_HOST_SIZE], char ret_port[static HANDSHAKE_PORT_SIZE]);
