"""What is made from a call's arguments: payload, summary, signature, keys. Inserting the row is `enqueueing`'s work."""
