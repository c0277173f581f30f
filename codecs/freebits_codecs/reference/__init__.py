"""The decoder of FORMAT.md in plain Python: slow, independent of the fast one, to be read beside the text.

Numbers in parentheses are sections of FORMAT.md. Nothing here is shared with `container`, `symmetry` or the native core
but the error classes; zstd (RFC 8878), SHA-256 and eigenvectors come from libraries.

    container.py   (2, 6) header, records, index, footer, CRC-32C
    chunk.py       (3)    runs, zstd
    frame.py       (4)    planes and layouts
    rans.py        (5)    segments, models, streams
    cursor.py      (1)    varints, and an end that is never passed
    symmetric.py   (11)   the plain file of a symmetric form
    form.py        (11.1) safetensors, and fields of the recipe
    made.py        (11.2) triangles, polar factors, pivots
    bit_stack.py   (11.3) the coder, with Python's integers
    bits_back.py   (11.3, 11.4) tensors hidden on a stack
"""

from freebits_codecs.reference.container import decode_container
from freebits_codecs.reference.symmetric import expand_container

__all__ = ["decode_container", "expand_container"]
