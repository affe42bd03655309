-- The tables of the history. Days and times are those of the ledger's clock; times are milliseconds since 1970.
-- A primary key contains `day`, by which its table is partitioned.

-- An accepted event whose jobs have ended.
CREATE TABLE edw.events (
    day         date    NOT NULL,  -- of acceptance
    ref         uuid    NOT NULL,  -- the event's identity: organisation, store and id
    scope       text    NOT NULL COLLATE "C",
    sequence    bigint  NOT NULL,  -- the time of acceptance in microseconds; grows with each event of a resource
    type        text    NOT NULL COLLATE "C",
    resource    text    NOT NULL COLLATE "C",  -- the key of its resource; empty if it has none
    set_aside   boolean NOT NULL,  -- it could not be observed
    head        bytea   NOT NULL,  -- the ledger's record up to its payload: time, digest, id, codec and more
    PRIMARY KEY (ref, day)
) PARTITION BY RANGE (day);
CREATE INDEX events_of_scope ON edw.events (scope, day, sequence, ref);
CREATE INDEX events_of_resource ON edw.events (resource, day, sequence, ref);

-- The JSON of an event, in the codec that its head names. Most are compressed by Zstandard with a dictionary, which
-- PostgreSQL cannot do; it compresses the others.
CREATE TABLE edw.payloads (
    day     date  NOT NULL,  -- of the event's acceptance
    ref     uuid  NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (ref, day)
) PARTITION BY RANGE (day);

-- A job that has ended.
CREATE TABLE edw.jobs (
    day         date    NOT NULL,  -- of its event's acceptance
    id          uuid    NOT NULL,
    event       uuid    NOT NULL,  -- the reference of its event
    integration text    NOT NULL COLLATE "C",
    scope       text    NOT NULL COLLATE "C",
    state       text    NOT NULL COLLATE "C",
    reason      text    NOT NULL COLLATE "C",
    attempts    integer NOT NULL,
    base        integer NOT NULL,  -- attempts before its last redelivery
    epoch       integer NOT NULL,  -- how often it was reopened
    lost        integer NOT NULL,
    opened_at   bigint  NOT NULL,
    ended_at    bigint  NOT NULL,
    place       integer NOT NULL,  -- among the jobs of its event
    marks       text    NOT NULL,  -- the redeliveries that reopened it
    event_id    text    NOT NULL,
    event_type  text    NOT NULL,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE INDEX jobs_of_event ON edw.jobs (event, place, id);
CREATE INDEX jobs_of_integration ON edw.jobs (integration, opened_at, id);

-- The log of an attempt.
CREATE TABLE edw.logs (
    day         date    NOT NULL,  -- of the attempt
    job         uuid    NOT NULL,
    attempt     integer NOT NULL,
    at          bigint  NOT NULL,
    scope       text    NOT NULL COLLATE "C",
    integration text    NOT NULL COLLATE "C",
    succeeded   boolean NOT NULL,
    record      bytea   NOT NULL,  -- the log as the ledger stores it
    exchange    bytea,             -- what was sent and answered, as JSON
    PRIMARY KEY (job, attempt, day)
) PARTITION BY RANGE (day);
CREATE INDEX logs_of_scope ON edw.logs (scope, day, at, job, attempt);
CREATE INDEX failures_of_scope ON edw.logs (scope, day, at, job, attempt) WHERE NOT succeeded;
CREATE INDEX logs_of_integration ON edw.logs (integration, day, at, job, attempt);

-- Compression by lz4, where this server has it.
DO $$
BEGIN
    ALTER TABLE edw.payloads ALTER COLUMN payload SET COMPRESSION lz4;
    ALTER TABLE edw.logs ALTER COLUMN record SET COMPRESSION lz4, ALTER COLUMN exchange SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

-- The worker that archives now, of each shard. A writer that lost the lease finds another owner here, and stops.
CREATE TABLE edw.archivers (
    shard text PRIMARY KEY,
    owner text NOT NULL
);
