"""`python -m freebits` is the `freebits` command."""

import sys

from freebits.cli import main

if __name__ == "__main__":
    sys.exit(main())
