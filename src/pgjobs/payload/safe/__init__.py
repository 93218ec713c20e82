"""Unpickling that runs nothing outside an allowlist: the opcodes, the lookup of names, the permitted values."""
