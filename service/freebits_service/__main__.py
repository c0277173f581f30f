"""``python -m freebits_service`` is ``freebits serve``."""

from __future__ import annotations

import sys

from .cli.serve import serve

sys.exit(serve(sys.argv[1:]))
