-- Holdfast store, schema 1. Frozen: a released schema never changes, the next one is the next file.
--
-- Each row ends in `tag`, keyed BLAKE2b under the log key over table, columns and values (docs/formats/store.md).
-- Understood by SQLite 3.15: no UPSERT, no RETURNING, no STRICT.

CREATE TABLE meta (
        key TEXT PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        value BLOB NOT NULL,
        tag BLOB NOT NULL
);

-- One row for every key there ever was: a destroyed one keeps its row without the wrapped blob, so that its UUID
-- stays taken. state: 1 live, 2 destroyed.
CREATE TABLE keys (
        uuid BLOB PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        state INTEGER NOT NULL,
        name TEXT NOT NULL,
        algorithm INTEGER NOT NULL,
        purpose INTEGER NOT NULL,
        protection INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        created INTEGER NOT NULL,
        public BLOB NOT NULL,
        wrapped BLOB,
        tag BLOB NOT NULL
);

-- One current key a name: live and not retired (flag 8).
CREATE UNIQUE INDEX keys_current ON keys (name) WHERE state = 1 AND (flags & 8) = 0;

-- Uses reserved so far of a rule with a use limit, counted for a key's UUID and the rule's name.
CREATE TABLE uses (
        key BLOB NOT NULL,
        rule TEXT NOT NULL,
        version INTEGER NOT NULL,
        spent INTEGER NOT NULL,
        tag BLOB NOT NULL,
        PRIMARY KEY (key, rule)
);
