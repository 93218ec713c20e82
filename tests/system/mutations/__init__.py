"""Protections, each taken out by itself: the tests named beside it have to go red.

`python -m tests.system.mutations` does it on a copy of the project. `protections` is the list; a protection that is
changed or moved has to be changed there too, or the run says that it is not found.
"""
