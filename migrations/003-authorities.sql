-- Holdfast store, schema 3: private CAs and what they issued. Frozen as schema 1 is.
--
-- An authority is a key of purpose `issue` with its own certificate and those above it, both DER, the nearest first; empty
-- until it is signed. kind: 1 root, 2 intermediate. crl_number is that of the last list asked for, crl_due when the next one
-- has to be there, awake until when it signs (a root at rest: 0). Times are microseconds since 1970.

CREATE TABLE authorities (
        name TEXT PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        key BLOB NOT NULL,
        kind INTEGER NOT NULL,
        parent TEXT NOT NULL,
        created INTEGER NOT NULL,
        crl_number INTEGER NOT NULL,
        crl_due INTEGER NOT NULL,
        awake INTEGER NOT NULL,
        certificate BLOB NOT NULL,
        chain BLOB NOT NULL,
        tag BLOB NOT NULL
);

-- One row for every certificate there ever was, by its serial, which is there before the signature is. status: 1 being
-- issued (then `certificate` is what is to be signed), 2 active, 3 revoked, 4 superseded. request is the SHA-256 of all
-- that was asked for, by which a repeated call is known; reason is CRLReason.

CREATE TABLE certificates (
        serial BLOB PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        authority TEXT NOT NULL,
        status INTEGER NOT NULL,
        name TEXT NOT NULL,
        profile TEXT NOT NULL,
        domain TEXT NOT NULL,
        metadata TEXT NOT NULL,
        request BLOB NOT NULL,
        issued INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        revoked INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        text TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        certificate BLOB NOT NULL,
        tag BLOB NOT NULL
);
