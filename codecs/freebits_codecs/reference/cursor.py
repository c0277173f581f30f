"""(1) A place in a payload that moves on as fields are read."""

from __future__ import annotations

from collections.abc import Callable

from freebits_codecs.errors import CorruptContainer

Notice = Callable[[str, object], None]
"""Called with what a container uses, e.g. ("layout", 1): tells tests what a file covers."""


class Cursor:
    """Raises CorruptContainer instead of reading past the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, nbytes: int) -> bytes:
        if nbytes > self.left:
            raise CorruptContainer("payload", found=f"an end after {self.left} bytes", expected=f"{nbytes} bytes")
        self._at += nbytes
        return self._data[self._at - nbytes : self._at]

    def u8(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """LEB128 of at most 5 bytes, below 2^32."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        if byte >= 0x80 or value >= 1 << 32:
            raise CorruptContainer("varint", found="more than 5 bytes or 32 bits", expected="fewer")
        return value

    def expect_end(self, what: str) -> None:
        if self.left:
            raise CorruptContainer(what, found=f"{self.left} bytes more", expected="its end")
