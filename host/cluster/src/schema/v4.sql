-- Version 4: what a cluster would share, for a node that is alone.

CREATE TABLE control (
    -- Position of the key's last change in the history of all. AUTOINCREMENT: a number given twice would hide a change
    -- from a watch that stands there.
    version       INTEGER PRIMARY KEY AUTOINCREMENT,
    key           TEXT    NOT NULL UNIQUE,
    changed_at_ms INTEGER NOT NULL,
    -- Of a lease; NULL for what stays.
    expires_at_ms INTEGER,
    -- NULL when the change took the value away. The row stays for a while, so that who watches sees it.
    value         BLOB
) STRICT;
CREATE INDEX control_by_expiry ON control (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
