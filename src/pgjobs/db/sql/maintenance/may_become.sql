-- A role, if it is there and this login may become it.
SELECT r.rolname::text AS role
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = %(role)s::text AND pg_catalog.pg_has_role(r.oid, 'MEMBER')
