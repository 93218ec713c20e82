-- For a statement by which a job completes itself: ends the transaction of an attempt that no longer has the job.
-- The SQLSTATE is a number of pgjobs'.
CREATE FUNCTION pgjobs.refuse_stale_claim(claims bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF claims = 0 THEN
        RAISE EXCEPTION 'the job no longer belongs to this attempt' USING ERRCODE = 'PGJ01';
    END IF;
    RETURN true;
END $$;

-- How far a job has come, by its own word. `state`: what its next attempt may read to continue.
CREATE TABLE pgjobs.progress (
    job_id bigint PRIMARY KEY,
    done double precision,
    total double precision,
    message text,
    state jsonb,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What a step that a job does once over all attempts has returned: pickled or JSON, as payloads are.
CREATE TABLE pgjobs.job_steps (
    job_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (key <> '' AND length(key) <= 200),
    value bytea NOT NULL,
    signature bytea,
    done_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, key)
);
