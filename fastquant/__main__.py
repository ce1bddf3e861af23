"""`python -m fastquant`: the command line without its entry point."""

from __future__ import annotations

import sys

from fastquant.cli import main

if __name__ == "__main__":
    sys.exit(main())
