-- The audit. A record never changes, and is written again when it is archived twice.

-- A change that somebody made.
CREATE TABLE edw.changes (
    day     date   NOT NULL,  -- of the change
    id      uuid   NOT NULL,
    at      bigint NOT NULL,
    scope   text   NOT NULL COLLATE "C",
    action  text   NOT NULL COLLATE "C",
    subject text   NOT NULL COLLATE "C",  -- the id of what was changed
    record  bytea  NOT NULL,  -- the ledger's record of the change, a JSON array
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE INDEX changes_of_scope ON edw.changes (scope, day, at, id);
CREATE INDEX changes_of_subject ON edw.changes (scope, subject, day, at, id);

-- Compression by lz4, where this server has it.
DO $$
BEGIN
    ALTER TABLE edw.changes ALTER COLUMN record SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;
