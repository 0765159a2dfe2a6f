-- Version 7: what namespaces may take of this node.

CREATE TABLE quotas (
    namespace TEXT PRIMARY KEY,
    -- JSON, as the control API has it.
    quota     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
