-- Write a pipeline; an existing one is changed if it is of the same application. A pause is kept.
INSERT INTO pgjobs.pipelines AS p (name, app, at_most, digest)
VALUES (%(name)s, %(app)s, %(at_most)s, %(digest)s)
ON CONFLICT (name) DO UPDATE
SET at_most = excluded.at_most, digest = excluded.digest, retired_at = NULL, updated_at = now()
WHERE p.app = excluded.app
