-- How many attempts an integration had on each day, for charts. A log is counted in the transaction that first writes it.
CREATE TABLE edw.activity (
    day         date   NOT NULL,  -- of the attempts
    integration text   NOT NULL COLLATE "C",
    attempts    bigint NOT NULL,
    failed      bigint NOT NULL,
    PRIMARY KEY (integration, day)
) PARTITION BY RANGE (day);
