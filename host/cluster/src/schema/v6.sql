-- Version 6: what calls have cost, and refusals for the audit.

CREATE TABLE costs (
    -- Since 1970, in UTC.
    day                 INTEGER NOT NULL,
    namespace           TEXT    NOT NULL,
    name                TEXT    NOT NULL,
    calls               INTEGER NOT NULL,
    cpu_seconds         REAL    NOT NULL,
    kernel_seconds      REAL    NOT NULL,
    memory_byte_seconds REAL    NOT NULL,
    request_bytes       INTEGER NOT NULL,
    response_bytes      INTEGER NOT NULL,
    transfer_bytes      INTEGER NOT NULL,
    -- A decimal number, as people write it.
    cost                TEXT    NOT NULL,
    PRIMARY KEY (day, namespace, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id         INTEGER PRIMARY KEY,
    time_ms    INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    -- `namespace/name`.
    function   TEXT,
    -- The other node, if one had part in it.
    peer       TEXT,
    -- The first of those that the record counts.
    invocation TEXT,
    count      INTEGER NOT NULL,
    detail     TEXT    NOT NULL
) STRICT;
