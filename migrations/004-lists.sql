-- Holdfast store, schema 4: signed revocation lists. Frozen as schema 1 is.
--
-- The last list of each CA here, and those that were handed in of CAs elsewhere, DER. place is the directory it is published in:
-- `ca@NAME`, or `crl@` and 32 hex digits for the CA elsewhere. number is its CRL number, big-endian and as short as it can be,
-- empty where it has none; chain is PEM of that CA and those above it, empty for a CA here. Times are microseconds since 1970;
-- taken is when it was signed here or handed in.

CREATE TABLE lists (
        place TEXT PRIMARY KEY NOT NULL,
        version INTEGER NOT NULL,
        number BLOB NOT NULL,
        this_update INTEGER NOT NULL,
        next_update INTEGER NOT NULL,
        taken INTEGER NOT NULL,
        chain BLOB NOT NULL,
        list BLOB NOT NULL,
        tag BLOB NOT NULL
);
