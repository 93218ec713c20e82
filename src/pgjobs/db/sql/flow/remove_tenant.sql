-- Let a tenant have as many turns as the others.
DELETE FROM pgjobs.tenants WHERE name = %(tenant)s RETURNING name
