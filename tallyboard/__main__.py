"""`python -m tallyboard` is the command `tallyboard`: the supervisor starts its roles this way."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036  said here in a sentence instead of as a syntax error
    sys.exit(f"Tallyboard needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

from tallyboard.cli import main

if __name__ == "__main__":
    main()
