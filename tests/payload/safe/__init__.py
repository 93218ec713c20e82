"""Pickles under an allow-list: attackers, and the objects that they would like to change."""
