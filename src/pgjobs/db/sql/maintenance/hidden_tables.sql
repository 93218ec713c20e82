-- The tables of which policies of others (row level security) may hide rows from this role: all that have it on and
-- that it neither owns nor may look past, but for those where a policy shows everything (USING (true)), for each of
-- these kinds of statements: r (SELECT), a (INSERT), w (UPDATE), d (DELETE).
SELECT c.relname::text AS name
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('pgjobs') AND c.relkind IN ('r', 'p') AND c.relrowsecurity
  AND row_security_active(c.oid)
  AND (EXISTS (SELECT FROM unnest(%(kinds)s::text[]) AS k (kind)
               WHERE NOT EXISTS (
                   SELECT FROM pg_policy AS p
                   WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd::text IN ('*', k.kind)
                     AND coalesce(pg_get_expr(p.polqual, c.oid), 'true') = 'true'
                     AND coalesce(pg_get_expr(p.polwithcheck, c.oid), 'true') = 'true'
                     AND EXISTS (SELECT FROM unnest(p.polroles) AS r (role)
                                 WHERE CASE r.role WHEN 0 THEN true ELSE pg_has_role(r.role, 'USAGE') END)))
       OR EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND NOT p.polpermissive))
ORDER BY c.relname
