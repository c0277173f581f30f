"""Lossless codecs for checkpoints: what the bytes mean (FORMAT.md).

`encode` and `decode` work on bytes, `encode_file` and `decode_file` on paths, file objects and pipes,
`ContainerReader` reads ranges of the original out of a container. `group4` is the byte grouping of Xet's chunks, and
`ungroup4` undoes it.
"""

from freebits_codecs._core import group4, ungroup4
from freebits_codecs.container.reader import BytesSource, ContainerReader, FileSource, RangeSource
from freebits_codecs.container.records import CHUNK_NBYTES, MEDIA_TYPE, SYMMETRIC_MEDIA_TYPE, is_container
from freebits_codecs.container.writer import EncodeSummary
from freebits_codecs.files import DecodeSummary, decode, decode_file, encode, encode_file

__all__ = [
    "CHUNK_NBYTES",
    "MEDIA_TYPE",
    "SYMMETRIC_MEDIA_TYPE",
    "BytesSource",
    "ContainerReader",
    "DecodeSummary",
    "EncodeSummary",
    "FileSource",
    "RangeSource",
    "decode",
    "decode_file",
    "encode",
    "encode_file",
    "group4",
    "is_container",
    "ungroup4",
]
