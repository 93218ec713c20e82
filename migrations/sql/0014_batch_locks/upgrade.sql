-- A lane of batches is claimed by one claim at a time: it has a lock that only workers can take, as limits have.
ALTER TABLE pgjobs.key_locks
    DROP CONSTRAINT key_locks_kind_check,
    ADD CONSTRAINT key_locks_kind_check CHECK (kind IN ('limit', 'sequence', 'breaker', 'queue', 'batch'));

-- The name of that lock. Part of statements. A digest of the lane, which may be long; two lanes with one name would
-- only take turns.
CREATE FUNCTION pgjobs.batch_lock(queue text, priority smallint, lane text) RETURNS text
    LANGUAGE sql IMMUTABLE
RETURN queue || ':' || hashtextextended(lane, priority)::text;
