DO $$ BEGIN
    PERFORM pgjobs.complete_history_partition(i.inhrelid)
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'pgjobs.jobs_history'::regclass ORDER BY c.relname;
END $$;

-- A real key, where the index on (true) was enough to keep it one row. That stays, for workers of the release before.
ALTER TABLE pgjobs.retention ADD COLUMN one boolean DEFAULT true PRIMARY KEY CHECK (one);

CREATE TRIGGER dead_jobs_keep_older_letter BEFORE INSERT ON pgjobs.dead_jobs
    FOR EACH ROW EXECUTE FUNCTION pgjobs.keep_older_letter();
