"""From the table into the inbox: producer, claims, cursor, rotation of lanes. Running is in `executors/`."""
