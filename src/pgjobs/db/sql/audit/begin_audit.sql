-- Write what is about to be done. Until it has ended, `outcome` is NULL.
INSERT INTO pgjobs.audit (by, via, action, target)
VALUES (%(by)s::text, %(via)s::text, %(action)s::text, %(target)s::jsonb)
RETURNING id
