"""Lossless codecs for checkpoints: what the bytes mean (FORMAT.md).

`encode` and `decode` work on bytes, `encode_file` and `decode_file` on paths, file objects and pipes,
`ContainerReader` reads ranges of the original out of a container. `ungroup4` undoes the byte grouping of Xet's chunks.
"""

from freebits_codecs._core import ungroup4
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
    "is_container",
    "ungroup4",
]
