-- Results of jobs that this transaction has completed by another statement: those that others wait for, and those whose
-- places are handed over.
INSERT INTO pgjobs.results (job_id, kept_until, is_json, signature, value)
SELECT a.id, now() + a.seconds * interval '1 second', a.is_json, a.signature, a.value
FROM unnest(%(ids)s::bigint[], %(seconds)s::float8[], %(is_json)s::boolean[], %(signatures)s::bytea[],
            %(results)s::bytea[])
     AS a (id, seconds, is_json, signature, value)
