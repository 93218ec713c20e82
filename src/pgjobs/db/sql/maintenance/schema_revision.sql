-- Which revision the tables have.
SELECT version_num FROM pgjobs.migrations
