"""What zstd is given of a chunk, and what of it is kept."""

from __future__ import annotations

import pytest

from freebits_codecs.container.encoder import RecordEncoder
from freebits_codecs.container.frames import RAW, parse_payload
from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import Extent
from freebits_codecs.planner import ExtentArrays
from freebits_codecs.testing import values


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64", "I32"])
def test_zstd_is_offered_the_planes(dtype: str) -> None:
    """Split and uncoded, also where no plane is constant and the planes are as long as the elements."""
    data = memoryview(values("uniform", dtype, 3000))
    extents = ExtentArrays.of([Extent(dtype, 0, len(data))])
    (frame,) = parse_payload(RecordEncoder(1 << 20, None, 1).split_payload(data, 0, extents)).frames
    assert frame.nbytes == len(data)
    assert len(frame.planes) == DTYPES[dtype].itemsize
    assert all(plane.codec == RAW for plane in frame.planes)
