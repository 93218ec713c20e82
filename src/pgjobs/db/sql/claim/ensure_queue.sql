-- A queue's row: it holds the switches and the doorbell.
INSERT INTO pgjobs.queues (name) VALUES (%(queue)s) ON CONFLICT (name) DO NOTHING
