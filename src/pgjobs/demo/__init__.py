"""`pgjobs demo`: the whole story in a minute, on real input and with a worker killed half way.

Nothing is imported here: the workers import `pgjobs.demo.tasks` through this package.
"""
