-- Version 3: one file may be added with several specializations, and what its load told is known while it is in no memory.

CREATE TABLE added_models (
    digest         TEXT    NOT NULL,
    -- What is fixed about it, JSON; all its maps are in order, so that what is equal is written equally.
    specialization TEXT    NOT NULL,
    -- What the operator calls it, the file's name usually; only for people.
    label          TEXT    NOT NULL,
    added_at_ms    INTEGER NOT NULL,
    -- What ran it when it was added, and its inputs and outputs, as JSON lists of text; empty if it was added by version 2.
    engine         TEXT    NOT NULL,
    inputs         TEXT    NOT NULL,
    outputs        TEXT    NOT NULL,
    PRIMARY KEY (digest, specialization)
) STRICT, WITHOUT ROWID;

INSERT INTO added_models SELECT digest, '{"shapes":{},"constants":{}}', label, added_at_ms, '', '[]', '[]' FROM models;
DROP TABLE models;
ALTER TABLE added_models RENAME TO models;
