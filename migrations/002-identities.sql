-- Holdfast store, schema 2: identities. Frozen as schema 1 is.
--
-- An identity is a key with the certificates that belong to it. `issuer` says who looks after them (`manual`: put in by
-- hand), `state` and `plan` are for issuers that renew and empty for `manual`. Certificates are PEM without anything around
-- them: `chain` the leaf and then its intermediates, `trust` the anchors. `pins` are SHA-256 of public keys of peers, 32
-- bytes each. Times are microseconds since 1970; not_before and not_after are the leaf's.

CREATE TABLE identities (
        name TEXT PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        key BLOB NOT NULL,
        issuer TEXT NOT NULL,
        state TEXT NOT NULL,
        layout TEXT NOT NULL,
        created INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        not_before INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        chain BLOB NOT NULL,
        trust BLOB NOT NULL,
        pins BLOB NOT NULL,
        plan BLOB NOT NULL,
        tag BLOB NOT NULL
);
