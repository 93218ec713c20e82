"""A small shop: orders, and the receipts that are sent for them. Start with `orders.py`."""
