-- Holdfast store, schema 5: which authority follows which. Frozen as schema 1 is.
--
-- follows is the authority in whose place this one issues from the moment it has a certificate; empty where it is the first of
-- its line. Before, that was told by what the certificate was asked for as: the SHA-256 of "ca.rollover " and the name of the
-- one before it.

CREATE TABLE authorities_5 (
        name TEXT PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        key BLOB NOT NULL,
        kind INTEGER NOT NULL,
        parent TEXT NOT NULL,
        follows TEXT NOT NULL,
        created INTEGER NOT NULL,
        crl_number INTEGER NOT NULL,
        crl_due INTEGER NOT NULL,
        awake INTEGER NOT NULL,
        certificate BLOB NOT NULL,
        chain BLOB NOT NULL,
        tag BLOB NOT NULL
);

INSERT INTO authorities_5
        SELECT name, version, key, kind, parent,
               ifnull((SELECT o.name FROM authorities AS o, certificates AS c
                       WHERE c.name = a.name AND c.request = holdfast_sha256('ca.rollover ' || o.name)), ''),
               created, crl_number, crl_due, awake, certificate, chain, tag
        FROM authorities AS a;

DROP TABLE authorities;

ALTER TABLE authorities_5 RENAME TO authorities;
