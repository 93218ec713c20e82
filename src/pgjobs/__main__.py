"""`python -m pgjobs`: the same as `pgjobs`."""

from __future__ import annotations

import sys

from pgjobs.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
