"""Limits, rates, breakers, keys and aging: pure decisions."""
