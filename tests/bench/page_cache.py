"""Memory as it is on a machine that has been up for a while: full of what files are cached in it.

Virtual machines may hand free memory back to their host, and get it again slowly: writing a file into such memory was
seen to take five times as long as into memory that the kernel took from its cache. A benchmark that writes gigabytes
would measure that.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

KEPT_FREE_NBYTES = 1 << 30
WINDOW_NBYTES = 1 << 22


def fill_page_cache(folder: Path) -> None:
    """Read a file of holes that is as long as there is free memory. It takes no room on the disk.

    What was read of it is cached only as long as it is there: it stays in `folder`, and goes with that.
    """
    found = re.search(r"^MemFree: +([0-9]+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free_nbytes = 1024 * int(found[1]) if found else 0
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.truncate(max(0, free_nbytes - KEPT_FREE_NBYTES))
        window = bytearray(WINDOW_NBYTES)
        while file.raw.readinto(window):  # type: ignore[attr-defined]
            pass
