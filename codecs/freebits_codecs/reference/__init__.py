"""The decoder of FORMAT.md in plain Python: slow, independent of the fast one, to be read beside the text.

Numbers in parentheses are sections of FORMAT.md. Nothing here is shared with `container` or the native core but
the error classes; zstd (RFC 8878) and SHA-256 come from libraries.

    container.py   (2, 6) header, records, index, footer, CRC-32C
    chunk.py       (3)    runs, zstd
    frame.py       (4)    planes and layouts
    rans.py        (5)    segments, models, streams
    cursor.py      (1)    varints, and an end that is never passed
"""

from freebits_codecs.reference.container import decode_container

__all__ = ["decode_container"]
