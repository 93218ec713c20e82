-- The tenants that have a weight of their own.
SELECT name, weight, updated_at FROM pgjobs.tenants ORDER BY name
