"""``python -m supervm.common.cli`` is the same program, for callers that know only their interpreter."""

import sys

from .program import main

if __name__ == "__main__":  # not when a worker process imports it
    sys.exit(main())
