"""Find the tensors in a file of any known format, without loading it."""

from freebits_codecs.formats.detect import NeedMore, read_head_layout, read_layout
from freebits_codecs.formats.layout import Extent, FileLayout, Tensor
from freebits_codecs.formats.sniff import Guess, sniff

__all__ = [
    "Extent",
    "FileLayout",
    "Guess",
    "NeedMore",
    "Tensor",
    "read_head_layout",
    "read_layout",
    "sniff",
]
