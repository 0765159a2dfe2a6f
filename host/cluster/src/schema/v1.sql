-- Version 1. Never edited once released: a change is a new file and a new line in database.rs.

CREATE TABLE functions (
    id          INTEGER PRIMARY KEY,
    namespace   TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    -- The newest number ever given. The row outlives `rm`, so that a number never means two things.
    last_number INTEGER NOT NULL DEFAULT 0,
    -- The revision that serves; NULL once removed.
    active      INTEGER,
    -- The revision that served before it, which `rollback` returns to.
    previous    INTEGER,
    UNIQUE (namespace, name),
    -- Deferred, because function and revision refer to each other and are written in one transaction.
    FOREIGN KEY (id, active)   REFERENCES revisions (function, number) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (id, previous) REFERENCES revisions (function, number) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE TABLE revisions (
    function      INTEGER NOT NULL REFERENCES functions (id),
    number        INTEGER NOT NULL,
    -- Digests are text, `sha256:…`, so that a person can read the database with any SQLite shell.
    bundle        TEXT    NOT NULL,
    manifest      TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (function, number)
) STRICT;
-- Garbage collection asks for each blob whether somebody refers to it.
CREATE INDEX revisions_by_bundle ON revisions (bundle);

CREATE TABLE revision_models (
    function INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    digest   TEXT    NOT NULL,
    PRIMARY KEY (function, number, position),
    FOREIGN KEY (function, number) REFERENCES revisions (function, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX revision_models_by_digest ON revision_models (digest);

CREATE TABLE revision_routes (
    function INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- '' stands for any host: NULLs would be distinct from each other in the unique key below.
    host     TEXT    NOT NULL,
    path     TEXT    NOT NULL,
    PRIMARY KEY (function, number, position),
    FOREIGN KEY (function, number) REFERENCES revisions (function, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The routes of active revisions once more, because here the database itself keeps one owner per route.
CREATE TABLE active_routes (
    host     TEXT    NOT NULL,
    path     TEXT    NOT NULL,
    function INTEGER NOT NULL REFERENCES functions (id),
    PRIMARY KEY (host, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX active_routes_by_function ON active_routes (function);

CREATE TABLE keyvalue (
    -- Order of first insertion and cursor of listings. AUTOINCREMENT: a number given twice would let a listing that
    -- stands there miss the new key.
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT    NOT NULL,
    bucket    TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    -- Last, so that reading the other columns never touches its overflow pages.
    value     BLOB    NOT NULL,
    UNIQUE (namespace, bucket, key)
) STRICT;
-- Ends in the row id, as every index does: a page of keys is one range of it.
CREATE INDEX keyvalue_in_order ON keyvalue (namespace, bucket);
