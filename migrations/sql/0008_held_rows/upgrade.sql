-- A job that ended its sequence when it failed, while others of the sequence were locked by another transaction: they
-- are cancelled later, and until then the sequence does not go on.
ALTER TABLE pgjobs.dead_jobs ADD COLUMN ends_sequence boolean;

CREATE INDEX dead_jobs_ends_sequence ON pgjobs.dead_jobs (id) WHERE ends_sequence;

-- The dead letters that block a sequence, or have not ended it completely. Part of statements.
CREATE FUNCTION pgjobs.blocking_letters(sequence text) RETURNS SETOF bigint
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.id
    FROM pgjobs.dead_jobs AS d
    WHERE d.sequence = blocking_letters.sequence AND (coalesce(d.on_failure, 'block') = 'block' OR d.ends_sequence);
END;

-- Which job of a sequence may run: of those that wait, the one with the smallest id, unless one runs, or a dead letter
-- blocks the sequence. Part of statements.
CREATE FUNCTION pgjobs.head_of_sequence(sequence text) RETURNS SETOF bigint
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT head.id
    FROM (SELECT w.id FROM pgjobs.jobs_waiting AS w
          WHERE w.sequence = head_of_sequence.sequence ORDER BY w.id LIMIT 1) AS head
    WHERE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS v WHERE v.sequence = head_of_sequence.sequence)
      AND NOT EXISTS (SELECT FROM pgjobs.blocking_letters(head_of_sequence.sequence));
END;
