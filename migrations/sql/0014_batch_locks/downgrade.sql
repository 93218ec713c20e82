DROP FUNCTION pgjobs.batch_lock(text, smallint, text);

DELETE FROM pgjobs.key_locks WHERE kind = 'batch';

ALTER TABLE pgjobs.key_locks
    DROP CONSTRAINT key_locks_kind_check,
    ADD CONSTRAINT key_locks_kind_check CHECK (kind IN ('limit', 'sequence', 'breaker', 'queue'));
