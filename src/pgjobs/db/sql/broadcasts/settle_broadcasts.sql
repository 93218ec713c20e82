-- Make the runs that the triggers could not see, and end those that nothing will: see
-- migrations/sql/0015_broadcasts/functions.sql.
SELECT made, gone FROM pgjobs.settle_broadcasts()
