"""Flow control as pure decisions: keys, limits, rates, breakers, aging, uniqueness. The SQL is in `db/sql/flow/`."""
