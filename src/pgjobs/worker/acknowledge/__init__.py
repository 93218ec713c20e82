"""From the outbox into the table: outcomes written in batches, and what breakers learn from them."""
