-- The two roles of the history, with the rights that each needs and no more. Run it once, as a superuser, in the
-- database of the history:
--   psql --dbname edw --file deploy/postgres-roles.sql
-- Then give each role its password: \password edw_writer
--   edw_writer  workers, and `edw history migrate`: it owns the schema, makes and drops partitions, and writes
--   edw_reader  the API, the console and the command line: it only reads

CREATE ROLE edw_writer LOGIN;
CREATE ROLE edw_reader LOGIN;
CREATE SCHEMA edw AUTHORIZATION edw_writer;
GRANT USAGE ON SCHEMA edw TO edw_reader;
-- Every table that the writer makes later, such as a day's partitions.
ALTER DEFAULT PRIVILEGES FOR ROLE edw_writer IN SCHEMA edw GRANT SELECT ON TABLES TO edw_reader;
