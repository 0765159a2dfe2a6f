-- Version 5: the public keys of deployers that this node believes, and those that it believes no more.

CREATE TABLE trusted_keys (
    -- `ed25519:…`, as people write it.
    key           TEXT    NOT NULL PRIMARY KEY,
    -- Whose it is; only for people.
    name          TEXT    NOT NULL,
    trusted_at_ms INTEGER NOT NULL,
    -- NULL while it is trusted. A revoked key stays, so that nobody trusts it again by mistake.
    revoked_at_ms INTEGER
) STRICT, WITHOUT ROWID;
