-- Give a tenant the weight of the others again.
DELETE FROM pgjobs.tenants WHERE name = %(tenant)s RETURNING name
