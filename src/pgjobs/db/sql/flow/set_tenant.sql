-- Set the weight of a tenant: how many turns it gets for one of the others.
INSERT INTO pgjobs.tenants (name, weight) VALUES (%(tenant)s, %(weight)s)
ON CONFLICT (name) DO UPDATE SET weight = excluded.weight, updated_at = now()
RETURNING name
