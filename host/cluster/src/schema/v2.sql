-- Version 2: models that an operator has added, which stay whether a function names them or not.

CREATE TABLE models (
    digest      TEXT    NOT NULL PRIMARY KEY,
    -- What the operator calls it, the file's name usually; only for people.
    label       TEXT    NOT NULL,
    added_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
