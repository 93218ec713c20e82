-- Pause all claims. The one-row table may have been emptied by hand.
INSERT INTO pgjobs.switch AS s (one, paused, paused_at) VALUES (true, true, now())
ON CONFLICT (one) DO UPDATE SET paused = true, paused_at = now() WHERE NOT s.paused
RETURNING paused_at
