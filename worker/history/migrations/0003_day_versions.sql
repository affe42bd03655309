-- How often the rows of a day were written, so that an export notices a day that has changed since.
CREATE TABLE edw.day_versions (
    kind    text   NOT NULL,  -- the table
    day     date   NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (kind, day)
);
