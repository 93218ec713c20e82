"""The tests: one folder per package, `system/` for the whole, and `support/` for helpers."""
