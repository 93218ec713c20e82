"""The worker of `pgjobs dev`: `pgjobs work`, which ends when that command is gone.

Usage: `python -m pgjobs.cli.dev_worker PARENT OPTION…`.
"""

from __future__ import annotations

import signal
import sys

from pgjobs.cli.main import main
from pgjobs.core.processes import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]), signal.SIGTERM)
    sys.exit(main(["work", *sys.argv[2:]]))
